from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.checkpoint.formats.source_file import MAX_JSON_BYTES
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS, load_tensor_entries, outside_place
from sft_tui.errors import InvalidInputError

INDEX_NAME = SAFETENSORS.index
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9976576152\n"
FOUR = b"\0\1\2\3"


def refused(path: Path) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        load_tensor_entries(path)
    assert caught.value.hint
    return caught.value


def test_tensors_are_where_the_safetensors_library_finds_them(make_hf):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    folder = make_hf("--shards", "3", "--dtype", "fp32")
    entries = load_tensor_entries(folder)
    expected = {}
    for shard in sorted(folder.glob("*.safetensors")):
        expected.update(load_file(shard))
    assert {entry.name for entry in entries} == set(expected)
    for entry in entries:
        with entry.file.open("rb") as stream:
            stream.seek(entry.offset)
            data = stream.read(entry.nbytes)
        np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(entry.shape), expected[entry.name])


def test_the_order_is_that_of_files_and_bytes(hf_dir):
    entries = load_tensor_entries(hf_dir)
    assert entries == sorted(entries, key=lambda entry: (entry.file.name, entry.offset))
    assert len(entries) == 21


def test_a_single_file_and_a_scalar_can_be_read(tmp_path, write_safetensors):
    file = write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", [], FOUR), "b": ("I8", [0, 3], b"")})
    for path in (file, tmp_path):
        assert {(entry.name, entry.shape, entry.nbytes) for entry in load_tensor_entries(path)} == {
            ("a", (), 4),
            ("b", (0, 3), 0),
        }


def test_model_safetensors_comes_before_an_index(hf_dir, write_safetensors):
    write_safetensors(hf_dir / "model.safetensors", {"a": ("F32", [1], FOUR)})
    assert [entry.name for entry in load_tensor_entries(hf_dir)] == ["a"]


@pytest.mark.parametrize("cut", [0, 5, 8, 300, -1])
def test_a_truncated_shard_is_named(hf_dir, cut):
    shard = hf_dir / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:cut])
    error = refused(hf_dir)
    assert shard.name in error.message
    assert "Download" in error.hint
    if cut == -1:
        assert "'lm_head.weight'" in error.message


