"""Review, path picker, and profiles."""

import pytest

from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import list_profiles


def _marked(wizard):
    return str(wizard.app.screen.query_one("#picker-path").render())


async def test_the_review_shows_problems_first(open_wizard, sound):
    sound(model__hf_dir="/no/such/model", training__epochs="many")
    async with open_wizard(size=(160, 50)) as wizard:
        await wizard.looked()
        await wizard.press("f7")
        await wizard.until(lambda: "Training (F5) training.epochs" in wizard.words, "what is wrong")
        await wizard.until(lambda: "There are no commands yet" in wizard.words, "the review")
        words = wizard.words
        assert words.index("Training (F5) training.epochs") < words.index("Model (F2) model.hf_dir")
        assert words.index("/no/such/model does not exist") < words.index("There are no commands yet")


@pytest.mark.real
async def test_the_review_shows_the_very_commands(open_wizard, sound):
    sound()
    async with open_wizard(size=(160, 90)) as wizard:
        await wizard.looked()
        assert wizard.app.session.plan, wizard.app.session.all_problems
        await wizard.press("f7")
        await wizard.until(lambda: "Nothing stands in the way" in wizard.text, "the commands")
        shown = str(wizard.app.screen.query_one("#review").render())
        commands = [step.command for step in wizard.app.session.plan.steps if not step.not_needed]
        assert [
            line.strip() for line in shown.splitlines() if line.startswith("   ") and "as documented:" not in line
        ] == commands
        assert "".join(commands[1].split()) in "".join(wizard.words.split())  # whole, however it is wrapped


async def test_the_picker_fills_the_field(open_wizard, tmp_path, saved):
    (tmp_path / "models" / "llama").mkdir(parents=True)
    async with open_wizard() as wizard:
        await wizard.press("f2")
        await wizard.type("model.hf_dir", str(tmp_path / "models"))
        await wizard.press("ctrl+o")
        await wizard.until(lambda: "Model folder: choose a folder" in wizard.text, "the picker")
        await wizard.until(lambda: "llama" in wizard.text.rpartition("models")[2], "what is in the folder")
        await wizard.press("down")
        await wizard.until(lambda: _marked(wizard) == str(tmp_path / "models" / "llama"), "the marked one")
        await wizard.press("ctrl+o")
        chosen = str(tmp_path / "models" / "llama")
        await wizard.until(lambda: wizard.field("model.hf_dir").value == chosen, "the field is filled")
        assert wizard.field("model.hf_dir").has_focus_within
        await wizard.press("ctrl+q")
    assert saved()["model"]["hf_dir"] == chosen


async def test_the_picker_goes_up_shows_hidden_folders_and_can_be_left(open_wizard, tmp_path):
    (tmp_path / "a" / ".cache").mkdir(parents=True)
    async with open_wizard() as wizard:
        await wizard.press("f2")
        await wizard.type("model.hf_dir", str(tmp_path / "a"))
        await wizard.press("ctrl+o")
        await wizard.until(lambda: "choose a folder" in wizard.text, "the picker")
        assert ".cache" not in wizard.text
        await wizard.press("full_stop")
        await wizard.until(lambda: ".cache" in wizard.text, "hidden folders")
        await wizard.press("backspace")
        await wizard.until(lambda: wizard.app.screen.query_one("DirectoryTree").path == tmp_path, "the folder above")
        await wizard.press("escape")
        await wizard.until(lambda: wizard.step == "model" and "choose a folder" not in wizard.text, "closed")
        assert wizard.field("model.hf_dir").value == str(tmp_path / "a")


async def test_names_of_files_reach_the_screen_without_their_escapes(open_wizard, tmp_path):
    folder = tmp_path / "odd"
    (folder / "red\x1b[31m[bold]\x1b]0;title\x07folder").mkdir(parents=True)
    async with open_wizard() as wizard:
        await wizard.press("f2")
        await wizard.type("model.hf_dir", str(folder))
        await wizard.press("ctrl+o")
        await wizard.until(lambda: "red[bold]folder" in wizard.text, "the name without escapes")
        await wizard.press("down")
        await wizard.until(lambda: _marked(wizard) == f"{folder}/red[bold]folder", "its path as well")
        assert "\x1b" not in wizard.text
        await wizard.press("ctrl+o")
        await wizard.until(lambda: "does not" in wizard.under("model.hf_dir") or wizard.app.session.findings, "looked")
        assert "\x1b" not in wizard.text


async def test_another_profile_is_opened_and_a_new_one_made(open_wizard, profile):
    profile("first", training__run_name="one")
    profile("second", training__run_name="two")
    async with open_wizard() as wizard:
        await wizard.press("f10")
        await wizard.until(lambda: "first  (open)" in wizard.text, "the profiles")
        await wizard.press("down", "enter")
        await wizard.until(lambda: wizard.app.session.name == "second", "the other profile")
        await wizard.press("f5")
        await wizard.until(lambda: wizard.field("training.run_name").value == "two", "its values")
        await wizard.press("f10", "tab", *"third", "enter")
        await wizard.until(lambda: "profile third" in wizard.text, "a new profile")
        await wizard.press("ctrl+q")
    assert list_profiles(profiles_dir()) == ["first", "second", "third"]


