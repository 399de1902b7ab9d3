"""The Training screen: where the YAML starts, and what memory the training takes."""

import pytest
from textual.widgets import Select

BASE = """\
runner_config:
  epochs: 7  # a comment
model:
  model_config:
    type: LlamaConfig
    seq_length: 4096
"""


def make_home(folder):
    config = folder / "configs" / "llama2" / "finetune_llama2_7b.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(BASE)
    (folder / "mindformers").mkdir()
    (folder / "mindformers" / "__init__.py").write_text('__version__ = "1.9.0"\n')
    (folder / "run_mindformer.py").write_text("")
    return config


async def test_a_configuration_of_mindformers_is_chosen_and_saved(open_wizard, sound, saved, tmp_path):
    config = make_home(tmp_path / "mindformers-1.7")
    sound(environment__mindformers_home=str(tmp_path / "mindformers-1.7"))
    async with open_wizard(size=(100, 40)) as wizard:
        await wizard.looked()
        await wizard.press("f5")
        bases = wizard.app.screen.query_one("#bases", Select)
        await wizard.until(lambda: bases.display, "the configurations")
        bases.value = str(config)
        await wizard.until(lambda: wizard.field("training.base_yaml").value == str(config), "the field")
        found = wizard.app.screen.query_one("#found")
        await wizard.until(lambda: f"the YAML starts from {config}" in str(found.render()), "what it starts from")
        await wizard.press("ctrl+q")
    assert saved()["training"]["base_yaml"] == str(config)


async def test_without_a_source_folder_there_is_nothing_to_choose(open_wizard, sound):
    sound(environment__mindformers_home="")
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f5")
        assert wizard.app.screen.query_one("#bases", Select).display is False


@pytest.mark.real
async def test_the_review_shows_what_is_changed_in_the_base(open_wizard, sound, tmp_path):
    config = make_home(tmp_path / "mindformers-1.7")
    sound(environment__mindformers_home=str(tmp_path / "mindformers-1.7"), training__base_yaml=str(config))
    async with open_wizard(size=(100, 40)) as wizard:
        await wizard.looked()
        assert wizard.app.session.plan, wizard.app.session.all_problems
        await wizard.press("f7")
        review = wizard.app.screen.query_one("#review")
        await wizard.until(lambda: f"--- {config}" in str(review.render()), "the changes")
        lines = [line.strip() for line in str(review.render()).splitlines()]
        assert "-  epochs: 7  # a comment" in lines and "+  epochs: 1  # a comment" in lines