@pytest.mark.parametrize("length", [MAX_JSON_BYTES, MAX_JSON_BYTES + 1, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_or_the_limit_is_refused(tmp_path, write_safetensors, length):
    file = write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", [1], FOUR)}, length=length)
    assert str(file) in refused(file).message


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "model.safetensors"
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", MAX_JSON_BYTES + 1))
        stream.truncate(2 * MAX_JSON_BYTES)
    assert "has a header" in refused(file).message


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}, "unknown dtype 'F31'"),
        ({"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, "unknown dtype"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "needs 8"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "no usable shape"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "no usable shape"),
        ({"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}, "no usable shape"),
        ({"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}, "no usable shape"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "no usable data_offsets"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "no usable data_offsets"),
        ({"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}, "needs"),
        ({"dtype": "U8", "shape": [1], "data_offsets": [3, 4]}, "belong to no tensor"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "cut off"),
        ({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "belong to no tensor"),
        ({}, "unknown dtype"),
        ([], "not described"),
    ],
)
def test_a_wrong_description_names_file_and_tensor(tmp_path, write_safetensors, described, words):
    file = write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", [1], FOUR)}, header={"w.x": described})
    error = refused(file)
    assert words in error.message
    assert str(file) in error.message
    assert "'w.x'" in error.message or "at its end" in error.message


def test_overlapping_tensors_are_refused(tmp_path, write_safetensors):
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in ("a", "b")}
    file = write_safetensors(tmp_path / "model.safetensors", {"a": ("F32", [1], FOUR)}, header=header)
    assert "'b'" in refused(file).message
    assert "overlaps" in refused(file).message


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe", b"[]", b"1", b"[" * 100_000, b'{"a":1,"a":2}', b'{"__metadata__":3}']
)
def test_a_header_that_is_no_json_object_is_refused(tmp_path, raw):
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(raw)) + raw)
    assert str(file) in refused(file).message


def test_a_git_lfs_pointer_is_told_from_a_shard(hf_dir):
    (hf_dir / "model-00001-of-00002.safetensors").write_bytes(POINTER)
    error = refused(hf_dir)
    assert "Git LFS pointer" in error.message
    assert "git lfs pull" in error.hint


def test_missing_shards_are_all_named(hf_dir):
    for shard in hf_dir.glob("*.safetensors"):
        shard.unlink()
    message = refused(hf_dir).message
    assert "2 of 2 shards" in message
    assert "model-00001-of-00002.safetensors" in message
    assert "model-00002-of-00002.safetensors" in message


def test_shards_without_their_index_are_refused(hf_dir):
    (hf_dir / INDEX_NAME).unlink()
    assert "no model.safetensors.index.json" in refused(hf_dir).message


def test_a_folder_without_shards_is_refused(tmp_path):
    assert "no safetensors file and no pytorch_model.bin" in refused(tmp_path).message
    assert "does not exist" in refused(tmp_path / "nowhere").message


def test_a_file_without_tensors_is_refused(tmp_path, write_safetensors):
    assert "no tensor" in refused(write_safetensors(tmp_path / "model.safetensors", {})).message


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "../hf/a"])
def test_an_index_may_only_name_files_beside_it(hf_dir, name):
    index = hf_dir / INDEX_NAME
    data = json.loads(index.read_text())
    data["weight_map"]["lm_head.weight"] = name
    index.write_text(json.dumps(data))
    assert "outside its folder" in refused(hf_dir).message


@pytest.mark.parametrize("name", ["../x.bin", "/etc/passwd", "sub/x.bin"])
def test_nor_may_the_index_of_bin_files(hf_dir, as_bin, tmp_path, name):
    folder = as_bin(hf_dir, tmp_path / "bin", shards=2)
    index = folder / "pytorch_model.bin.index.json"
    data = json.loads(index.read_text())
    data["weight_map"]["lm_head.weight"] = name
    index.write_text(json.dumps(data))
    assert "outside its folder" in refused(folder).message


def test_bin_files_that_belong_to_training_are_no_weights(hf_dir, as_bin, tmp_path):
    folder = as_bin(hf_dir, tmp_path / "bin")
    (folder / "training_args.bin").write_bytes(b"PK")
    assert len(load_tensor_entries(folder)) == 21


def test_an_index_of_bin_files_that_disagrees_is_refused(hf_dir, as_bin, tmp_path):
    folder = as_bin(hf_dir, tmp_path / "bin", shards=2)
    first, second = sorted(folder.glob("*.bin"))
    second.write_bytes(first.read_bytes())
    assert "is both in pytorch_model-00001-of-00002.bin" in refused(folder).message
    second.unlink()
    assert "lacks 1 of 2 shards" in refused(folder).message
    (folder / "pytorch_model.bin.index.json").unlink()
    second.write_bytes(first.read_bytes())
    assert "2 shards but no pytorch_model.bin.index.json" in refused(folder).message


def test_a_link_out_of_the_folder_is_followed_and_can_be_said(hf_dir, tmp_path):
    shard = hf_dir / "model-00001-of-00002.safetensors"
    shard.rename(tmp_path / "elsewhere.safetensors")
    shard.symlink_to(tmp_path / "elsewhere.safetensors")
    assert len(load_tensor_entries(hf_dir)) == 21
    assert outside_place(shard) == tmp_path and outside_place(hf_dir / "model-00002-of-00002.safetensors") is None
    shard.unlink()
    shard.symlink_to("/dev/zero")
    assert "is not a file" in refused(hf_dir).message


def test_an_adapter_never_wins_over_whole_weights(tmp_path, as_bin, make_hf, write_safetensors):
    folder = as_bin(make_hf("--dtype", "fp32"), tmp_path / "bin")
    write_safetensors(folder / "adapter_model.safetensors", {"x": ("F32", [1], bytes(4))})
    assert {entry.file.suffix for entry in load_tensor_entries(folder)} == {".bin"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"\n<html><body>mirror</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_what_stands_in_place_of_weights_is_named(hf_dir, content, words):
    (hf_dir / "model-00001-of-00002.safetensors").write_bytes(content)
    assert words in refused(hf_dir).message


def test_a_tar_file_of_old_torch_says_how_it_is_saved_anew(tmp_path):
    head = bytearray(600)
    head[257:262] = b"ustar"
    (tmp_path / "pytorch_model.bin").write_bytes(head)
    assert "torch before" in refused(tmp_path).message


def test_a_loop_of_links_is_refused(hf_dir):
    shard = hf_dir / "model-00001-of-00002.safetensors"
    shard.unlink()
    shard.symlink_to(shard.name)
    assert shard.name in refused(hf_dir).message


def test_a_snapshot_in_the_hugging_face_cache_is_read(hf_dir, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(hf_dir.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    assert len(load_tensor_entries(snapshot)) == 21


def test_a_pipe_in_place_of_a_shard_is_not_waited_for(hf_dir):
    shard = hf_dir / "model-00001-of-00002.safetensors"
    shard.unlink()
    os.mkfifo(shard)
    assert "is not a file" in refused(hf_dir).message


@pytest.mark.parametrize(
    "change",
    [
        {"lm_head.weight": "model-00001-of-00002.safetensors"},
        {"no.such.tensor": "model-00001-of-00002.safetensors"},
        {"lm_head.weight": None},
        {"lm_head.weight": 7},
        {"lm_head.weight": ""},
        {"lm_head.weight": "a\0b"},
    ],
)
def test_index_and_shards_that_disagree_are_refused(hf_dir, change):
    index = hf_dir / INDEX_NAME
    data = json.loads(index.read_text())
    data["weight_map"].update(change)
    if change.get("lm_head.weight", "") is None:
        del data["weight_map"]["lm_head.weight"]
    index.write_text(json.dumps(data))
    message = refused(hf_dir).message
    assert repr(next(iter(change))) in message
    assert INDEX_NAME in message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_an_index_that_says_nothing_is_refused(hf_dir, text):
    (hf_dir / INDEX_NAME).write_text(text)
    assert INDEX_NAME in refused(hf_dir).message


def test_a_tensor_in_two_shards_is_refused(hf_dir):
    first, second = sorted(hf_dir.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    message = refused(hf_dir).message
    assert first.name in message
    assert second.name in message
    assert "'model.embed_tokens.weight'" in message


# A sound file to spoil: header and data of two tensors.
SOUND_HEADER = json.dumps(
    {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [12, 20]},
    }
).encode()
SOUND = struct.pack("<Q", len(SOUND_HEADER)) + SOUND_HEADER + bytes(20)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["F16", "F32"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DESCRIPTION = st.fixed_dictionaries(
    {},
    optional={
        "dtype": JSON | st.just("F16"),
        "shape": JSON | st.lists(st.integers(-1, 2**64), max_size=3),
        "data_offsets": JSON | st.lists(st.integers(-1, 30), min_size=2, max_size=2),
    },
)


def mutate(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    spoilt = bytearray(data)
    for place, value in edits:
        spoilt[place % len(spoilt)] = value
    return bytes(spoilt)


WITH_HEADER = st.dictionaries(st.text(max_size=6), DESCRIPTION | JSON, max_size=3).map(lambda d: json.dumps(d).encode())
FILES = st.one_of(
    st.binary(max_size=64),
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=6).map(
        lambda edits: mutate(SOUND, edits)
    ),
    st.integers(0, len(SOUND)).map(lambda end: SOUND[:end]),
    st.builds(lambda raw, tail: struct.pack("<Q", len(raw)) + raw + tail, WITH_HEADER, st.binary(max_size=30)),
    st.builds(lambda raw: struct.pack("<Q", len(raw)) + raw, st.binary(max_size=60)),
)


@settings(suppress_health_check=list(HealthCheck))
@given(data=FILES)
def test_any_bytes_give_tensors_inside_the_file_or_a_clear_refusal(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    file.write_bytes(data)
    try:
        entries = load_header(file)
    except InvalidInputError as error:
        assert str(file) in error.message
    else:
        assert all(entry.offset + entry.nbytes <= len(data) for entry in entries)
