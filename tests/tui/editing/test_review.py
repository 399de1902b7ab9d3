"""The review: a value that would do is offered with the key that takes it."""

from __future__ import annotations

import json


async def test_a_value_that_would_do_is_taken_by_a_key_and_can_be_taken_back(open_wizard, sound, saved, home):
    long = home / "long.json"
    long.write_text(json.dumps([{"instruction": "say " * 300, "output": "yes"}] * 20))
    sound(dataset__train_path=long)
    async with open_wizard() as wizard:
        await wizard.press("f7")
        await wizard.looked()
        await wizard.until(lambda: "a: seq_length = " in wizard.text, "the proposal")
        assert wizard.footer.get("a") == "Take proposal"
        await wizard.press("a")
        await wizard.until(lambda: saved()["dataset"]["seq_length"] > 256, "the value is saved")
        await wizard.until(lambda: "a: seq_length" not in wizard.text and "a" not in wizard.footer, "it is no problem")
        await wizard.press("ctrl+z")
        await wizard.until(lambda: saved()["dataset"]["seq_length"] == 256, "it is taken back")
