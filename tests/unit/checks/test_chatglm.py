"""GLM-4-9B as it came first: what is found in its folder, and what the YAML says of it."""

from __future__ import annotations

import pytest
import yaml

from sft_tui.checks.examine import examine
from sft_tui.core.profile import Profile
from sft_tui.demo.records import build_records
from sft_tui.demo.workspace import write_workspace
from tests.unit.toy_chatglm import write_toy_chatglm


@pytest.fixture
def examined(home, fake_stack, tmp_path):
    texts = [f"{record['instruction']}\n{record['output']}" for record in build_records()]
    write_toy_chatglm(tmp_path / "glm", tmp_path / "glm-hf", texts)
    data = write_workspace(tmp_path / "demo")
    data["model"].update(family="chatglm", hf_dir=str(tmp_path / "glm"))
    data["dataset"]["template"] = "chat"

    def look(version="1.9.0", mindspore="2.9.0", tokenizer=str(tmp_path / "glm-hf"), **dataset):
        data["dataset"].update(dataset)
        data["environment"]["python"] = str(
            fake_stack(mindspore=mindspore, mindformers=version, tokenizers="0.22", transformers="4.57.1")
        )
        data["model"]["tokenizer_model"] = tokenizer
        return examine(Profile.model_validate(data))

    return look


def test_its_network_speaks_words_of_its_own_and_takes_shifted_labels(examined):
    found = examined()
    assert not found.errors
    plan = found.plan
    model = yaml.safe_load(next(file.text for file in plan.files if file.path.endswith("/train.yaml")))["model"]
    config = model["model_config"]
    assert (config["type"], model["arch"]["type"]) == ("ChatGLM2Config", "ChatGLM2ForConditionalGeneration")
    assert (config["padded_vocab_size"], config["ffn_hidden_size"], config["kv_channels"]) == (640, 96, 16)
    assert (config["num_attention_heads"], config["multi_query_group_num"], config["rope_ratio"]) == (4, 2, 1)
    assert not {"vocab_size", "num_heads", "n_kv_heads", "intermediate_size", "theta"} & set(config)
    for part in ("train", "eval"):
        argv = plan.step(f"preprocess-{part}").argv
        assert argv[argv.index("--labels") + 1] == "shifted" and argv[argv.index("--template") + 1] == "chat"


def test_of_plain_text_its_network_takes_shifted_labels_as_well(examined, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Some words, and some more of them.\n\n" * 900, encoding="utf-8")
    found = examined(train_path=str(path), eval_path="", eval_fraction=0.2, seq_length=64)
    assert not found.errors
    argv, text = found.plan.step("preprocess-train").argv, found.text
    assert argv[argv.index("--labels") + 1] == "shifted" and argv[argv.index("--model") + 1] == "chatglm"
    config = yaml.safe_load(next(file.text for file in found.plan.files if file.path.endswith("/train.yaml")))
    assert config["train_dataset"]["input_columns"] == ["input_ids", "labels"]
    assert text.train_rows == (text.train.tokens - 1) // 64


def test_its_own_tokenizer_cannot_be_read_and_the_one_that_can_is_named(examined):
    [problem] = [p for p in examined(tokenizer="").errors if p.field == "model.tokenizer_model"]
    assert "tiktoken" in problem.message and "tokenizer.json" in problem.hint


@pytest.mark.parametrize(("version", "mindspore"), [("1.2.0", "2.3.0")])
def test_a_release_without_it_is_refused_with_those_that_have_it(examined, version, mindspore):
    assert any("1.3" in p.message + p.hint and p.exit_code == 4 for p in examined(version, mindspore).errors)
