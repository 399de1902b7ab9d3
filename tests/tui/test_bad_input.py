"""What is wrong is said at the very field, as one types, and before anything starts."""

import sys

from sft_tui.paths import jobs_dir, profiles_dir
from sft_tui.store.job_store import list_jobs
from sft_tui.tui import background

SMALL = ("--hidden", "32", "--layers", "1")


async def test_an_invalid_value_is_told_as_one_types(open_wizard):
    async with open_wizard() as wizard:
        await wizard.press("f5")
        await wizard.until(lambda: wizard.step == "training", "training")
        await wizard.type("training.epochs", "2x")
        await wizard.until(lambda: "'2x' is not a whole number" in wizard.under("training.epochs"), "the problem")
        assert "! '2x' is not a whole number." in wizard.text
        await wizard.until(lambda: wizard.mark("F5") == "!", "the rail marks the step")
        await wizard.press("backspace")
        await wizard.until(lambda: "Passes over" in wizard.under("training.epochs"), "the help line is back")
        await wizard.until(lambda: wizard.mark("F5") != "!", "the mark is gone")


async def test_values_out_of_range(open_wizard):
    async with open_wizard(size=(100, 40)) as wizard:
        for key, field, text, said in (
            ("f5", "training.run_name", "a b", "Not a valid name"),
            ("f5", "training.learning_rate", "0", "greater than 0"),
            ("f5", "training.batch_size", "-1", "greater than or equal to 1"),
            ("f4", "dataset.eval_fraction", "0.9", "less than or equal to 0.5"),
            ("f6", "nodes.master_port", "80", "greater than or equal to 1024"),
        ):
            await wizard.press(key)
            await wizard.until(lambda field=field: wizard.field(field), field)
            await wizard.type(field, text)
            await wizard.until(lambda field=field, said=said: said in wizard.under(field), said)


async def test_what_was_typed_is_there_again_in_a_new_app(open_wizard, saved):
    async with open_wizard() as wizard:
        await wizard.press("f5")
        await wizard.type("training.epochs", "many")
        await wizard.press("f2")
        await wizard.type("model.hf_dir", "/no/such [model")
        await wizard.press("ctrl+q")
    assert saved()["training"]["epochs"] == "many"
    async with open_wizard() as wizard:
        await wizard.press("f5")
        await wizard.until(lambda: wizard.field("training.epochs").value == "many", "the text")
        await wizard.until(lambda: "'many' is not" in wizard.under("training.epochs"), "and its problem")
        await wizard.press("f2")
        await wizard.until(lambda: wizard.field("model.hf_dir").value == "/no/such [model", "the path")


async def test_the_rest_is_looked_at_although_a_field_cannot_be_read(open_wizard, profile):
    profile(training__epochs="many", model__hf_dir="/no/such/model")
    async with open_wizard() as wizard:
        await wizard.press("f2")
        await wizard.until(lambda: "does not exist" in wizard.under("model.hf_dir"), "what is wrong with the folder")
        await wizard.press("f7")
        await wizard.until(lambda: "epochs" in wizard.words and "/no/such/model" in wizard.words, "both in the review")


async def test_a_problem_stays_in_view_while_another_field_is_edited(open_wizard, sound, monkeypatch):
    sound(model__hf_dir="/no/such/model")
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f2")
        await wizard.until(lambda: "does not exist" in wizard.under("model.hf_dir"), "the problem")
        monkeypatch.setattr(background, "EXAMINE_DELAY", 5.0)
        await wizard.type("model.tokenizer_model", "x")
        assert wizard.app.session.edited  # the new look has not come yet
        assert "does not exist" in wizard.under("model.hf_dir")


def _no_mindspore(folder):
    script = folder / "bare-python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    script.chmod(0o755)
    return script


async def _is_told(wizard, key, field, *said):
    await wizard.looked()
    await wizard.press(key)
    await wizard.until(lambda: all(part in wizard.under(field) for part in said), f"{said} at {field}")
    await wizard.until(lambda: wizard.mark(key.upper()) == "!", "the rail marks it")
    await wizard.press("ctrl+r")
    await wizard.until(lambda: "Review & launch (F7)" in wizard.notes, "where to look")
    assert list_jobs(jobs_dir()) == []


async def test_a_missing_shard_is_named(open_wizard, sound, make_llama):
    folder = make_llama("half", *SMALL, "--vocab", "1024", "--shards", "2")
    shard = sorted(folder.glob("*.safetensors"))[-1]
    shard.unlink()
    sound(model__hf_dir=folder)
    async with open_wizard() as wizard:
        await _is_told(wizard, "f2", "model.hf_dir", shard.name)


async def test_a_record_without_output_is_named(open_wizard, sound, alpaca):
    path = alpaca("bad.json", change=lambda records: records[6].pop("output"))
    sound(dataset__train_path=path)
    async with open_wizard() as wizard:
        await _is_told(wizard, "f4", "dataset.train_path", "bad.json", "record 7", "output")


async def test_a_file_that_is_not_json(open_wizard, sound, tmp_path):
    (tmp_path / "notes.json").write_text("dear diary")
    sound(dataset__train_path=tmp_path / "notes.json")
    async with open_wizard() as wizard:
        await _is_told(wizard, "f4", "dataset.train_path", "notes.json")


async def test_a_tokenizer_with_more_pieces_than_the_model(open_wizard, sound):
    sound("first", *SMALL, "--vocab", "512")
    async with open_wizard() as wizard:
        await _is_told(wizard, "f2", "model.tokenizer_model", "1024 pieces", "512")


async def test_a_sequence_longer_than_the_models(open_wizard, sound):
    sound(dataset__seq_length=1_000_000)
    async with open_wizard() as wizard:
        await _is_told(wizard, "f4", "dataset.seq_length", "1000000 tokens are more than the model's")


async def test_an_interpreter_that_is_not_there(open_wizard, sound):
    sound(environment__python="/no/such/python")
    async with open_wizard() as wizard:
        await _is_told(wizard, "f1", "environment.python", "/no/such/python does not exist")


async def test_an_interpreter_without_mindspore(open_wizard, sound, tmp_path):
    sound(environment__python=_no_mindspore(tmp_path))
    async with open_wizard(size=(100, 30)) as wizard:
        await _is_told(wizard, "f1", "environment.python", "bare-python has no MindFormers")


async def test_a_profile_file_that_cannot_be_read_is_told_and_the_open_one_stays(open_wizard, profile):
    profile()
    (profiles_dir() / "torn.toml").write_text("name = [")
    async with open_wizard() as wizard:
        await wizard.press("f10")
        await wizard.until(lambda: "torn" in wizard.text, "the profiles")
        await wizard.press("down", "enter")
        await wizard.until(lambda: "torn.toml" in wizard.notes, "what is wrong")
        assert wizard.app.session.name == "first"


async def test_a_disk_that_cannot_be_written_is_told_and_the_text_stays(open_wizard, profile):
    profile()
    async with open_wizard() as wizard:
        folder = profiles_dir()
        folder.rename(folder.with_name("away"))
        folder.write_text("a file in its place")
        await wizard.press("f5")
        await wizard.type("training.epochs", "3")
        await wizard.until(lambda: "profiles" in wizard.notes, "what could not be written")
        assert wizard.field("training.epochs").value == "3"
        folder.unlink()
        folder.with_name("away").rename(folder)
