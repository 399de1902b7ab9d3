"""A log is followed whatever happens to it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.logs import tail as log_tail
from sft_tui.logs.tail import CUT_MARK, MAX_LINE, LogTail


@pytest.fixture
def log(tmp_path):
    return tmp_path / "step.log"


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def test_half_a_line_waits_for_the_rest(log):
    tail = LogTail(log)
    assert tail.read_lines() == []
    append(log, b"one\ntw")
    assert tail.read_lines() == ["one"]
    assert tail.read_lines() == []
    append(log, b"o\n\nthree\r\n")
    assert tail.read_lines() == ["two", "", "three"]


def test_a_character_torn_between_two_reads(log):
    append(log, "中".encode()[:2])
    tail = LogTail(log)
    assert tail.read_lines() == []
    append(log, "中".encode()[2:] + b"\n")
    assert tail.read_lines() == ["中"]


def test_bytes_that_are_no_text(log):
    append(log, b"\xff\xfeabc\x00\n")
    assert LogTail(log).read_lines() == ["��abc\x00"]


def test_a_progress_bar_shows_its_last_picture(log):
    append(log, b"10%\r50%\r100%\n")
    assert LogTail(log).read_lines() == ["100%"]


def test_truncation_starts_over(log):
    tail = LogTail(log)
    append(log, b"one\ntwo\nhalf")
    tail.read_lines()
    log.write_bytes(b"new\n")
    assert tail.read_lines() == ["new"]


def test_rotation_reads_the_old_file_to_its_end_then_the_new(log):
    tail = LogTail(log)
    append(log, b"one\n")
    assert tail.read_lines() == ["one"]
    append(log, b"two\nlast")
    log.rename(log.with_suffix(".1"))
    append(log, b"three\n")
    assert tail.read_lines() == ["two"]
    assert tail.read_lines() == ["last", "three"]


def test_a_deleted_log_and_a_new_one_of_the_same_size(log):
    tail = LogTail(log)
    append(log, b"one\n")
    assert tail.read_lines() == ["one"]
    log.unlink()
    assert tail.read_lines() == []
    append(log, b"two\n")
    assert tail.read_lines() == ["two"]


def test_a_line_that_never_ends_is_cut_once_and_marked(log):
    tail = LogTail(log)
    lines = []
    for _ in range(5):
        append(log, b"x" * 700_000)
        lines += tail.read_lines()
    append(log, b"end\nnext\n")
    while more := tail.read_lines():
        lines += more
    assert lines == ["x" * MAX_LINE + CUT_MARK, "next"]


def test_a_long_line_that_ends_is_cut_the_same(log):
    append(log, b"x" * (3 * MAX_LINE) + b"\nnext\n")
    tail, lines = LogTail(log), []
    for _ in range(10):
        lines += tail.read_lines()
    assert lines == ["x" * MAX_LINE + CUT_MARK, "next"]


def test_from_the_end_leaves_out_the_torn_first_line(log):
    append(log, b"first\nsecond\nthird\n")
    assert LogTail(log, from_end=9).read_lines() == ["third"]
    assert LogTail(log, from_end=1000).read_lines() == ["first", "second", "third"]
    assert LogTail(log.with_name("none"), from_end=5).read_lines() == []


def test_a_folder_or_a_file_that_may_not_be_read_is_an_empty_log(tmp_path):
    assert LogTail(tmp_path).read_lines() == []


def test_closing_begins_anew(log):
    append(log, b"one\n")
    tail = LogTail(log)
    assert tail.read_lines() == ["one"]
    assert tail.read_lines() == []
    tail.close()
    before = len(os.listdir("/proc/self/fd"))
    assert tail.read_lines() == ["one"]
    tail.close()
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.lists(st.binary(max_size=30), max_size=12))
def test_however_it_grows_the_lines_are_those_of_the_file(tmp_path_factory, parts):
    log = tmp_path_factory.mktemp("log") / "l"
    tail, seen = LogTail(log), []
    for part in parts:
        append(log, part)
        seen += tail.read_lines()
    whole = b"".join(parts).split(b"\n")[:-1]
    assert seen == [log_tail._decode(line) for line in whole]


def test_the_last_word_of_a_killed_process_has_no_line_end(log):
    append(log, b"first\nlast word")
    tail = LogTail(log)
    assert tail.read_lines() == ["first"]
    assert (tail.read_rest(), tail.read_rest()) == ("last word", "")
