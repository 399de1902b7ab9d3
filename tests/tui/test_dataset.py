from __future__ import annotations

import csv
import json

import pytest


async def test_what_the_file_holds_and_how_long_the_records_are(open_wizard, sound):
    sound()
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4")
        await wizard.until(lambda: "Lengths of the first" in wizard.app.screen.query_one("#found").visual.plain, "bars")
        found = wizard.app.screen.query_one("#found").visual.plain
        assert "alpaca records, a JSON list" in found
        assert "rows of 257 tokens for training, of 256 for evaluation" in found
        assert "####" in found and "seq_length" in found and "whole, with" in found


async def test_a_csv_with_other_names_is_understood_and_columns_can_be_given(open_wizard, sound, tmp_path):
    path = tmp_path / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prompt", "answer", "note"])
        writer.writerows([f"say {n}", f"said {n}", "x"] for n in range(50))
    sound(dataset__train_path=path)
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4")
        found = wizard.app.screen.query_one("#found").visual
        assert "CSV, columns guessed: instruction=prompt, output=answer" in found.plain
        wizard.field("dataset.columns").query_one("Input").value = "instruction=prompt,output=nothing"

        def told():
            return "no column `nothing`" in wizard.app.screen.query_one("#found").visual.plain

        await wizard.until(told, "the column that is not there")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.nightly)])
async def test_a_record_is_shown_as_the_model_sees_it(open_wizard, sound, size):
    sound()
    async with open_wizard(size=size) as wizard:
        await wizard.looked()
        await wizard.press("f4")
        assert wizard.footer["ctrl+g"] == "Record"
        await wizard.press("ctrl+g")
        await wizard.until(lambda: "record 1 (id 1)" in wizard.dialog, "the first record")
        assert "learned, in reverse" in wizard.dialog and "A chat between" in wizard.dialog
        below = str(wizard.app.wizard_screen.query_one("KeyLine").render())
        assert "^g" not in below and "^o" not in below, "no key is offered that does nothing"
        await wizard.press("left")
        await wizard.press("right")
        await wizard.until(lambda: "record 2 (id 2)" in wizard.dialog, "the next")
        await wizard.press("left")
        await wizard.until(lambda: "record 1 (id 1)" in wizard.dialog, "the one before")
        await wizard.press("escape")
        await wizard.until(lambda: "Data file" in wizard.text, "the form again")


async def test_the_record_behind_the_last_is_told(open_wizard, sound, tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps([{"instruction": f"i{n}", "output": f"o{n}"} for n in range(2)]), encoding="utf-8")
    sound(dataset__train_path=path)
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4", "ctrl+g", "right", "right")
        await wizard.until(lambda: "has no record 3" in wizard.dialog, "there are two")


OF_RECORDS = ("columns", "template", "pack", "on_error", "max_rejected", "on_unread", "max_masked", "warn_cut")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "village.txt"
    path.write_text("\n".join(f"The keeper of lamp {n} slept.\nIt was night.\n" for n in range(600)), encoding="utf-8")
    return path


def found(wizard):
    return wizard.app.screen.query_one("#found").visual.plain


async def test_a_text_is_shown_with_its_rows_and_the_fields_that_go_with_it(open_wizard, sound, text):
    sound(dataset__train_path=text, dataset__seq_length=64)
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4")
        await wizard.until(lambda: "hold out" in found(wizard), "what was found")
        shown = wizard.app.session.findings.text
        assert "plain text, what stands between blank lines is a passage" in found(wizard)
        assert f"train on 570 passages, {shown.train.tokens:,} tokens" in found(wizard)
        assert f"{shown.train_rows} rows of 65 tokens; passages run on from row to row" in found(wizard)
        assert f"hold out 30 passages, {shown.train.held_out_tokens:,} tokens: {shown.eval_rows} rows" in found(wizard)
        assert "not cleaned: the text as it is" in found(wizard)
        assert "It begins\nThe keeper of lamp 0 slept." in found(wizard)
        assert not any(wizard.field(f"dataset.{name}").display for name in OF_RECORDS)
        assert all(wizard.field(f"dataset.{name}").display for name in ("kind", "clean", "keep_all", "eval_fraction"))
        await wizard.press("f5")
        await wizard.until(lambda: "rows of text an epoch" in found(wizard), "the steps")
        await wizard.press("f7")
        await wizard.until(lambda: "not needed: plain text" in wizard.words, "the plan")


async def test_records_have_no_fields_of_a_text_until_it_is_one(open_wizard, sound, text):
    sound()
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4")
        assert not any(wizard.field(f"dataset.{name}").display for name in ("clean", "keep_all"))
        assert wizard.field("dataset.template").display and wizard.field("dataset.kind").display
        await wizard.type("dataset.train_path", str(text))
        await wizard.looked()
        await wizard.until(lambda: wizard.field("dataset.clean").display, "the fields of a text")
        assert not wizard.field("dataset.template").display


async def test_passages_are_shown_one_by_one(open_wizard, sound, text):
    sound(dataset__train_path=text)
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4", "ctrl+g")
        await wizard.until(lambda: "passage 1:" in wizard.dialog, "the first passage")
        assert "The keeper of lamp 0 slept." in wizard.dialog and "cut" not in wizard.dialog
        await wizard.press("right")
        await wizard.until(lambda: "passage 2:" in wizard.dialog and "lamp 1 slept" in wizard.dialog, "the next")


async def test_a_text_that_cannot_be_used_says_so_at_its_field(open_wizard, sound, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good \x1b[31m words\n" * 100 + b"\xff")
    sound(dataset__train_path=path)
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f4")
        await wizard.until(lambda: "not valid UTF-8: byte 1700" in wizard.under("dataset.train_path"), "what is wrong")
        assert wizard.app.session.findings.plan is None
        path.write_bytes(b"good \x1b[31m words\n\n" * 1000)
        await wizard.type("dataset.seq_length", "64")
        await wizard.until(lambda: "It begins" in found(wizard), "what was found")
        assert "\x1b" not in found(wizard), "no escape sequence reaches the terminal"
