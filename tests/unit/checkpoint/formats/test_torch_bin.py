"""PyTorch `.bin` files: what torch itself wrote is read, what wants more than tensors is refused by name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import time
import zipfile
from pathlib import Path
from typing import Callable, Dict, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.checkpoint.formats.torch_bin import load_bin
from sft_tui.checkpoint.formats.torch_pickle import MAX_PICKLE_BYTES, parse_state_dict
from sft_tui.checkpoint.formats.weight_files import load_tensor_entries
from sft_tui.errors import InvalidInputError

GOLDEN = Path(__file__).parents[3] / "golden"
TORCH_WORDS = {
    "F32": "torch.float32",
    "F16": "torch.float16",
    "BF16": "torch.bfloat16",
    "I64": "torch.int64",
    "BOOL": "torch.bool",
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9976576152\n"


def refused(path: Path) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        load_bin(path)
    assert caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def members_of(path: Path) -> Dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def write_bin(tmp_path: Path) -> Callable[..., Path]:
    """write_bin({member: bytes or None, ...}) writes torch's golden file with these members changed or left out."""

    def write(changes: Optional[Dict[str, Optional[bytes]]] = None, **options: int) -> Path:
        path = tmp_path / "pytorch_model.bin"
        members = {**members_of(GOLDEN / "torch_2.13.bin"), **(changes or {})}
        with zipfile.ZipFile(path, "w", **options) as archive:
            for name, data in members.items():
                if data is not None:
                    archive.writestr(name, data)
        return path

    return write


def test_what_torch_saved_is_read_to_the_bit():
    file = GOLDEN / "torch_2.13.bin"
    expected = json.loads((GOLDEN / "torch_2.13.json").read_text())
    entries = load_bin(file)
    data = file.read_bytes()
    assert {
        entry.name: {
            "shape": list(entry.shape),
            "dtype": TORCH_WORDS[entry.dtype],
            "sha256": hashlib.sha256(data[entry.offset : entry.offset + entry.nbytes]).hexdigest(),
        }
        for entry in entries
    } == expected
    places = {entry.name: entry.offset for entry in entries}
    assert places["tied"] == places["whole"] == places["rows"] - 2 * 8 * 4


def test_our_own_writer_of_test_files_writes_what_is_read(make_hf, as_bin, tmp_path):
    folder = make_hf("--shards", "2")
    bins = as_bin(folder, tmp_path, shards=2)
    expected = {entry.name: (entry.dtype, entry.shape, entry.nbytes) for entry in load_tensor_entries(folder)}
    found = {entry.name: (entry.dtype, entry.shape, entry.nbytes) for entry in load_tensor_entries(bins)}
    assert found == expected
    assert {entry.file.name for entry in load_tensor_entries(bins)} == {
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    }


class Evil:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_wants_to_run_something_is_refused_with_its_name(write_bin, tmp_path, protocol):
    sign = tmp_path / "it ran"
    payload = pickle.dumps({"w": Evil(os.mkdir, str(sign))}, protocol)
    error = refused(write_bin({"torch_2.13/data.pkl": payload}))
    # of old protocols already the instructions are unknown here
    assert f"{os.mkdir.__module__}.mkdir" in error.message or "wants to run the instruction" in error.message
    assert protocol < 2 or f"{os.mkdir.__module__}.mkdir" in error.message
    assert "torch.load" in error.hint
    assert not sign.exists()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"cos\nsystem\n(X\x02\x00\x00\x00idtR.", "'os.system'"),
        (b"\x80\x02cbuiltins\neval\n.", "'builtins.eval'"),
        (b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.", "'torch._utils._rebuild_qtensor'"),
        (b"\x80\x02ctorch.jit\nload\n.", "'torch.jit.load'"),
        (b"ios\nsystem\n.", "INST"),
        (b"\x80\x02ccollections\nOrderedDict\n(]tR.", "in a way that makes no tensor"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "'torch.FloatStorage' in a way that makes no tensor"),
        (b"\x80\x02}X\x01\x00\x00\x00a]b.", "__setstate__"),
        (b"\x80\x02]}b.", "__setstate__"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x04]\x94\x93.", "broken"),
        (b"\x80\x02K\x01K\x02\x93.", "broken: a name that is no text"),
    ],
)
def test_other_ways_to_run_something_are_refused(payload, words):
    with pytest.raises(InvalidInputError, match=r"^x\.bin: data\.pkl") as caught:
        parse_state_dict(payload, "x.bin: data.pkl")
    assert words in caught.value.message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b".",
        b"\x80\x02.",
        b"\x80\x02}",
        b"\x80\x02]q\x00.",
        b"\x80\x02K\x01.",
        b"\x80\x02}X\x01\x00\x00\x00as.",
        b"\x80\x02}K\x01K\x02s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02t.",
        b"\x80\x02h\x05.",
        b"\x80\x02X\xff\xff\xff\xffab.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
        b"\x80\x02\x8b\xff\xff\xff\x7fab.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        b"\x80\x02]Q.",
        b"\x80\x02(X\x07\x00\x00\x00storageNX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.",
        b"\xff\x00",
    ],
)
def test_a_pickle_that_makes_no_sense_is_refused(payload):
    with pytest.raises(InvalidInputError, match=r"^x\.bin"):
        parse_state_dict(payload, "x.bin")


def nested_tuples(depth: int) -> bytes:
    """A key whose hash takes 2**depth steps in Python's own unpickler."""
    return b"\x80\x02}K\x01" + b"".join(b"q\x01h\x01\x86" for _ in range(depth)) + b"K\x01s."


