"""Downloads from a hub that misbehaves: the right file or the right error, and nothing half for whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from dataclasses import replace

import pytest

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, StoppedError
from sft_tui.hub import download as module
from sft_tui.hub.download import WORK, download, find
from sft_tui.hub.folder_lock import BusyError, folder_lock
from sft_tui.hub.listing import BadListingError
from sft_tui.hub.network import (
    InsecureError,
    MissingError,
    Network,
    NetworkError,
    NoNetError,
    OutOfTimeError,
    Patience,
    RefusedError,
)
from sft_tui.hub.transfer import WrongContentError, part_path
from tests.unit.hub.hub_server import COMMIT, HubServer

SHARD = "model-00002-of-00003.safetensors"
CHOSEN = {
    "config.json", "model-00001-of-00003.safetensors", SHARD, "model-00003-of-00003.safetensors",
    "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


def fetch(request):
    return download(request, find(request))


def files_in(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."}


def assert_whole(hub, folder):
    assert files_in(folder) == {name: hub.files[name] for name in CHOSEN}
    assert not (folder / WORK).exists()


@pytest.mark.parametrize("kind", ["hf", "modelscope", "modelers"])
def test_what_training_needs_comes_whole(hub, request_for, tmp_path, kind):
    done = fetch(request_for(kind))
    assert_whole(hub, tmp_path / "toy")
    assert (done.fetched, done.kept, done.from_cache) == (len(CHOSEN), 0, 0)
    assert done.listing.pin == COMMIT if kind == "hf" else done.listing.pin.startswith("set-sha256:")
    again = fetch(request_for(kind))
    assert (again.fetched, again.kept, again.bytes_fetched) == (0, len(CHOSEN), 0)


def test_folders_and_patterns(request_for, tmp_path):
    fetch(request_for("modelers", files=("onnx/*", "config.json")))
    assert set(files_in(tmp_path / "toy")) == {"onnx/model.onnx", "config.json"}
    with pytest.raises(InvalidInputError, match=r"No file of org/toy matches 'nothing\*'"):
        find(request_for(files=("nothing*",)))


def test_a_bin_is_taken_where_there_is_no_safetensors(hub, request_for, tmp_path):
    hub.files = {n: data for n, data in hub.files.items() if "safetensors" not in n}
    fetch(request_for())
    assert "pytorch_model.bin" in files_in(tmp_path / "toy")
    hub.files = {"model.gguf": b"g" * 3000, "config.json": b"{}"}
    with pytest.raises(InvalidInputError, match="has no weights that training takes"):
        find(request_for(target=tmp_path / "other"))


@pytest.mark.parametrize("kind", ["hf", "modelscope"])
def test_a_data_set_is_listed_by_its_own_words(hub, request_for, tmp_path, kind):
    hub.files = {"data/train.parquet": b"PAR1" * 500, "alpaca.json": b"[]", "loader.py": b"import os"}
    fetch(replace(request_for(kind, tmp_path / "data"), kind="dataset"))
    assert set(files_in(tmp_path / "data")) == {"data/train.parquet", "alpaca.json"}


# what a file does when it is asked for -> the download comes whole all the same
HEALS = {
    "cut once": ["cut", ""],
    "cut again and again, a little further each time": ["cuts"],
    "stalls once": ["stall", ""],
    "trickles once": ["trickle", ""],
    "wrong content once": ["wrong", ""],
    "no range": ["cut", "no range"],
    "a range that begins elsewhere": ["cut", "lying range", ""],
    "416": ["cut", "416", ""],
    "429 with a time": ["429 0", ""],
    "500": ["500", "500", ""],
    "a signature that has expired": ["expired", ""],
    "a login page once": ["page", ""],
    "grown once": ["grown", ""],
}


@pytest.mark.parametrize("faults", HEALS.values(), ids=HEALS)
def test_it_heals(hub, request_for, tmp_path, faults):
    hub.faults[SHARD] = faults
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")


FAILS = {
    "stalls always": (["stall"], NetworkError, "no answer for long"),
    "wrong content always": (["wrong"], WrongContentError, "has not the checksum of its listing, 3 times"),
    "a login page": (["page"], NetworkError, "a login page may stand between"),
    "a circle": (["loop"], NetworkError, "redirects in a circle"),
    "500": (["500"], NetworkError, "answers HTTP 500"),
    "expired always": (["expired"], NetworkError, "answers HTTP 403"),
    "grown": (["grown"], NetworkError, "where its listing says"),
}


@pytest.mark.parametrize(("faults", "error", "words"), FAILS.values(), ids=FAILS)
def test_it_fails_and_says_why(hub, request_for, tmp_path, faults, error, words):
    hub.faults[SHARD] = faults
    with pytest.raises(error, match=words):
        fetch(request_for())
    assert SHARD not in files_in(tmp_path / "toy")
    hub.faults.clear()
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")


def test_it_goes_on_where_it_was(hub, request_for, tmp_path):
    hub.faults[SHARD] = ["cut", "500"]
    with pytest.raises(NetworkError):
        fetch(request_for())
    served = hub.served
    hub.faults.clear()
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")
    size = len(hub.files[SHARD])
    ranges = [headers["Range"] for _, path, headers in hub.requests if SHARD in path and "Range" in headers]
    assert f"bytes={size // 2}-" in ranges
    assert hub.served - served < size


def test_a_part_that_was_damaged_is_fetched_anew(hub, request_for, tmp_path):
    found = find(request_for())
    work = tmp_path / "toy" / WORK
    work.mkdir(parents=True)
    part_path(work, found.listing.files[SHARD]).write_bytes(b"rubbish" * 1000)
    download(request_for(), found)
    assert_whole(hub, tmp_path / "toy")


def test_other_content_of_that_name_is_not_gone_on_with(hub, request_for, tmp_path):
    old, work = find(request_for()).listing.files[SHARD], tmp_path / "toy" / WORK
    work.mkdir(parents=True)
    part_path(work, old).write_bytes(hub.files[SHARD][:1000])
    hub.files[SHARD] = os.urandom(1 << 20)
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")
    assert not any("Range" in headers for _, path, headers in hub.requests if SHARD in path)


def test_another_source_stands_in_by_digest_alone(hub, request_for, tmp_path, monkeypatch):
    with HubServer(hub.files) as other:
        sources = [*module.find_sources(f"hf={hub.base}"), *module.find_sources(f"modelscope={other.base}")]
        monkeypatch.setattr(module, "find_sources", lambda _word: tuple(sources))
        hub.faults[SHARD] = ["wrong"]
        fetch(request_for())
        assert_whole(hub, tmp_path / "toy")
        assert any(SHARD in path for _, path, _ in other.requests if "signed" in path)
        other.files[SHARD] = os.urandom(len(hub.files[SHARD]))  # another model under the same name
        with pytest.raises(WrongContentError):
            fetch(request_for(target=tmp_path / "second"))


# -- listings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "",
        "a//b",
        "./a",
        "con\0sole",
        "a\nb",
        "config.json",
        "Config.JSON",
    ],
)
@pytest.mark.parametrize("kind", ["hf", "modelscope", "modelers"])
def test_a_listing_that_leads_elsewhere_is_refused(hub, request_for, tmp_path, kind, path):
    words = {"path": path, "Path": path, "size": 3, "Size": 3, "type": "file", "Type": "blob", "oid": "0" * 40}
    hub.extra_entries.append(words)
    with pytest.raises(BadListingError):
        find(request_for(kind))
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("size", [-1, None, "12", True, 2**60])
def test_a_size_that_is_none_is_refused(hub, request_for, size):
    hub.extra_entries.append({"type": "file", "path": "x.json", "size": size, "oid": "0" * 40})
    with pytest.raises(BadListingError, match="gives no size"):
        find(request_for())


def test_the_listing_is_asked_for_again(hub, request_for):
    hub.listing_faults = ["500", "no json"]
    assert set(find(request_for()).listing.files) == set(hub.files)


def test_what_is_not_there_is_named(hub, request_for):
    with pytest.raises(MissingError, match="there is no model org/other") as caught:
        find(replace(request_for(), repo="org/other"))
    assert "Check the name" in caught.value.hint
    with pytest.raises(MissingError, match="at revision v9"):
        find(request_for(revision="v9"))
    with pytest.raises(MissingError) as caught:
        find(replace(request_for(), repo="Qwen/Qwen3-8b"))
    assert "Qwen/Qwen3-8B" in caught.value.hint


@pytest.mark.parametrize("name", ["toy", "a/b/c", "../x", "org/..", "org/a b", "-x/y", "org/\x1b[2J"])
def test_what_is_no_name_is_refused_before_anybody_is_asked(hub, request_for, name):
    with pytest.raises(InvalidInputError, match="is no name of a repository"):
        find(replace(request_for(), repo=name))
    assert not hub.requests


def test_a_gate_names_page_and_token(hub, request_for, monkeypatch):
    hub.listing_faults = ["gated"]
    monkeypatch.setenv("MY_TOKEN", "hf_secret")
    with pytest.raises(RefusedError, match="Access is restricted") as caught:
        find(request_for(token_env="MY_TOKEN"))
    assert "found in MY_TOKEN" in caught.value.hint and f"{hub.base}/org/toy" in caught.value.hint
    assert "hf_secret" not in str(caught.value)


def test_a_net_that_is_not_there(hub, request_for):
    with pytest.raises(NoNetError, match="it refuses connections") as caught:
        find(replace(request_for(), source="http://127.0.0.1:9"))
    assert caught.value.exit_code == 4


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_goes_to_its_own_host_and_nowhere_else(hub, request_for, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hf_secret")
    fetch(request_for(token_env="MY_TOKEN"))
    seen = {host.partition(":")[0]: set() for host, _, _ in hub.requests}
    for host, _, headers in hub.requests:
        seen[host.partition(":")[0]].add(headers.get("Authorization"))
    assert seen == {"127.0.0.1": {"Bearer hf_secret"}, "localhost": {None}}


def test_a_password_of_netrc_is_not_sent(hub, request_for, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fetch(request_for())
    assert not any("Authorization" in headers for _, _, headers in hub.requests)


def test_a_mirror_gets_no_token_unless_it_is_asked_for(hub, request_for, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    find(request_for())  # an address that the user typed: no hub of that token
    assert not any("Authorization" in headers for _, _, headers in hub.requests)
    monkeypatch.setenv("HF_ENDPOINT", hub.base)
    find(replace(request_for(), source="hf"))
    assert any(headers.get("Authorization") == "Bearer hf_secret" for _, _, headers in hub.requests)


def test_https_is_not_left_for_http():
    network = Network(Patience(tries=1))

    class Answer:
        status_code, headers = 302, {"Location": "http://other/x"}

        def close(self):
            pass

    network._get = lambda _address, _headers: Answer()
    with pytest.raises(InsecureError, match="from https to http"):
        network.open("https://hub/x")


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_a_file_that_differs_is_kept_without_force(hub, request_for, tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "config.json").write_text("mine")
    with pytest.raises(InvalidInputError, match="is there already, and is not that of the hub"):
        fetch(request_for())
    assert (folder / "config.json").read_text() == "mine" and len(hub.requests) < 6
    fetch(request_for(force=True))
    assert_whole(hub, folder)


def test_a_link_is_replaced_by_a_file_of_its_own(hub, request_for, tmp_path):
    folder, outside = tmp_path / "toy", tmp_path / "outside.json"
    folder.mkdir()
    outside.write_text("precious")
    (folder / "config.json").symlink_to(outside)
    fetch(request_for(force=True))
    assert outside.read_text() == "precious" and not (folder / "config.json").is_symlink()


def test_a_folder_that_leads_out_is_refused(request_for, tmp_path):
    folder, outside = tmp_path / "toy", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "onnx").symlink_to(outside)
    with pytest.raises(InvalidInputError, match="leads out of"):
        fetch(request_for(files=("onnx/*",)))
    assert not list(outside.iterdir())


def test_a_device_in_the_way_is_not_replaced(request_for, tmp_path):
    (tmp_path / "toy").mkdir()
    os.mkfifo(tmp_path / "toy" / "config.json")
    with pytest.raises(InvalidInputError, match="FIFO"):
        fetch(request_for(force=True))


def test_room_is_looked_at_before_the_first_byte(hub, request_for, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1 << 20))
    with pytest.raises(EnvironmentNotFitError, match="needs about"):
        fetch(request_for())
    assert not any("signed" in path for _, path, _ in hub.requests)


def test_the_second_of_two_says_who_has_it(request_for, tmp_path):
    found = find(request_for())
    work = tmp_path / "toy" / WORK
    work.mkdir(parents=True)
    with folder_lock(work, tmp_path / "toy"), pytest.raises(BusyError, match=f"Process {os.getpid()} on"):
        download(request_for(), found)
    download(request_for(), found)


def test_a_lock_of_a_dead_process_is_taken_over(hub, request_for, tmp_path):
    work = tmp_path / "toy" / WORK / "lock"
    work.mkdir(parents=True)
    (work / "beat").write_text(f"{socket.gethostname()} 999999999 \n")
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")


def test_it_can_be_stopped_and_goes_on(hub, request_for, tmp_path):
    hub.faults[SHARD] = ["slow"]
    request = request_for()
    timer = threading.Timer(0.3, request.patience.stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        fetch(request)
    hub.faults.clear()
    fetch(request_for())
    assert_whole(hub, tmp_path / "toy")


def test_the_time_that_was_given_ends_it(hub, request_for):
    hub.faults[SHARD] = ["slow"]
    patience = Patience(stall_seconds=5, window_seconds=5, first_pause=0.01, deadline=time.monotonic() + 0.5)
    with pytest.raises(OutOfTimeError):
        fetch(request_for(patience=patience))


# -- caches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["hf blob", "modelscope old", "modelscope new"])
def test_what_another_tool_has_downloaded_is_taken(hub, request_for, tmp_path, layout, monkeypatch):
    data, cache = hub.files[SHARD], tmp_path / "cache"
    monkeypatch.setenv("MODELSCOPE_CACHE", str(cache / "modelscope"))
    path = {
        "hf blob": cache / "huggingface/hub/models--org--toy/blobs" / hashlib.sha256(data).hexdigest(),
        "modelscope old": cache / "modelscope/hub/models/org/toy" / SHARD,
        "modelscope new": cache / "modelscope/models/org--toy/snapshots/master" / SHARD,
    }[layout]
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    done = fetch(request_for())
    assert_whole(hub, tmp_path / "toy")
    assert done.from_cache == 1 and not any(SHARD in p for _, p, _ in hub.requests if "signed" in p)


def test_what_was_brought_is_taken_without_a_net(hub, request_for, tmp_path):
    fetch(request_for(target=tmp_path / "there"))
    asked = len(hub.requests)
    done = fetch(replace(request_for(), source="http://127.0.0.1:9", brought=tmp_path / "there"))
    assert_whole(hub, tmp_path / "toy")
    assert (done.from_cache, done.fetched, len(hub.requests)) == (len(CHOSEN), 0, asked)
    with pytest.raises(InvalidInputError, match="has the model org/toy"):
        find(replace(request_for(), repo="org/other", brought=tmp_path / "there"))


def test_of_what_was_brought_only_the_right_content_counts(hub, request_for, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    for name in CHOSEN:
        (there / name).write_bytes(hub.files[name])
    (there / SHARD).write_bytes(b"?" * len(hub.files[SHARD]))
    done = fetch(request_for(brought=there))
    assert_whole(hub, tmp_path / "toy")
    assert (done.from_cache, done.fetched) == (len(CHOSEN) - 1, 1)


def test_a_cached_file_that_differs_is_not_taken(hub, request_for, tmp_path):
    path = tmp_path / "cache/huggingface/hub/models--org--toy/blobs" / hashlib.sha256(hub.files[SHARD]).hexdigest()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"?" * len(hub.files[SHARD]))
    assert fetch(request_for()).from_cache == 0
    assert_whole(hub, tmp_path / "toy")
