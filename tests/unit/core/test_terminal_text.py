"""Nothing from a log can act on the terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.core.terminal_text import escape_json, neutralise, replace_controls, short_duration, short_size

nasty = st.text(
    alphabet=st.sampled_from("\x1b\x9b\x9d\x07\r\n\t\b[]()0;?31mABC\\P^_X\u202e\u2066\x7f é中"), max_size=60
)


@given(st.one_of(st.text(), nasty))
def test_no_control_character_survives(text):
    for character in neutralise(text):
        assert character in "\t\n" or unicodedata.category(character) != "Cc"
        assert character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cf")), max_size=60))
def test_plain_text_stays(text):
    assert neutralise(text) == text


@pytest.mark.parametrize(
    "text, plain",
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;AAAA\x1b\\after", "after"),
        ("\x9b31mred", "red"),
        ("half\rdone", "halfdone"),
        ("\x1b]0;never ends\nthe next line stays", "\nthe next line stays"),
        ("\x1b\x1b[31m[2J", "[2J"),
        ("a\tb\n", "a\tb\n"),
    ],
)
def test_examples(text, plain):
    assert neutralise(text) == plain


def test_durations_and_sizes():
    assert [short_duration(s) for s in (-1, 42, 59.6, 185, 7620)] == [
        "0 s",
        "42 s",
        "1 min 0 s",
        "3 min 5 s",
        "2 h 7 min",
    ]
    assert [short_size(s) for s in (0, 999, 1200, 1.2e9, 3e13)] == ["0 B", "999 B", "1.2 kB", "1.2 GB", "30.0 TB"]


MARKS = "\u200e\u200f\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize("character", MARKS, ids=lambda character: f"U+{ord(character):04X}")
def test_marks_that_turn_the_direction_go(character):
    assert neutralise(f"a{character}b") == "ab"
    assert replace_controls(f"a{character}b", lambda _: "?") == "a?b"


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",))))
def test_escaped_json_means_the_same_and_holds_nothing_that_acts(text):
    escaped = escape_json(json.dumps({"name": text + MARKS}, ensure_ascii=False))
    assert json.loads(escaped) == {"name": text + MARKS}
    assert replace_controls(escaped, lambda _: "?") == escaped
