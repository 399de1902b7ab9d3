"""What a plain text is, what is none, and that a large one is read in little memory."""

from __future__ import annotations

import json

import pytest

from sft_tui.dataset.text.text_file import (
    InstructionDataError,
    check_whole,
    find_text_file,
    is_meant_as_text,
    looks_like_text,
    read_lines,
)
from sft_tui.errors import InvalidInputError


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"not even json", "is JSON: that is instruction data"),
        ("a.txt", json.dumps([{"instruction": "i", "output": "o"}], indent=1).encode(), "is JSON"),
        ("a.txt", b'\xef\xbb\xbf{"messages": []}\n{"messages": []}\n', "is JSON"),
        ("a.txt", b"PAR1\x00\x00", "is Parquet"),
        ("a.csv", b"instruction,output\na,b\n", "is a CSV table"),
    ],
)
def test_a_file_of_records_is_told_from_a_text(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InstructionDataError, match=words) as caught:
        find_text_file(path)
    assert "kind of data `instructions`" in caught.value.hint
    assert not looks_like_text(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n\t\n", "is empty"),
        ("text".encode("utf-16"), "is UTF-16"),
        (b"\x1f\x8b\x08rest", "is compressed"),
        (b"abc\x00def", "control characters"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, words):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=words):
        find_text_file(path)
    assert not looks_like_text(path)


def test_what_is_not_there_or_a_folder_is_named(tmp_path):
    for path, words in ((tmp_path / "no.txt", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(InvalidInputError, match=words):
            find_text_file(path)
        assert not looks_like_text(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"[1] prose", True),
        ("a.tokens", b"", True),
        ("a.raw", b"\xff\xfe", True),
        ("missing.txt", None, True),
        ("a.txt", b'[{"instruction": "i"}]', False),
        ("a", b"Once upon a time", True),
        ("a", b"[1] prose", False),
        ("a", b"", False),
        ("a", b"\xffabc", False),
        ("a.json", b"Once upon a time", False),
        ("missing", None, False),
    ],
)
def test_what_is_meant_as_text_is_told_by_name_and_beginning(tmp_path, name, content, expected):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert is_meant_as_text(path) is expected


def test_the_whole_of_a_file_is_looked_through(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\u4e00" * 400_000, encoding="utf-8")  # characters lie across chunks
    check_whole(path)
    for byte, words in ((b"\x00", "byte 1200000 is 0"), (b"\xe4\xb8", "not valid UTF-8: byte 1200000")):
        path.write_bytes("\u4e00".encode() * 400_000 + byte)
        with pytest.raises(InvalidInputError, match=words):
            check_whole(path)


def test_the_head_of_a_file_ends_with_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sft_tui.dataset.text.text_file._CHUNK_BYTES", 10)
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nthree four\nfive\n")
    assert list(read_lines(path, 100, head=10)) == ["one\n", "two\n"]
    assert list(read_lines(path, 100, head=1000)) == list(read_lines(path, 100))
    path.write_text("one line and no end of it")
    assert "".join(read_lines(path, 100, head=10)) == "one line a"


@pytest.mark.parametrize("text", ["Once upon a time.", "[1] A footnote\nof a book", "{curly}", "= = =", "\u4e00\u4e8c"])
def test_prose_is_text_however_it_begins(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    assert find_text_file(path).by_lines


@pytest.mark.parametrize(
    ("text", "by_lines", "wikitext"),
    [
        ("one\ntwo\nthree\n\n\n", True, False),
        ("\n\none\ntwo", True, False),
        ("one\r\n \t\r\ntwo", False, False),
        ("a\n" * 2**20 + "\nb", False, False),
        ("half @-@ way", True, True),
        ("\n = Title = \n \n text \n", False, True),
        ("x = 3\n= Title =\n", True, False),
    ],
)
def test_blank_lines_and_wikitext_are_noticed(tmp_path, text, by_lines, wikitext):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    found = find_text_file(path)
    assert (found.by_lines, found.wikitext) == (by_lines, wikitext)


def test_lines_end_where_they_end_and_long_ones_come_in_pieces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo\u2028still two\n\n".encode() + b"word " * 100 + b"end")
    lines = list(read_lines(path, 1000))
    assert lines[:3] == ["one\n", "two\u2028still two\n", "\n"] and len(lines) == 4
    pieces = list(read_lines(path, 64))
    assert "".join(pieces) == "".join(lines) and max(map(len, pieces)) <= 64
    assert all(piece.startswith(" word") for piece in pieces[4:-1]), "cut at spaces"


@pytest.mark.parametrize("before", [4, 2**20 - 1, 2**20 + 5])
def test_a_byte_that_is_no_utf8_is_told_by_its_place(tmp_path, before):
    path = tmp_path / "a.txt"
    lines = b"\n".join([b"x" * 79] * (before // 80))
    path.write_bytes(lines + b"\n" * (before - len(lines)) + b"\xe4\xb8 rest")
    with pytest.raises(InvalidInputError, match=f"byte {before}") as caught:
        list(read_lines(path, 1000))
    assert "iconv" in caught.value.hint
