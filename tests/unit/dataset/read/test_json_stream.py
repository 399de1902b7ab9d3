from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.read import json_stream
from sft_tui.dataset.read.items import read_items
from sft_tui.errors import InvalidInputError

any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def message_of(path):
    with pytest.raises(InvalidInputError) as caught:
        list(read_items(path))
    assert str(path) in caught.value.message
    return str(caught.value)


@given(st.lists(any_json, max_size=5), st.sampled_from([None, 1, "\r\n\t"]), st.booleans(), st.integers(1, 40))
def test_a_list_comes_back_whatever_the_size_of_a_read(tmp_path_factory, items, indent, is_ascii, chunk):
    path = tmp_path_factory.mktemp("list") / "in.json"
    path.write_bytes(json.dumps(items, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK_BYTES", chunk)
        assert [item for _, item in json_stream.stream_items(path)] == items


@given(st.lists(any_json, max_size=5), st.data())
def test_every_cut_is_an_error_with_its_place(tmp_path_factory, items, data):
    path = tmp_path_factory.mktemp("cut") / "in.json"
    whole = json.dumps(items, ensure_ascii=True).encode()
    cut = data.draw(st.integers(1, len(whole) - 1))
    path.write_bytes(whole[:cut])
    read = []
    with pytest.raises(InvalidInputError, match=f"breaks off at byte {cut}"):
        for _, item in json_stream.stream_items(path):
            read.append(item)
    # a number that is cut is a number still
    assert read[:-1] == items[: max(0, len(read) - 1)]


@given(st.lists(any_json, max_size=5), st.sampled_from(["\n", "\r\n", "\n\n  \n"]), st.booleans())
def test_lines_come_back(tmp_path_factory, items, end, is_ended):
    path = tmp_path_factory.mktemp("lines") / "in.jsonl"
    lines = end.join(json.dumps(item, ensure_ascii=True) for item in items) + (end if is_ended else "")
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert list(json_stream.stream_lines(path)) == list(enumerate(items, 1))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b'[{"a": 1}, {"b": tru}]', ["after record 1", "line 1, column 18 (byte 17)"]),
        ("a.json", '[\n{"é": 1},\n{"b": ]'.encode(), ["after record 1", "line 3, column 7 (byte 19)"]),
        ("a.json", b'[{"a": "no end]', ["column 8 (byte 7)", "breaks off at byte 15"]),
        ("a.json", b'[{"a": 1.', ["breaks off at byte 9"]),
        ("a.json", b"[1.5e+", ["breaks off at byte 6"]),
        ("a.json", b'[{"a": 1e+', ["breaks off at byte 10"]),
        ("a.json", b'[{"a": tru', ["breaks off at byte 10"]),
        ("a.json", b'[{"a": "\\u12', ["breaks off at byte 12"]),
        ("a.json", b'[{"a": 1},]', ["after record 1", "column 11 (byte 10)", "a comma stands before"]),
        ("a.json", b'[{"a": 1}] []', ["column 12 (byte 11)", "Extra data"]),
        ("a.json", b'{"a": 1,\n "b": [{"c": 1}]}', ["one JSON object"]),
        ("a.json", b'{"data": [{"c": 1}]}\n', ["one JSON object"]),
        ("a.json", b"{\n}\n", ["one JSON object"]),
        ("a.json", b'{"data": [\n{"c": 1},\n{"c": 2}]}\n', ["one JSON object"]),
        ("a.jsonl", b'{"a": 1}\n\n{"b": 2\n', ["after record 1", "line 3, column 8 (byte 17)"]),
        ("a.json", b'{"a": 1}\n{"b": 2\n', ["after record 1", "line 2, column 8 (byte 16)"]),
        ("a.json", b'{"a": 1]\n{"b": 2}\n', ["line 1, column 8 (byte 7)"]),
        ("a.jsonl", b'\xef\xbb\xbf{"a": 1}{"b": 2}\n', ["line 1, column 9 (byte 11)", "one whole JSON object"]),
        ("a.jsonl", b'{"a": 1}\n{"b": "\xff"}\n', ["UTF-8", "byte 16 after record 1"]),
        ("a.json", b"\x1f\x8b\x08\x00", ["compressed", "gunzip"]),
        ("a.parquet", b'[{"a": 1}]', ["not Parquet"]),
        ("a.json", b"[" * 200_000, ["nested too deeply"]),
        ("a.jsonl", b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", ["line 1", "nested too deeply"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    message = message_of(path)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("text", ['{"n": 1, "n": ' + "9" * 5000 + "}", '{"n": NaN, "m": -Infinity}', '{"n": 1e999}'])
def test_odd_numbers_and_keys_given_twice_are_taken(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(f"[{text}]", encoding="utf-8")
    assert len(list(read_items(path))) == 1


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_a_record_of_fifty_megabytes_is_an_error_in_bounded_memory(tmp_path, name):
    path, piece = tmp_path / name, b"word " * 200_000
    opening, closing = (b"output\n", b"") if name == "a.csv" else (b'[{"output": ', b"}]")
    opening = opening[1:] if name == "a.jsonl" else opening
    with path.open("wb") as stream:
        stream.write(opening + b'"')
        for _ in range(50):
            stream.write(piece)
        stream.write(b'"' + closing)
    tracemalloc.start()
    assert "record 1 is larger than 32 MB" in message_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000


def test_a_large_record_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"a": "x"}, {"a": "é" * 10_000_000}, {"a": "y"}], ensure_ascii=False), encoding="utf-8")
    assert [number for number, _ in read_items(path)] == [1, 2, 3]


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.json")
    assert "not an ordinary file" in message_of(tmp_path / "pipe.json")
