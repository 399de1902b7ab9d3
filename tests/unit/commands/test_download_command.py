"""`sft-tui download` as a command: what it says, its exit codes, and nothing of a token in it."""

from __future__ import annotations

import json

import pytest

from tests.unit.hub.conftest import toy_files
from tests.unit.hub.hub_server import COMMIT, REPO, HubServer


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with HubServer(toy_files()) as server:
        yield server


def test_it_tells_what_it_would_do_and_does_it(sft, hub, tmp_path):
    words = ("download", REPO, "--from", hub.base, "--to", tmp_path / "toy")
    told = json.loads(sft(*words, "--dry-run", "--json").stdout)
    assert (told["pin"], told["licence"], told["left_out"]) == (COMMIT, "apache-2.0", 4)
    assert told["size"] == sum(file["size"] for file in told["files"]) > 3 << 20
    assert not (tmp_path / "toy").exists()
    text = sft(*words, "--dry-run").stdout
    assert "weights as safetensors" in text and "conversion and the checkpoints of a full training" in text
    done = sft(*words)
    assert done.returncode == 0 and "7 files" in done.stdout and "7 fetched" in done.stdout
    assert "progress: download" in done.stderr
    assert "7 there already" in sft(*words).stdout


def test_it_verifies_a_folder_without_a_net(sft, hub, tmp_path):
    assert sft("download", REPO, "--from", hub.base, "--to", tmp_path / "toy").returncode == 0
    asked = len(hub.requests)
    whole = sft("download", "--verify", "--to", tmp_path / "toy")
    assert whole.returncode == 0 and "is whole: 7 files" in whole.stdout and len(hub.requests) == asked
    (tmp_path / "toy" / "tokenizer.json").write_bytes(b"x" * 5000)
    (tmp_path / "toy" / "config.json").unlink()
    bad = sft("download", "--verify", "--to", tmp_path / "toy")
    assert bad.returncode == 1
    assert "config.json is missing, tokenizer.json differs" in bad.stderr
    states = {
        file["path"]: file["state"]
        for file in json.loads(sft("download", "--verify", "--to", tmp_path / "toy", "--json").stdout)["files"]
    }
    assert states["config.json"] == "missing" and states["model-00001-of-00003.safetensors"] == "whole"


def test_addresses_for_a_machine_that_has_the_net(sft, hub, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hf_secret")
    done = sft("download", REPO, "--from", hub.base, "--token-env", "MY_TOKEN", "--print-urls")
    lines = done.stdout.splitlines()
    at = lines.index("  out=model-00001-of-00003.safetensors")
    assert lines[at - 1] == f"{hub.base}/{REPO}/resolve/{COMMIT}/model-00001-of-00003.safetensors"
    assert lines[at + 1].startswith("  checksum=sha-256=") and "hf_secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Name what to download"),
        (("toy",), 2, "is no name of a repository"),
        (("org/nothing",), 2, "there is no model org/nothing"),
        ((REPO, "--files", "*.zip"), 2, "matches '*.zip'"),
        ((REPO, "--token-env", "NOT_SET"), 2, "NOT_SET is not set"),
        ((REPO, "--stall", "0"), 2, "seconds, above 0"),
        (("--verify",), 2, "Name the folder to check"),
        (("--verify", "--to", "/nowhere"), 2, "is no folder"),
        ((REPO, "--to", "/proc/x"), 2, "where the kernel shows its own"),
    ],
)
def test_what_is_wrong_is_said(sft, hub, tmp_path, words, code, said):
    to = () if "--to" in words or not words or words[0] == "--verify" else ("--to", tmp_path / "toy")
    done = sft("download", *words, "--from", hub.base, *to)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_source_that_is_none(sft):
    done = sft("download", REPO, "--from", "ftp://x")
    assert done.returncode == 2 and "Known: auto, hf, hf-mirror, modelscope, modelers" in done.stderr
