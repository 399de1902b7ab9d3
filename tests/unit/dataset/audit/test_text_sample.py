"""A text before it is written: what is counted is what will be, and passages are shown."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.dataset.audit import text_sample
from sft_tui.dataset.audit.text_sample import HEAD, PassageViewer, audit_text, inspect_text, sample_text
from sft_tui.dataset.encode.plain_text import cut_rows, encode_pieces
from sft_tui.dataset.read.held_out import HeldOut
from sft_tui.dataset.text.passages import Share, TextReading, choose, read_pieces
from sft_tui.errors import InvalidInputError

READINGS = [TextReading(clean="none"), TextReading("passages", "none"), TextReading(keep_all=True)]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"Passage {n} says a thing or two." for n in range(80)), encoding="utf-8")
    return path


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("shifted", [False, True])
def test_what_is_counted_is_what_will_be(text, tokenizer, reading, shifted):
    sample = sample_text(text, tokenizer, reading, 0.1)
    assert (sample.passages, sample.held_out, sample.counted) == (80, 8, True)
    for held_out in (False, True):
        pieces = choose(read_pieces(text, reading, Counter()), Share(HeldOut(80, 8), held_out))
        encoded = encode_pieces(pieces, tokenizer, reading)
        made = list(cut_rows(encoded, 33, Counter(), shifted=shifted, keep_all=reading.keep_all))
        assert sample.rows(33, shifted=shifted, keep_all=reading.keep_all, held_out=held_out) == len(made) > 1


def test_of_a_long_text_the_rest_is_foretold_by_its_size(text, tokenizer, monkeypatch):
    whole = sample_text(text, tokenizer, READINGS[0], 0.1)
    monkeypatch.setattr(text_sample, "HEAD", 800)
    monkeypatch.setattr("sft_tui.dataset.text.text_file._CHUNK_BYTES", 200)
    sample = sample_text(text, tokenizer, READINGS[0], 0.1)
    assert not sample.counted and HEAD > 800
    for name in ("passages", "held_out", "tokens", "held_out_tokens"):
        assert getattr(sample, name) == pytest.approx(getattr(whole, name), rel=0.15), name
    assert inspect_text(text).passages == pytest.approx(80, rel=0.1)


def test_passages_are_shown_one_after_the_other_and_back(text, tokenizer):
    viewer = PassageViewer(text, tokenizer, 16, READINGS[0])
    assert [viewer.view(n).name for n in (2, 3, 1)] == ["passage 2", "passage 3", "passage 1"]
    view = viewer.view(80)
    [span] = view.spans
    assert "Passage 79 says a thing or two." in span.text and span.trained and not span.beyond
    assert view.tokens == view.trained_tokens
    for number in (0, 81):
        with pytest.raises(InvalidInputError, match=f"no passage {number}"):
            viewer.view(number)


def test_the_audit_counts_the_rows_and_what_is_left_out(text, tokenizer):
    report = audit_text(text, tokenizer, 32, READINGS[0])
    sample = sample_text(text, tokenizer, READINGS[0])
    assert report.rows == sample.rows(33, shifted=False, keep_all=False) and report.pad_share == 0
    assert report.remarks["left_out"] == {"tokens at the end, too few for a row": sample.tokens - 33 * report.rows}
    with pytest.raises(InvalidInputError, match="does not fill a single row of 4097"):
        audit_text(text, tokenizer, 4096, READINGS[0])


MARKS = st.sampled_from(
    [b" = T = ", b"\n", b"\n\n", b"\t", b" @-@ ", b"=", b"(", b'"', b"\r", b"\xef\xbb\xbf", b"\xff", b"\x00"]
)


@given(
    st.lists(MARKS | st.text(max_size=5).map(lambda text: text.encode("utf-8", "ignore")), max_size=12).map(b"".join)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_a_file_is_counted_or_named(tmp_path, tokenizer, content):
    path = tmp_path / "any.txt"
    path.write_bytes(content)
    for reading in (*READINGS, TextReading("passages"), TextReading("passages", keep_all=True), TextReading()):
        try:
            inspect_text(path)
        except InvalidInputError as error:
            assert str(path) in error.message and error.hint
            return
        sample = sample_text(path, tokenizer, reading, 0.3)
        assert sample.tokens >= 0 and 0 <= sample.held_out <= sample.passages
        pieces = list(read_pieces(path, reading, Counter()))
        assert sum(piece.begins for piece in pieces) == sample.passages
        if reading.clean == "none":  # nothing but empty lines and what parts passages is lost
            text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
            kept = "".join(piece.text for piece in pieces)
            assert "".join(kept.split()) == "".join(text.split())
