from __future__ import annotations

import numpy as np
import pytest

from sft_tui.dataset.encode.plain_text import clean_wikitext, encode_wiki, read_paragraphs
from sft_tui.errors import InvalidInputError

# Made by MindFormers 1.7.0 `wikitext_clean`.
CLEANED = [
    ("a film , television and theatre actor .", "a film, television and theatre actor ."),
    ("a guest @-@ starring role , 1 @,@ 000 times 3 @.@ 5", "a guest-starring role, 1,000 times 3.5"),
    ('he said " hello there " ( twice )', 'he said "hello there" (twice)'),
    ("= = Career = =", "== Career =="),
    ("the dogs ' house \n is big", "the dogs' house\nis big"),
    ("at 5 \u00b0 N : it 's [ ok ] { a }", "at 5\u00b0N: it's [ok] {a}"),
]


@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_the_spacing_of_wikitext_is_undone(text, expected):
    assert clean_wikitext(text) == expected


def test_headings_and_empty_paragraphs_are_left_out(tmp_path):
    path = tmp_path / "wiki.txt"
    path.write_text("= Title =\n\nFirst paragraph .\nSecond line .\n\n = = Part = = \n\n\n\nLast .", encoding="utf-8")
    assert list(read_paragraphs(path)) == ["First paragraph .\nSecond line .", "Last ."]


def test_rows_run_on_over_paragraphs_and_the_rest_is_left_out(tmp_path, tokenizer):
    path = tmp_path / "wiki.txt"
    path.write_text("\n\n".join(f"Paragraph number {number} <unk> ends" for number in range(600)), encoding="utf-8")
    stream: list[int] = []
    for paragraph in read_paragraphs(path):
        stream += [tokenizer.bos_id, *tokenizer.encode(paragraph), tokenizer.eos_id]
    rows = list(encode_wiki(path, tokenizer, 100))
    assert len(rows) == len(stream) // 100
    assert all(row.dtype == np.int32 and row.shape == (100,) for row in rows)
    np.testing.assert_array_equal(np.concatenate(rows), stream[: len(rows) * 100])
    assert list(encode_wiki(path, tokenizer, len(stream) + 1)) == []


def test_a_text_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "wiki.txt"
    with pytest.raises(InvalidInputError, match="could not be read"):
        list(read_paragraphs(path))
    path.write_bytes(b"abc \xff")
    with pytest.raises(InvalidInputError, match="byte 4"):
        list(read_paragraphs(path))
