"""Plain text of a profile: what is found of it for each family, and what is said of a text that cannot be used."""

from __future__ import annotations

import json

import pytest

from sft_tui.checks import text as text_checks
from sft_tui.checks.examine import examine
from sft_tui.core.profile import Profile
from sft_tui.dataset.audit import text_sample
from sft_tui.demo.workspace import write_workspace

PASSAGE = "On Monday the keeper of harbour {n} found a lamp, and took the lamp home.\nThen he slept.\n"
OF_FAMILY = {"llama": "1.9.0", "qwen2": "1.9.0", "qwen3": "1.9.0", "gpt2": "1.3.2"}


def write_text(path, passages=60):
    path.write_text("\n".join(PASSAGE.format(n=n) for n in range(passages)), encoding="utf-8")
    return path


@pytest.fixture
def examined(home, fake_stack, tmp_path):
    """examined(toy, section__field=value): what is found for that toy model and a text of ours."""

    def look(toy="llama", **changes):
        data = write_workspace(tmp_path / "demo", family=toy)
        version = OF_FAMILY[toy]
        data["environment"]["python"] = str(
            fake_stack(
                mindspore="2.7.0" if version == "1.3.2" else "2.9.0", mindformers=version, tokenizers="0.22",
                transformers="4.57.1",
            )
        )  # fmt: skip
        data["dataset"].update(train_path=str(look.text), eval_path="", eval_fraction=0.1, seq_length=64)
        for dotted, value in changes.items():
            section, _, field = dotted.partition("__")
            data[section][field] = str(value) if section == "dataset" and field.endswith("path") else value
        return examine(Profile.model_validate(data))

    look.text = write_text(tmp_path / "village.txt")
    look.folder = tmp_path
    return look


def problem(found, field):
    [one] = [problem for problem in found.problems if problem.field == field]
    return one


@pytest.mark.parametrize("toy", OF_FAMILY)
def test_a_text_is_recognised_and_counted(examined, toy):
    found = examined(toy)
    text = found.text
    assert found.train.is_text and (found.train.count, text.train.passages, text.train.held_out) == (60, 60, 6)
    length = 64 + (toy != "qwen3")
    assert text.train_rows == (text.train.tokens - (toy == "qwen3")) // length > 0
    assert text.eval_rows == (text.train.held_out_tokens - (toy == "qwen3")) // 64 > 0
    assert text.reading.clean == "none" and text.train.begins.startswith("On Monday the keeper of harbour 0")
    assert text.reading.layout == ("passages" if toy == "gpt2" else "paragraphs")
    if toy == "qwen3":  # there is no MindFormers whose YAML its training could start from
        assert {p.field for p in found.errors} == {"training.base_yaml"}
        return
    assert not found.errors
    steps = {step.id: step for step in found.plan.steps}
    assert steps["convert-alpaca"].not_needed and "wiki" in steps["preprocess-train"].argv
    assert found.facts.train_records == text.train_rows and steps["train"].total_steps == 3 * (text.train_rows // 4)


def test_the_template_of_the_profile_is_not_asked_for(examined):
    assert not examined(dataset__template="no such template").errors
    assert not examined(dataset__pack=True).errors


def test_what_a_file_is_can_be_said(examined):
    data = examined.folder / "data"
    examined.text.rename(data)
    assert examined(dataset__train_path=data).text is not None, "by its beginning"
    assert examined(dataset__train_path=data, dataset__kind="text").text is not None
    found = examined(dataset__train_path=data, dataset__kind="instructions")
    assert found.text is None and problem(found, "dataset.train_path").severity == "error" and found.plan is None
    records = examined.folder / "records.json"
    records.write_text(json.dumps([{"instruction": "i", "output": "o"}] * 30))
    assert examined(dataset__train_path=records).text is None
    found = examined(dataset__train_path=records, dataset__kind="text")
    assert "is JSON: that is instruction data" in problem(found, "dataset.train_path").message and found.plan is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"some text\n" * 300_000 + b"\xff", "is not valid UTF-8: byte 3000000"),
        (b"some text\n" * 300_000 + b"\x00", "is no text: byte 3000000 is 0"),
        (b"a short text", "does not fill a single row of 65"),
        (None, "does not exist"),
    ],
    ids=["empty", "encoding", "binary", "short", "missing"],
)
def test_a_text_that_cannot_be_used_is_named(examined, content, words):
    path = examined.folder / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    found = examined(dataset__train_path=path)
    said = problem(found, "dataset.train_path")
    assert words in said.message and str(path) in said.message and said.hint and found.plan is None
    found = examined(dataset__eval_path=path)
    said = problem(found, "dataset.eval_path")
    assert words.replace("65", "64") in said.message and found.plan is None


