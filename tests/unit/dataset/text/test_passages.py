"""Passages: as MindFormers' scripts have them, as they are, and what is left out."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.read.held_out import HeldOut
from sft_tui.dataset.text import passages as passages_module
from sft_tui.dataset.text.passages import Share, TextReading, choose, count_passages, read_pieces
from sft_tui.dataset.text.wikitext import _PAIRS, _close_up, clean_wikitext

# Made by MindFormers 1.7.0 `wikitext_clean`.
CLEANED = [
    ("a film , television and theatre actor .", "a film, television and theatre actor ."),
    ("a guest @-@ starring role , 1 @,@ 000 times 3 @.@ 5", "a guest-starring role, 1,000 times 3.5"),
    ('he said " hello there " ( twice )', 'he said "hello there" (twice)'),
    ("= = Career = =", "== Career =="),
    ("the dogs ' house \n is big", "the dogs' house\nis big"),
    ("at 5 \u00b0 N : it 's [ ok ] { a }", "at 5\u00b0N: it's [ok] {a}"),
]
AS_IT_IS = TextReading(clean="none", keep_all=True)


@pytest.fixture
def read(tmp_path):
    """The texts of the passages of a text, and what was left out."""

    def read(text, reading):
        path = tmp_path / "a.txt"
        path.write_text(text, encoding="utf-8")
        left_out = Counter()
        return [piece.text for piece in read_pieces(path, reading, left_out)], dict(left_out)

    return read


@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_the_spacing_of_wikitext_is_undone(text, expected):
    assert clean_wikitext(text) == expected


PATTERNS = [
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"), (r"\[\s*([^\]]*?)\s*\]", r"[\1]"), (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r'"\s*([^"]*?)\s*"', r'"\1"'), (r"'\s*([^']*?)\s*'", r"'\1'"),
]  # fmt: skip


@given(st.text(alphabet="()[]{}\"' \n\x1c\u3000a", max_size=40))
def test_pairs_are_closed_up_as_by_the_patterns_of_the_script(text):
    expected = text
    for pattern, new in PATTERNS:
        expected = re.sub(pattern, new, expected)
    for opening, closing in _PAIRS:
        text = _close_up(text, opening, closing)
    assert text == expected


@pytest.mark.parametrize(
    "text",
    ["( " * 10**6, "(" + " " * 10**6 + "x" + " " * 10**6, "' " * 10**6, '[" {' * 10**6],
    ids=["brackets", "spaces", "quotes", "mixed"],
)
def test_what_opens_and_never_closes_takes_no_longer(text):
    assert len(clean_wikitext(text)) <= len(text)


def test_as_for_llama_headings_are_left_out_and_counted(read):
    text = "= Title =\n\nFirst paragraph .\nSecond line .\n\n = = Part = = \n\n\n\nLast ."
    assert read(text, TextReading()) == (["First paragraph .\nSecond line .", "Last ."], {"headings": 2})
    assert read(text, TextReading(keep_all=True)) == read(text, TextReading())


def test_text_below_a_heading_without_an_empty_line_is_counted_or_kept(read):
    text = "= Title =\nbelow\n\nafter"
    lost = "characters below a heading without an empty line between"
    assert read(text, TextReading()) == (["after"], {"headings": 1, lost: 5})
    assert read(text, TextReading(keep_all=True)) == (["below", "after"], {"headings": 1})


def test_as_for_gpt2_the_last_passage_and_what_is_behind_a_tab_are_counted_or_kept(read):
    text = "= A =\none .\ntwo\n= B =\nthree\tfour\n= C =\nfive\n= D =\nlast one"
    documented, kept = TextReading("passages"), TextReading("passages", keep_all=True)
    lost = {"headings": 4, "characters behind a tab": 8, "characters of the last passage": 8}
    assert read(text, documented) == (["one. two", "three"], lost)
    assert read(text, kept) == (["one. two", "three\tfour", "five", "last one"], {"headings": 4})


def test_a_text_as_it_is_keeps_every_character(read):
    text = "= Not a heading =\n  indented N times ' \n\n\n a (  b ) \n\nlast\n"
    expected = ["= Not a heading =\n  indented N times ' ", " a (  b ) ", "last"]
    assert read(text, AS_IT_IS) == (expected, {})
    assert read("one\ntwo \n three", AS_IT_IS)[0] == ["one", "two ", " three"], "without blank lines each is a passage"


@pytest.mark.parametrize(
    "text",
    ["x" * 1000, "word " * 300, "a\n" * 500, "a b\n\n" + "y" * 999 + "\n\nz"],
    ids=["long", "words", "lines", "mixed"],
)
@pytest.mark.parametrize("reading", [AS_IT_IS, TextReading("passages", "none"), TextReading("passages", keep_all=True)])
def test_long_passages_come_in_parts(read, monkeypatch, tmp_path, text, reading):
    whole, _ = read(text, reading)
    monkeypatch.setattr(passages_module, "LONGEST", 64)
    pieces = list(read_pieces(tmp_path / "a.txt", reading, Counter()))
    joined = []
    for piece in pieces:
        joined.append(piece.text) if piece.begins else joined.append(joined.pop() + piece.text)
    if reading == TextReading("passages", keep_all=True):  # cleaned line by line, a part of a line is one
        joined, whole = (["".join(text.split()) for text in texts] for texts in (joined, whole))
    assert joined == whole and max(len(piece.text) for piece in pieces) < 192
    assert sum(piece.begins for piece in pieces) == sum(piece.ends for piece in pieces) or reading.clean == "wikitext"


def test_wikitext_in_blocks_reads_as_it_does_as_a_whole(read, monkeypatch):
    text = "".join(f" = Title {n} = \n \n The {n} @-@ th ( small ) text , it is . \n \n" for n in range(300))
    whole = read(text, TextReading(keep_all=True))
    monkeypatch.setattr(passages_module, "BLOCK", 500)
    assert read(text, TextReading(keep_all=True)) == whole and len(whole[0]) == 300


def test_what_is_held_out_is_the_rest_of_what_is_trained_on(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"passage {n}" for n in range(100)))
    total = count_passages(path, AS_IT_IS)
    share = [
        [piece.text for piece in choose(read_pieces(path, AS_IT_IS, Counter()), Share(HeldOut(total, 7), evaluation))]
        for evaluation in (False, True)
    ]
    assert (total, *map(len, share)) == (100, 93, 7)
    assert sorted(share[0] + share[1]) == sorted(f"passage {n}" for n in range(100))


@pytest.mark.parametrize(
    "line",
    ["some words of a text and \u4e00 " * 9 + "more\n", "some words of a text " * 9 + "\n\n", "no end "],
    ids=["lines", "paragraphs", "one line"],
)
@pytest.mark.parametrize("reading", [AS_IT_IS, TextReading("passages", keep_all=True)])
def test_memory_stays_flat(tmp_path, monkeypatch, line, reading):
    path = tmp_path / "a.txt"
    monkeypatch.setattr(passages_module, "LONGEST", 2**16)
    monkeypatch.setattr("sft_tui.dataset.text.text_file._CHUNK_BYTES", 2**16)
    path.write_text(line * (6_000_000 // len(line.encode())), encoding="utf-8")
    tracemalloc.start()
    try:
        assert sum(len(piece.text) for piece in read_pieces(path, reading, Counter())) > 4_000_000
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()
