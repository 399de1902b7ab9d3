"""Pages of logs: every line once, whatever the bytes and the size of blocks, in both directions."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.logs import scan as log_scan
from sft_tui.logs.filter import EVERYTHING, LogFilter, compile_search
from sft_tui.logs.merge import MergedPages
from sft_tui.logs.pages import LogPages
from sft_tui.logs.scan import LineScan

LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=20)


def scan(path, offset, block, *, backward=False, must=None, longest=1 << 20):
    before = log_scan.BLOCK, log_scan.LINE_AT_MOST
    log_scan.BLOCK, log_scan.LINE_AT_MOST = block, longest
    descriptor = os.open(path, os.O_RDONLY)
    try:
        way = LineScan(descriptor, offset, 1 << 30, must)
        return list(way.backward() if backward else way.forward())
    finally:
        os.close(descriptor)
        log_scan.BLOCK, log_scan.LINE_AT_MOST = before


@given(lines=LINES, ends=st.booleans(), block=st.integers(1, 9))
def test_each_line_comes_once_in_both_directions(tmp_path_factory, lines, ends, block):
    data = b"\n".join(lines)
    data += b"\n" if ends and data else b""
    path = tmp_path_factory.getbasetemp() / "scan.log"
    path.write_bytes(data)
    wanted = [(m.start(), m[0].rstrip(b"\n")) for m in re.finditer(rb"[^\n]*\n|[^\n]+", data)]
    assert scan(path, 0, block) == wanted
    assert scan(path, len(data), block, backward=True) == wanted[::-1]
    for start, _ in wanted[::3]:
        assert scan(path, start, block) == [entry for entry in wanted if entry[0] >= start]
        assert scan(path, start, block, backward=True) == [entry for entry in wanted if entry[0] < start][::-1]
    must = re.compile(b"a")
    for backward in (False, True):
        passed = scan(path, len(data) if backward else 0, block, backward=backward, must=must)
        assert {entry for entry in wanted if b"a" in entry[1]} <= set(passed) <= set(wanted)


def test_a_line_that_never_ends_is_taken_for_several(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a" * 100 + b"\nb\n")
    forward = scan(path, 0, 16, longest=32)
    assert b"".join(line for _, line in forward) == b"a" * 100 + b"b" and len(forward) > 2
    backward = scan(path, 103, 16, backward=True, longest=32)
    assert b"".join(line for _, line in backward[::-1]) == b"a" * 100 + b"b"


@pytest.fixture
def write(tmp_path):
    def make(name, *lines, end="\n"):
        path = tmp_path / name
        path.write_bytes("\n".join(lines).encode() + end.encode())
        return path

    return make


def texts(page):
    return [line.text for line in page.lines]


def test_pages_go_on_where_the_one_before_ended(write):
    pages = LogPages(write("log", *(f"line {n}" for n in range(10))))
    first = pages.after(0, 4)
    second = pages.after(first.end, 100)
    assert texts(first) + texts(second) == [f"line {n}" for n in range(10)]
    assert texts(pages.before(pages.size(), 3)) == ["line 7", "line 8", "line 9"]
    assert texts(pages.before(first.end, 2)) == ["line 2", "line 3"] and pages.before(first.end, 4).start == 0


def test_a_file_that_is_not_there_is_cut_or_is_no_file_shows_what_there_is(tmp_path, write):
    missing = LogPages(tmp_path / "no")
    assert missing.size() == 0 and missing.after(0, 5).lines == () == missing.before(99, 5).lines
    os.mkfifo(tmp_path / "fifo")
    assert LogPages(tmp_path / "fifo").before(10, 5).lines == ()
    path = write("log", *"abcdef")
    pages = LogPages(path)
    end = pages.size()
    os.truncate(path, 4)
    assert texts(pages.before(end, 5)) == ["a", "b"] and texts(pages.after(end, 5)) == []


def test_a_progress_bar_shows_its_last_picture_and_a_long_line_how_long_it_is(write):
    pages = LogPages(write("log", "10%\r20%\r30%\r", "x" * 10_000, "\x1b[31mred", "ok"))
    bar, long, red, _ = texts(pages.after(0, 9))
    assert bar == "30%" and long == "x" * 4096 + " ... (10,000 bytes)" and red.startswith("\x1b"), "drawn neutralised"


TRACE = (
    "2026-11-24 10:00:00,000 - mindformers - INFO - begin",
    "2026-11-24 10:00:01,000 - mindformers - ERROR - broken",
    "Traceback (most recent call last):",
    "ValueError: nothing",
    "2026-11-24 10:00:02,000 - mindformers - INFO - end",
    "no level",
)


@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_below_an_error_belong_to_it(write, end):
    pages = LogPages(write("log", *TRACE, end=end), LogFilter("error"))
    assert texts(pages.after(0, 9)) == list(TRACE[1:4]) == texts(pages.before(pages.size(), 9))
    [trace, _] = pages.after(0, 9).lines[1:]
    assert texts(pages.after(trace.start, 9)) == list(TRACE[2:4]), "a page that begins below the error"
    value = LogFilter("error", (compile_search("valueerror"),))
    assert texts(LogPages(pages.path, value).before(pages.size(), 9)) == ["ValueError: nothing"]


def test_a_filter_that_finds_nothing_gives_the_word_back_and_goes_on(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"nothing to see here, really\n" * 200_000 + b"needle\n")
    pages = LogPages(path, EVERYTHING.also(compile_search("needle")))
    page, calls = pages.after(0, 5, budget=1 << 20), 1
    while not page.is_whole:
        assert page.lines == ()
        page, calls = pages.after(page.end, 5, budget=1 << 20), calls + 1
    assert texts(page) == ["needle"] and calls > 2
    back = pages.before(page.lines[0].start, 5, budget=1 << 20)
    while not back.is_whole:
        back = pages.before(back.start, 5, budget=1 << 20)
    assert back.lines == () and back.start == 0


def test_what_is_no_regular_expression_is_said():
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        compile_search("(")
    assert compile_search("oom").search(b"OOM") and not compile_search("Oom").search(b"OOM")


def stamped(second, text):
    return f"2026-11-24 10:00:{second:02},000 - mindformers - INFO - {text}"


def everything(pages, count):
    """All lines by pages from the beginning, and from the end."""
    forward, page = [], pages.after(pages.begin(), count)
    while page.lines:
        forward += page.lines
        page = pages.after(page.end, count)
    backward, page = [], pages.before(pages.end(), count)
    while page.lines:
        backward = [*page.lines, *backward]
        page = pages.before(page.start, count)
    return [m.line.text for m in forward], [m.line.text for m in backward]


@given(
    times=st.lists(st.lists(st.integers(0, 59), max_size=12).map(sorted), min_size=1, max_size=4),
    count=st.integers(1, 7),
)
def test_ranks_are_merged_by_time_and_no_line_is_lost(tmp_path_factory, times, count):
    folder = tmp_path_factory.getbasetemp()
    paths = []
    for rank, seconds in enumerate(times):
        paths.append(folder / f"worker_{rank}.log")
        paths[-1].write_text("".join(f"{stamped(s, f'{rank} {n}')}\n  below it\n" for n, s in enumerate(seconds)))
    forward, backward = everything(MergedPages(paths), count)
    assert forward == backward
    assert len(forward) == 2 * sum(map(len, times))
    at = [line[:19] for line in forward if line.startswith("2026")]
    assert at == sorted(at)
    assert all(above.startswith("2026") for above, line in zip(forward, forward[1:]) if line == "  below it")


def test_a_search_in_merged_logs_shows_what_the_others_wrote_at_that_time(write):
    paths = [
        write("worker_0.log", *(stamped(s, f"zero {s}") for s in range(0, 40, 2))),
        write("worker_1.log", *(stamped(s, f"one {s}") for s in range(1, 40, 2))),
    ]
    pages = MergedPages(paths)
    found = pages.find(compile_search("one 21"), pages.begin(), forward=True)
    shown = [merged.line.text.rpartition(" - ")[2] for merged in pages.after(found.start, 3).lines]
    assert shown == ["one 21", "zero 22", "one 23"]
    again = pages.find(compile_search("one 21"), found.end, forward=True)
    assert again.lines == () and again.is_whole
    back = pages.find(compile_search("zero"), found.start, forward=False)
    assert back.lines[0].line.text.endswith("zero 20")
    assert pages.at_time(1e12) == pages.end() and pages.at_time(0.0) == pages.begin()


def test_a_time_is_found_in_a_large_file(tmp_path):
    path = tmp_path / "worker_0.log"
    with path.open("w") as file:
        for n in range(60_000):
            file.write(
                f"2026-11-24 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02},000 - mindformers - INFO - {n}\n  more\n"
            )
    pages = MergedPages([path, tmp_path / "none"])
    time = pages.after(pages.begin(), 1).lines[0].line.time
    for second in (0, 1, 12_345, 59_999):
        offset, none = pages.at_time(time + second)
        [line] = LogPages(path).after(offset, 1).lines
        assert line.text.endswith(f" {second}") and none == 0
