"""Rows of plain text: equal to those of MindFormers' scripts, and complete where everything is kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sft_tui.dataset.encode.plain_text import count_rows, cut_rows, encode_pieces, text_row
from sft_tui.dataset.text.passages import Piece, TextReading, read_pieces
from sft_tui.dataset.tokenizer.load import load_tokenizer

GPT2 = Path(__file__).parents[3] / "golden" / "wikitext2_gpt2"


def rows_of(path, tokenizer, reading, length, **flags):
    left_out = Counter()
    encoded = encode_pieces(read_pieces(path, reading, left_out), tokenizer, reading)
    return list(cut_rows(encoded, length, left_out, keep_all=reading.keep_all, **flags)), left_out


@pytest.fixture(scope="module")
def gpt2():
    return load_tokenizer(GPT2)


@pytest.mark.parametrize("case", ["plain", "tabs"])
def test_rows_are_those_of_the_script_for_gpt2(gpt2, case):
    """The golden rows are of wikitext2_data_process.py itself (make_wikitext2_gpt2.py)."""
    golden = json.loads((GPT2 / "rows.json").read_text())
    length = golden["max_length"]
    rows, left_out = rows_of(GPT2 / f"{case}.tokens", gpt2, TextReading("passages"), length)
    made = [{name: ids.tolist() for name, ids in text_row(ids, length, gpt2.pad_id).items()} for ids in rows]
    assert made == golden["rows"][case]
    assert left_out["characters of the last passage"] > 100 and left_out["headings"] == 5
    assert (left_out["characters behind a tab"] > 0) == (case == "tabs")
    assert 0 < left_out["tokens at the end, too few for a row"] < length


def test_with_one_tab_the_script_appends_what_follows_to_every_row_and_we_do_not(gpt2):
    golden = json.loads((GPT2 / "rows.json").read_text())
    length, theirs = golden["max_length"], golden["rows"]["one_tab"]
    rows, _ = rows_of(GPT2 / "one_tab.tokens", gpt2, TextReading("passages"), length)
    assert len({tuple(row["input_ids"][length:]) for row in theirs}) == 1 and len(theirs[0]["input_ids"]) > length
    assert [ids.tolist() for ids in rows] == [row["input_ids"][:length] for row in theirs]


def test_all_that_the_script_loses_comes_behind_its_rows_on_request(gpt2):
    length = 33
    documented, _ = rows_of(GPT2 / "plain.tokens", gpt2, TextReading("passages"), length)
    kept, left_out = rows_of(GPT2 / "tabs.tokens", gpt2, TextReading("passages", keep_all=True), length)
    assert dict(left_out) == {"headings": 5}
    text = gpt2.decode(np.concatenate(kept).tolist())
    assert "on the\tway\tback they carried wine." in text and text.endswith("in the rows of the script.")
    kept, _ = rows_of(GPT2 / "plain.tokens", gpt2, TextReading("passages", keep_all=True), length)
    assert np.array_equal(kept[: len(documented)], documented) and len(kept) > len(documented)
    assert 1 < len(kept[-1]) <= length


def test_as_for_llama_rows_run_on_over_paragraphs_and_the_rest_is_counted(tmp_path, tokenizer):
    path = tmp_path / "wiki.txt"
    path.write_text("\n\n".join(f"Paragraph number {number} <unk> ends" for number in range(600)), encoding="utf-8")
    stream: list[int] = []
    for piece in read_pieces(path, TextReading(), Counter()):
        stream += [tokenizer.bos_id, *tokenizer.encode(piece.text), tokenizer.eos_id]
    rows, left_out = rows_of(path, tokenizer, TextReading(), 100)
    assert len(rows) == len(stream) // 100
    assert all(row.dtype == np.int32 and row.shape == (100,) for row in rows)
    np.testing.assert_array_equal(np.concatenate(rows), stream[: len(rows) * 100])
    assert left_out["tokens at the end, too few for a row"] == len(stream) % 100 > 1
    assert rows_of(path, tokenizer, TextReading(), len(stream) + 1)[0] == []
    kept, left_out = rows_of(path, tokenizer, TextReading(keep_all=True), 100)
    np.testing.assert_array_equal(np.concatenate(kept), stream)
    assert not left_out


def test_a_text_as_it_is_comes_back_from_the_rows_character_by_character(tmp_path, gpt2):
    path = tmp_path / "own.txt"
    path.write_text("  def f(x):\n\treturn 'N' \n\n\u4f60\u597d\n\nthe end", encoding="utf-8")
    rows, _ = rows_of(path, gpt2, TextReading("passages", "none", keep_all=True), 7)
    assert gpt2.decode(np.concatenate(rows).tolist()) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("tokens", [0, 1, 2, 9, 10, 11, 12, 19, 20, 21, 22, 105])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("keep_all", [False, True])
def test_every_token_is_in_a_row_or_counted(tokens, shifted, keep_all):
    left_out = Counter()
    ids = list(range(1000, 1000 + tokens))
    stretches = [ids[begin : begin + 7] for begin in range(0, tokens, 7)]
    cut = list(cut_rows(iter(stretches), 10, left_out, shifted=shifted, keep_all=keep_all))
    assert len(cut) == count_rows(tokens, 10, shifted=shifted, keep_all=keep_all)
    rows = [text_row(ids, 10, 0, shifted=shifted) for ids in cut]
    assert all(values.shape == (10,) and values.dtype == np.int32 for row in rows for values in row.values())
    learned = [label for row in rows for label in row["labels"].tolist() if label != -100]
    lost = sum(left_out.values())
    first = shifted and bool(rows)  # shifted, the very first token is nobody's label
    assert learned == ids[first : tokens - lost]
    assert lost == 0 or (lost < 10 + shifted and not (keep_all and lost > 1))
    for row in rows:
        known = int((row["labels"] != -100).sum()) - shifted
        assert (row["labels"][:known] == row["input_ids"][shifted : known + shifted]).all()
        assert (row["attention_mask"] == (row["input_ids"] != 0)).all()


def test_a_passage_in_parts_has_one_beginning_and_one_end(tokenizer):
    parts = [Piece("one", True, False, "\n\n"), Piece(" two", False, True, "\n\n"), Piece("x", True, True, "\n\n")]
    first, second, third = encode_pieces(iter(parts), tokenizer, TextReading())
    assert first[0] == tokenizer.bos_id and first[-1] != tokenizer.eos_id
    assert second[0] != tokenizer.bos_id and second[-1] == tokenizer.eos_id
    assert (third[0], third[-1]) == (tokenizer.bos_id, tokenizer.eos_id)
