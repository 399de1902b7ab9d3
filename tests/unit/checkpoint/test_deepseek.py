"""DeepSeek-V3's folder: low-rank attention, layers of three kinds, experts that all tokens go to."""

from __future__ import annotations

import math

import pytest

from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.checkpoint.mapping.hf_model import model_parameters
from sft_tui.checkpoint.mapping.read_config import parse_model_config
from sft_tui.stack.routes import choose_route
from tests.unit.toy_deepseek import write_toy_deepseek

# config.json of deepseek-ai/DeepSeek-V3, as far as sizes go
PUBLISHED = {
    "model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
    "intermediate_size": 18432, "kv_lora_rank": 512, "moe_intermediate_size": 2048, "moe_layer_freq": 1,
    "n_routed_experts": 256, "n_shared_experts": 1, "num_attention_heads": 128, "num_experts_per_tok": 8,
    "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 0, "q_lora_rank": 1536,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280,
}  # fmt: skip
TEXTS = ["words of a toy tokenizer"] * 4


def test_the_published_sizes_are_671_billion():
    parameters = model_parameters(parse_model_config(PUBLISHED, "config.json"))
    assert sum(math.prod(parameter.shape) for parameter in parameters) == pytest.approx(671.026e9, rel=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"num_nextn_predict_layers": 1}, {"first_k_dense_replace": 0}])
def test_every_tensor_of_a_folder_is_called_for(tmp_path, sizes):
    write_toy_deepseek(tmp_path / "ds", texts=TEXTS, **sizes)
    report = inspect_checkpoint(tmp_path / "ds")
    assert not report.problems and report.shapes_agree and report.config.num_experts == 4


def test_a_layer_without_experts_more_than_there_is_is_told_by_name(tmp_path):
    write_toy_deepseek(tmp_path / "ds", texts=TEXTS)
    config = tmp_path / "ds" / "config.json"
    config.write_text(config.read_text().replace('"first_k_dense_replace": 1', '"first_k_dense_replace": 2'))
    [problem] = [p for p in inspect_checkpoint(tmp_path / "ds").problems if p.severity == "error"]
    assert "model.layers.1.mlp.gate_proj.weight" in problem.message and "missing" in problem.message


def test_no_release_trains_from_the_folder_and_labels_are_shifted_all_the_same():
    for version in ("1.7.0", "1.9.0", "2.0.0", "2.1.0"):
        choice = choose_route("deepseek_v3", version)
        assert choice.route is None and choice.reason and not choice.versions
        assert choice.labels == "shifted"
    assert "cannot load the Hugging Face folder" in choose_route("deepseek_v3", "1.9.0").reason
