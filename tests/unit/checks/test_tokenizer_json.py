"""Llama 3 and Qwen2.5 by way of a .ckpt: tokenizer.json, the folder's chat template, and what the YAML says of it."""

from __future__ import annotations

import json

import pytest
import yaml

from sft_tui.checks.examine import examine
from sft_tui.core.profile import Profile
from sft_tui.demo.workspace import write_workspace


@pytest.fixture
def examined(home, fake_stack, tmp_path):
    """examined(toy, section__field=value): what is found for that rehearsal, with a MindFormers that is not there."""

    def look(toy, version="1.9.0", mindspore="2.9.0", **changes):
        data = write_workspace(tmp_path / "demo", family=toy)
        data["environment"]["python"] = str(
            fake_stack(mindspore=mindspore, mindformers=version, tokenizers="0.22", transformers="4.57.1")
        )
        for dotted, value in changes.items():
            section, _, field = dotted.partition("__")
            data[section][field] = value
        return examine(Profile.model_validate(data))

    look.folder = tmp_path / "demo"
    return look


def train_yaml(plan):
    return yaml.safe_load(next(file.text for file in plan.files if file.path.endswith("/train.yaml")))


def test_llama3_has_its_scaled_positions_and_the_template_of_its_folder(examined):
    found = examined("llama3")
    assert not found.errors
    folder = examined.folder / "toy-llama3"
    argv = found.plan.step("preprocess-train").argv
    assert argv[argv.index("--tokenizer") + 1] == str(folder)
    assert argv[argv.index("--labels") + 1] == "as-tokens" and argv[argv.index("--template") + 1] == "chat"
    config = train_yaml(found.plan)
    model, tokenizer = config["model"]["model_config"], config["processor"]["tokenizer"]
    assert (model["extend_method"], model["max_position_embedding"]) == ("LLAMA3", 1024)
    assert model["scaling_factor"] == {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
    }  # fmt: skip
    ids = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert ids[str(model["pad_token_id"])]["content"] in ("<|end_of_text|>", "<|reserved_special_token_0|>")
    assert "tie_word_embeddings" not in model and "qkv_has_bias" not in model
    assert (tokenizer["type"], tokenizer["tokenizer_file"]) == ("LlamaTokenizerFast", str(folder / "tokenizer.json"))
    assert tokenizer["add_bos_token"] is False and tokenizer["vocab_file"] is None


def test_qwen2_has_biases_and_one_matrix_for_both_ends(examined):
    found = examined("qwen2")
    assert not found.errors
    model = train_yaml(found.plan)["model"]["model_config"]
    assert (model["qkv_has_bias"], model["tie_word_embeddings"], model["theta"]) == (True, True, 1e6)
    assert (model["extend_method"], model["rms_norm_eps"]) == ("None", 1e-6)


def test_a_base_of_research_keeps_what_is_its_own_and_reads_our_tokenizer(examined, tmp_path):
    """As research/qwen2_5 has it: a tokenizer that is registered from there, and embeddings that are not tied."""
    base = tmp_path / "finetune_qwen2_5_7b_8k.yaml"
    config = train_yaml(examined("qwen2").plan)
    config["model"]["model_config"].update(tie_word_embeddings=False, fine_grain_interleave=1, qkv_has_bias=False)
    config["processor"]["tokenizer"] = {
        "type": "Qwen2_5Tokenizer", "auto_register": "qwen2_5_tokenizer.Qwen2_5Tokenizer", "vocab_file": "/path/v",
        "merges_file": "/path/m", "pad_token": "<|endoftext|>",
    }  # fmt: skip
    base.write_text(yaml.safe_dump(config))
    found = train_yaml(examined("qwen2", training__base_yaml=str(base)).plan)
    model, tokenizer = found["model"]["model_config"], found["processor"]["tokenizer"]
    assert (model["tie_word_embeddings"], model["qkv_has_bias"], model["fine_grain_interleave"]) == (True, True, 1)
    assert tokenizer["type"] == "LlamaTokenizerFast" and not {"auto_register", "merges_file"} & set(tokenizer)


def test_a_folder_without_tokenizer_model_has_the_other_file_read(examined):
    found = examined("llama3", dataset__template="vicuna_v1.1")
    [problem] = [p for p in found.problems if p.field == "dataset.template"]
    assert problem.proposal == "chat" and "chat template of the model's own folder" in problem.hint
    assert not any(p.field == "model.tokenizer_model" and p.severity == "error" for p in found.problems)


def test_gpt2_without_its_template_is_offered_it(examined):
    found = examined("gpt2", "1.3.2", "2.7.0", dataset__template="vicuna_v1.1")
    [problem] = [p for p in found.problems if p.field == "dataset.template"]
    assert problem.proposal == "gpt2"


def test_gpt2_wants_the_two_files_that_mindformers_reads(examined):
    assert not examined("gpt2", "1.3.2", "2.7.0").errors
    folder = examined.folder / "toy-gpt2"
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    [problem] = examined("gpt2", "1.3.2", "2.7.0").errors
    assert problem.field == "model.hf_dir" and "vocab.json and merges.txt" in problem.message
    assert "GPT2Tokenizer" in problem.message and "tokenizer.json alone is not enough" in problem.hint
