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