async def test_a_bad_profile_name_is_told(open_wizard):
    async with open_wizard() as wizard:
        await wizard.press("f10", "tab", "minus", "x", "enter")
        await wizard.until(lambda: "Not a valid name" in wizard.text, "what is wrong")
        await wizard.press("escape")
        assert wizard.app.session.name == "first"


async def test_a_tick_box_says_its_value(open_wizard, saved):
    async with open_wizard() as wizard:
        await wizard.press("f3", "tab")
        await wizard.until(lambda: wizard.field("weights.verify").has_focus_within, "the box")
        assert " yes" in wizard.text
        await wizard.press("space")
        await wizard.until(lambda: " no " in wizard.text, "its new value")
        await wizard.press("ctrl+q")
    assert saved()["weights"]["verify"] is False


async def test_the_catalogue_tells_how_to_fetch_a_model(open_wizard):
    async with open_wizard(size=(120, 40)) as wizard:
        await wizard.press("f2", "shift+tab")
        await wizard.until(lambda: wizard.app.focused.id == "catalogue", "the catalogue")
        await wizard.press("enter", "down", "enter")
        await wizard.until(lambda: wizard.app.screen.query_one("#catalogue-entry").display, "the entry")
        assert "hf" in wizard.words.lower()


@pytest.mark.real
async def test_a_model_that_is_loaded_as_it_is_has_nothing_to_convert(open_wizard, sound, tmp_path):
    write_toy_qwen3(tmp_path / "qwen3")
    sound(model__hf_dir=str(tmp_path / "qwen3"), model__family="qwen3", dataset__seq_length=192)
    async with open_wizard(size=(160, 90)) as wizard:
        await wizard.looked()
        assert wizard.app.session.plan, wizard.app.session.all_problems
        await wizard.press("f3")
        await wizard.until(lambda: "Nothing is to be converted" in wizard.words, "what the route does without")
        await wizard.press("f7")
        await wizard.until(lambda: "loads the Hugging Face folder as it is" in wizard.words, "why in the review")
        shown = str(wizard.app.screen.query_one("#review").render())
        assert "Write the Hugging Face folder" in shown and "finetune_qwen3.yaml" in shown
        await wizard.press("f4")
        await wizard.until(lambda: wizard.field("dataset.train_path").has_focus_within, "the data")
        assert not wizard.field("dataset.template").display, "the folder has its own"


async def test_a_folder_of_another_family_is_told(open_wizard, sound, tmp_path):
    write_toy_qwen3(tmp_path / "qwen3")
    sound(model__hf_dir=str(tmp_path / "qwen3"))
    async with open_wizard(size=(160, 50)) as wizard:
        await wizard.looked()
        await wizard.press("f7")
        await wizard.until(lambda: "holds a model of type qwen3, not llama" in wizard.words, "the other family")
        assert "Choose the family qwen3" in wizard.words


async def test_both_rehearsals_are_offered_and_open_as_profiles(open_wizard, home, monkeypatch):
    monkeypatch.chdir(home)
    async with open_wizard() as wizard:
        for family, name in (("Llama", "demo"), ("Qwen3", "demo-qwen3")):
            await wizard.press("f10")
            await wizard.until(lambda word=family: f"rehearse {word}" in wizard.text, "the rehearsals")
            options = wizard.app.screen.query_one("OptionList")
            options.highlighted = options.get_option_index(f"rehearse {family.lower()}")
            await wizard.press("enter")
            await wizard.until(lambda name=name: wizard.app.session.name == name, "its profile")
        assert wizard.app.session.rehearsal
        assert (home / "sft-tui-demo" / "toy-qwen3" / "tokenizer.json").is_file()
    assert {"demo", "demo-qwen3"} <= set(list_profiles(profiles_dir()))


async def test_a_rehearsal_that_cannot_be_written_says_why_and_others_can_be_chosen(
    open_wizard, profile, home, monkeypatch
):
    profile()
    monkeypatch.chdir(home)
    (home / "sft-tui-demo").mkdir()
    (home / "sft-tui-demo" / "mine").write_text("")
    async with open_wizard() as wizard:
        await wizard.press("f10", "end", "enter")
        await wizard.until(lambda: "is there already and is no rehearsal" in wizard.dialog, "why not")
        profile("other")
        await wizard.press("escape", "f10")
        await wizard.until(lambda: "other" in wizard.dialog, "the profiles anew")
        await wizard.press("end", "enter")
        await wizard.until(lambda: "is there already and is no rehearsal" in wizard.dialog, "why not, once more")
        await wizard.press("home", "down", "enter")
        await wizard.until(lambda: wizard.app.session.name == "other", "another one, by keys")
