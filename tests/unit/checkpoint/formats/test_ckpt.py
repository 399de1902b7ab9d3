from __future__ import annotations

import math
from pathlib import Path
from typing import List, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.checkpoint.formats import ckpt_write as ckpt_format
from sft_tui.checkpoint.formats.ckpt_read import TYPE_BYTES, CkptEntry, load_ckpt_entries
from sft_tui.checkpoint.formats.ckpt_write import encoded_size, plan_tensor
from sft_tui.errors import InvalidInputError

# What mindspore.save_checkpoint of 2.7.2 writes for an int32 3 named a, with append_dict {"s": "hello", "n": 5}.
FROM_MINDSPORE = (
    b"\n\x12\n\x01a\x12\r\x12\x05Int32\x1a\x04\x03\x00\x00\x00"
    b'\n"\n\x01s\x12\x1d\x08\x00\x12\x03str\x1a\x14h\x00\x00\x00e\x00\x00\x00l\x00\x00\x00l\x00\x00\x00o\x00\x00\x00'
    b"\n\x16\n\x01n\x12\x11\x12\x05Int64\x1a\x08\x05\x00\x00\x00\x00\x00\x00\x00"
)


def written(name: str, dims: Sequence[int], tensor_type: str, data: bytes) -> bytes:
    raw, at = b"", 0
    for plan in plan_tensor(name, dims, tensor_type, len(data), 0):
        assert plan.offset == len(raw)
        assert plan.content == (len(raw) + len(plan.header), plan.nbytes)
        raw += plan.header + data[at : at + plan.nbytes]
        at += plan.nbytes
    assert at == len(data)
    return raw


def read(path: Path, data: bytes) -> List[CkptEntry]:
    path.write_bytes(data)
    return load_ckpt_entries(path)


def content(path: Path, entry: CkptEntry) -> bytes:
    data = path.read_bytes()
    return b"".join(data[segment.offset : segment.offset + segment.nbytes] for segment in entry.segments)


def refused(path: Path, data: bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(path, data)
    assert caught.value.hint
    return caught.value.message


def test_the_bytes_are_those_of_mindspore():
    assert written("a", (), "Int32", b"\3\0\0\0") == FROM_MINDSPORE[:20]
    assert written("s", (0,), "str", "hello".encode("utf-32-le")) == FROM_MINDSPORE[20:56]


def test_scalars_and_texts_of_a_training_checkpoint_are_read(tmp_path):
    path = tmp_path / "x.ckpt"
    entries = read(path, FROM_MINDSPORE)
    assert [(entry.name, entry.dims, entry.tensor_type) for entry in entries] == [
        ("a", (), "Int32"),
        ("s", (0,), "str"),
        ("n", (), "Int64"),
    ]
    assert [content(path, entry) for entry in entries] == [b"\3\0\0\0", "hello".encode("utf-32-le"), b"\5" + bytes(7)]


def test_a_scalar_saved_with_the_shape_0_and_a_checksum_at_the_end_are_read(tmp_path):
    data = written("global_step", (0,), "Int32", b"\7\0\0\0") + b"crc_num" + (12345).to_bytes(10, "big")
    assert [(entry.name, entry.dims) for entry in read(tmp_path / "x.ckpt", data)] == [("global_step", ())]


def test_a_packed_shape_and_unknown_fields_are_read(tmp_path):
    tensor = b"\x0a\x02\x02\x03" + b"\x12\x04Int8" + b"\x1a\x06abcdef" + b"\x78\x01" + b"\x7d1234" + b"\x7912345678"
    value = b"\x0a\x01w" + b"\x12" + bytes([len(tensor)]) + tensor
    (entry,) = read(tmp_path / "x.ckpt", b"\x0a" + bytes([len(value)]) + value)
    assert (entry.name, entry.dims, content(tmp_path / "x.ckpt", entry)) == ("w", (2, 3), b"abcdef")


@pytest.mark.parametrize("size", [1, 99, 100, 101, 200, 1000])
def test_a_tensor_over_the_slice_size_becomes_several_values(tmp_path, monkeypatch, size):
    monkeypatch.setattr(ckpt_format, "SLICE_BYTES", 100)
    data = bytes(index % 251 for index in range(size))
    raw = written("w", (size,), "Int8", data) + written("v", (1,), "Int8", b"!")
    path = tmp_path / "x.ckpt"
    first, second = read(path, raw)
    assert [segment.nbytes for segment in first.segments] == [100] * (size // 100) + [size % 100] * (size % 100 > 0)
    assert (first.dims, content(path, first), content(path, second)) == ((size,), data, b"!")
    assert len(raw) == encoded_size("w", (size,), "Int8", size) + encoded_size("v", (1,), "Int8", 1)


def test_slices_are_cut_at_512_mib_as_mindspore_does():
    assert list(ckpt_format.slice_sizes(2**29)) == [2**29]
    assert list(ckpt_format.slice_sizes(2**30 + 4)) == [2**29, 2**29, 4]


@settings(suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=9), st.lists(st.integers(1, 4), max_size=4), st.sampled_from(list(TYPE_BYTES))
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda item: item[0],
    )
)
def test_what_is_written_is_read(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "round.ckpt"
    raw = b"".join(written(name, dims, kind, bytes(math.prod(dims) * TYPE_BYTES[kind])) for name, dims, kind in tensors)
    entries = read(path, raw)
    assert [(entry.name, entry.dims, entry.tensor_type) for entry in entries] == [
        (name, tuple(dims), kind) for name, dims, kind in tensors
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no parameter"),
        (FROM_MINDSPORE[:-1], "cut off"),
        (FROM_MINDSPORE[:15], "cut off"),
        (b"PK\x03\x04 a zip file", "broken"),
        (b"\xff" * 40, "does not end"),
        (written("w", (3,), "Float32", bytes(8)), "needs 12"),
        (written("w", (3,), "Float7", bytes(8)), "unknown type 'Float7'"),
        (
            written("w", (2,), "Int8", b"ab") + written("v", (1,), "Int8", b"a") + written("w", (2,), "Int8", b"ab"),
            "twice",
        ),
        (written("w", (4,), "Int8", b"ab") + written("w", (5,), "Int8", b"ab"), "do not fit together"),
        (written("w", (1,) * 65, "Int8", b"a"), "dimensions"),
        (written("w", (2**63,), "Int8", b"a"), "dimensions"),
        (written("w" * 70_000, (1,), "Int8", b"a"), "too long"),
        (b"\n\x07\n\x01m\x1a\x02\n\x00", "map parameter"),
        (b"\n\x03\n\x01m", "without a name or a tensor"),
        (b"\n\x05\n\x01m\x12\x00", "without type or content"),
        (b"\n\x05\n\x01\xff\x12\x00", "UTF-8"),
    ],
)
def test_a_broken_checkpoint_is_refused(tmp_path, data, words):
    message = refused(tmp_path / "x.ckpt", data)
    assert words in message
    assert "x.ckpt" in message


SOUND = FROM_MINDSPORE + written("w", (2, 3), "Float16", bytes(range(12)))
BYTES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=5).map(
        lambda edits: bytes(dict(edits).get(place, byte) for place, byte in enumerate(SOUND))
    ),
)


@settings(suppress_health_check=list(HealthCheck))
@given(data=BYTES)
def test_any_bytes_give_parameters_inside_the_file_or_a_clear_refusal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.ckpt"
    try:
        entries = read(path, data)
    except InvalidInputError as error:
        assert str(path) in error.message
    else:
        assert all(part.offset + part.nbytes <= len(data) for entry in entries for part in entry.segments)