@pytest.mark.parametrize(
    "bomb",
    [
        nested_tuples(1000),
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a place in the memo for which the unpickler would take 16 GB
        b"\x80\x02" + b"]" * 2_000_000 + b".",
        b"\x80\x02" + b"(" * 2_000_000 + b"t.",
        b"\x80\x02" + b"N" + b"q\x01h\x01" * 400_000 + b".",
        b"\x80\x02" + b"]" + b"q\x01h\x01a" * 300_000 + b".",
        b"I" + b"9" * 1_000_000 + b"\n.",
        b"L" + b"9" * 1_000_000 + b"L\n.",
        b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
    ],
    ids=["hash", "memo", "lists", "marks", "ones", "itself", "digits", "long digits", "long"],
)
def test_a_pickle_bomb_takes_neither_time_nor_memory(bomb):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(InvalidInputError):
        parse_state_dict(bomb, "x.bin")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert time.monotonic() - started < 60


def test_names_alone_are_never_as_long(write_bin):
    assert "too many" in refused(write_bin({"torch_2.13/data.pkl": bytes(MAX_PICKLE_BYTES + 1)})).message


def test_compressed_members_are_refused(write_bin):
    # a zip bomb; and what is compressed could not be read in place
    assert "compressed" in refused(write_bin({"torch_2.13/data/0": bytes(10_000_000)}, compression=8)).message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"torch_2.13/data.pkl": None}, "no data.pkl"),
        ({"other/data.pkl": b""}, "no data.pkl"),
        ({"torch_2.13/data/0": None}, "'whole'"),
        ({"torch_2.13/data/0": bytes(100)}, "needs 192 bytes; its member has 100"),
        ({"torch_2.13/byteorder": b"big"}, "big-endian"),
    ],
)
def test_members_that_do_not_fit_are_named(write_bin, changes, words):
    assert words in refused(write_bin(changes)).message


def test_tensors_that_are_not_row_by_row_or_no_tensors_are_named(tmp_path):
    data = members_of(GOLDEN / "torch_2.13.bin")["torch_2.13/data.pkl"]
    turned = data.replace(b"K\x06K\x08\x86", b"K\x08K\x06\x86", 1)
    assert turned != data
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members_of(GOLDEN / "torch_2.13.bin").items():
            archive.writestr(name, turned if name.endswith("data.pkl") else content)
    error = refused(path)
    assert "'whole'" in error.message
    assert ".contiguous()" in error.hint
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"model": {"w": 1}}, 2))
    assert "holds a dictionary under 'model'" in refused(path).message


def test_what_is_no_zip_file_is_told_apart(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    assert "torch before 1.6" in refused(path).message
    path.write_bytes(POINTER)
    assert "Git LFS pointer" in refused(path).message
    path.write_bytes(b"")
    assert "not a file of torch.save" in refused(path).message


@pytest.mark.parametrize("cut", [4, 100, 1000, -1, -30])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes((GOLDEN / "torch_2.13.bin").read_bytes()[:cut])
    assert "not a whole file of torch.save" in refused(path).message


def test_a_list_of_members_as_big_as_the_disk_is_not_read(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    size = 3_000_000_000
    with path.open("wb") as stream:
        stream.write(b"PK\3\4")
        stream.truncate(size)
        stream.seek(size)
        stream.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, size - 100, 100, 0))
    assert "list of members" in refused(path).message


def test_a_member_that_lies_elsewhere_is_refused(write_bin):
    path = write_bin()
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\1\2")
    data[directory + 42 : directory + 46] = (7).to_bytes(4, "little")
    path.write_bytes(data)
    assert "not where the file says" in refused(path).message


@pytest.mark.parametrize("offset", [10_000, 2**63 - 1, 2**64 - 1])
def test_a_list_of_members_beyond_the_file_is_refused(write_bin, offset):
    path = write_bin()
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    count, size = struct.unpack("<HI", data[end + 10 : end + 16])
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    path.write_bytes(data[:end] + large + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + data[end:])
    assert "not where the file says" in refused(path).message


def test_a_changed_list_of_names_is_noticed(write_bin):
    path = write_bin()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"X\x05\x00\x00\x00whole", b"X\x05\x00\x00\x00whale", 1))
    assert "wrong checksum" in refused(path).message


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"1")
        with pytest.warns(UserWarning):
            archive.writestr("a/data.pkl", b"2")
    assert "two members 'a/data.pkl'" in refused(path).message


def zipped(payload: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", payload)
        archive.writestr("a/data/0", bytes(192))
    return out.getvalue()


SOUND = (GOLDEN / "torch_2.13.bin").read_bytes()
SOUND_PICKLE = members_of(GOLDEN / "torch_2.13.bin")["torch_2.13/data.pkl"]


def spoil(data: bytes) -> st.SearchStrategy[bytes]:
    edits = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)
    return edits.map(lambda found: bytes(dict(found).get(place, byte) for place, byte in enumerate(data)))


INSTRUCTIONS = st.lists(
    st.sampled_from([bytes([code]) for code in b"(.]}NKXMJQRbstuahqrj)\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94"])
    | st.binary(max_size=3)
    | st.sampled_from(
        [b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n"]
    ),
    max_size=40,
).map(b"".join)
FILES = st.one_of(
    st.binary(max_size=64),
    spoil(SOUND),
    st.integers(0, len(SOUND)).map(lambda end: SOUND[:end]),
    spoil(SOUND_PICKLE).map(zipped),
    INSTRUCTIONS.map(zipped),
)


@settings(suppress_health_check=list(HealthCheck))
@given(data=FILES)
def test_any_bytes_give_tensors_inside_the_file_or_a_clear_refusal(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzz.bin"
    file.write_bytes(data)
    try:
        entries = load_bin(file)
    except InvalidInputError as error:
        assert str(file) in error.message
    else:
        assert all(entry.offset + entry.nbytes <= len(data) for entry in entries)