def test_a_short_text_is_kept_as_a_padded_row(examined):
    path = examined.folder / "short.txt"
    path.write_text("a short text")
    found = examined(
        dataset__train_path=path, dataset__keep_all=True, dataset__eval_fraction=0.0, training__batch_size=1
    )
    assert found.text.train_rows == 1 and not found.errors
    assert found.facts.text.columns == ("input_ids", "labels")


def test_too_little_to_hold_out_is_said_with_a_share_that_would_do(examined):
    said = problem(examined(dataset__eval_fraction=0.01), "dataset.eval_fraction")
    assert "1 passage(s) are held out" in said.message and 0.01 < said.proposal <= 0.5
    assert examined(dataset__eval_fraction=said.proposal).text.eval_rows
    one = examined.folder / "one.txt"
    one.write_text("word " * 4000)
    assert "has 1 passage(s): too few" in problem(examined(dataset__train_path=one), "dataset.eval_fraction").message


def test_the_same_file_for_both_is_noticed_under_another_name(examined):
    link = examined.folder / "other.txt"
    link.symlink_to(examined.text)
    said = problem(examined(dataset__eval_path=link), "dataset.eval_path")
    assert "the file that is trained on" in said.message and said.severity == "warning"


@pytest.mark.parametrize("toy", OF_FAMILY)
def test_ids_that_the_model_does_not_have_are_named(examined, toy):
    examined(toy)
    config = examined.folder / f"demo/toy-{toy}/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": 300}))
    found = examined(toy)
    assert any("only 300 embeddings" in problem.message for problem in found.errors), found.problems


def test_what_cleaning_changes_and_loses_is_told(examined):
    said = problem(examined(dataset__clean="wikitext"), "dataset.clean")
    assert "no marks of WikiText" in said.message and said.proposal == "none" and said.severity == "warning"
    wikitext = examined.folder / "wiki.tokens"
    wikitext.write_text("".join(f" = T {n} = \n \n Some half @-@ way text {n} , it is . \n \n" for n in range(400)))
    found = examined("gpt2", dataset__train_path=wikitext)
    assert found.text.reading.clean == "wikitext"
    assert "characters of the last passage" in problem(found, "dataset.keep_all").message
    kept = examined("gpt2", dataset__train_path=wikitext, dataset__keep_all=True)
    assert not [p for p in kept.problems if p.field == "dataset.keep_all"]


def test_a_long_text_is_foretold_and_then_as_it_was_made(examined, monkeypatch):
    counted = examined().text
    monkeypatch.setattr(text_sample, "HEAD", 1500)
    monkeypatch.setattr("sft_tui.dataset.text.text_file._CHUNK_BYTES", 500)
    examined.text.touch()
    found = examined()
    assert not found.text.facts.counted and found.facts.foretold
    assert found.text.train_rows == pytest.approx(counted.train_rows, rel=0.1)
    assert found.plan.step("train").total_steps == 0


def test_an_edit_looks_at_the_text_again_only_where_it_matters(examined, monkeypatch):
    looks = []
    for name in ("inspect_text", "sample_text", "find_text_file"):
        look = getattr(text_checks, name)
        monkeypatch.setattr(text_checks, name, lambda *given, look=look, name=name: looks.append(name) or look(*given))

    def looked(**changes):
        looks.clear()
        examined(**changes)
        return sorted(looks)

    assert looked() == ["find_text_file", "inspect_text", "sample_text"]
    assert looked(dataset__seq_length=32) == looked(training__epochs=5) == []
    assert looked(dataset__eval_fraction=0.2) == ["sample_text"]
    examined.text.write_text("Another text.\n\n" * 500)
    assert looked() == ["find_text_file", "inspect_text", "sample_text"]
