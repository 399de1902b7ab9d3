from __future__ import annotations

import json

import pytest

from sft_tui.checkpoint.formats.weight_files import load_tensor_entries
from sft_tui.checkpoint.mapping.hf_model import load_source_model, map_model
from sft_tui.checkpoint.mapping.read_config import dimensions_of, load_model_config, parse_model_config
from sft_tui.checkpoint.mapping.tensor_map import expected_parameters
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.errors import InvalidInputError
from sft_tui.families.table import family_of, find_family


def complaints(folder):
    return map_model(load_model_config(folder), load_tensor_entries(folder)).complaints


@pytest.mark.parametrize("case", ["mha_fp16_2shards", "gqa_bf16", "tied_fp32_3shards"])
def test_names_order_and_shapes_are_those_of_the_reference_converter(golden, make_hf, case):
    reference = json.loads((golden / "checkpoints" / f"expected_{case}.json").read_text())
    config = load_model_config(make_hf(*reference["make_hf_llama_arguments"]))
    parameters = expected_parameters(
        find_family("llama"), num_layers=config.num_layers, tied=config.tied, dimensions=dimensions_of(config)
    )
    expected = [(item["name"], tuple(item["dims"])) for item in reference["dtype_none"]]
    assert [(parameter.name, parameter.shape) for parameter in parameters] == expected


def test_a_complete_checkpoint_has_no_complaints(hf_dir):
    assert complaints(hf_dir) == ()


def test_a_missing_layer_is_named(hf_dir, edit_json):
    edit_json(hf_dir / "config.json", num_hidden_layers=3)
    found = complaints(hf_dir)
    assert len(found) == 9
    assert all("is missing" in text and "model.layers.2." in text for text in found)


def test_a_layer_too_many_is_named(hf_dir, edit_json):
    edit_json(hf_dir / "config.json", num_hidden_layers=1)
    found = complaints(hf_dir)
    assert len(found) == 9
    assert all("unknown" in text and "model.layers.1." in text for text in found)


def test_a_wrong_shape_says_both_shapes(hf_dir, edit_json):
    edit_json(hf_dir / "config.json", vocab_size=1000)
    assert len(complaints(hf_dir)) == 2
    assert "[1024, 64]" in complaints(hf_dir)[0]
    assert "[1000, 64]" in complaints(hf_dir)[0]


def test_a_long_list_of_complaints_is_cut_in_the_error(hf_dir, edit_json):
    edit_json(hf_dir / "config.json", num_hidden_layers=20)
    with pytest.raises(InvalidInputError, match=r"model.layers.2.self_attn.q_proj.weight.*157 more"):
        load_source_model(hf_dir, "llama")


@pytest.mark.parametrize("layers", [22, 10**6, 10**9])
def test_layers_beyond_the_weights_make_no_list(hf_dir, edit_json, layers):
    edit_json(hf_dir / "config.json", num_hidden_layers=layers)
    with pytest.raises(InvalidInputError, match=rf"num_hidden_layers is {layers:,}, and there are 21 tensors"):
        load_source_model(hf_dir, "llama")


def test_experts_beyond_the_weights_make_no_list(tmp_path):
    write_toy_qwen3(tmp_path, tied=True)
    data = json.loads((tmp_path / "config.json").read_text())
    data.update(model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], num_experts=10**9)
    data.update(moe_intermediate_size=8, num_experts_per_tok=2)
    [complaint] = map_model(parse_model_config(data, "c"), load_tensor_entries(tmp_path)).complaints
    assert complaint.startswith("num_experts is 1,000,000,000, and there are")


def test_rotary_frequencies_are_skipped_and_other_extras_are_not(tmp_path, make_hf, read_tensors, write_safetensors):
    folder = make_hf("--dtype", "fp32")
    tensors = read_tensors(folder)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [8], bytes(32))
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert complaints(tmp_path) == ()
    tensors["model.layers.0.self_attn.q_proj.bias"] = ("F32", [64], bytes(256))
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert complaints(tmp_path) == (
        "tensor 'model.layers.0.self_attn.q_proj.bias' in model.safetensors is unknown to this model",
    )


def test_tied_embeddings_are_written_twice_even_when_the_output_layer_is_there(
    tmp_path, make_hf, read_tensors, write_safetensors
):
    # equal ones: some save the copy too
    tensors = read_tensors(make_hf("--tied"))
    other = tmp_path / "both"
    other.mkdir()
    (other / "config.json").write_bytes((make_hf("--tied") / "config.json").read_bytes())
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    write_safetensors(other / "model.safetensors", tensors)
    for folder in (make_hf("--tied"), other):
        source = load_source_model(folder, "llama")
        by_name = {item.name: item.entry.name for item in source.tensors.tensors}
        assert by_name["lm_head.weight"] == by_name["model.tok_embeddings.embedding_weight"]
        assert source.parameters == 230208 - 1024 * 64


def test_an_output_layer_that_is_missing_without_being_tied_is_named(make_hf, tmp_path, edit_json):
    for file in make_hf("--tied").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "config.json", tie_word_embeddings=False)
    assert complaints(tmp_path) == ("tensor 'lm_head.weight' is missing",)


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "llama"}, "llama"),
        ({"architectures": ["LlamaForCausalLM"]}, "llama"),
        ({"model_type": "mistral", "architectures": ["LlamaForCausalLM"]}, None),
        ({"model_type": ["llama"]}, None),
        ({"architectures": [["LlamaForCausalLM"], None]}, None),
        ({}, None),
    ],
)
def test_the_family_is_read_from_the_config(config, family):
    assert family_of(config) == family


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(
        InvalidInputError,
        match=r"'lama' is not a known model family. Known: chatglm, deepseek_v3, glm4, gpt2, llama, qwen2, qwen3, ",
    ):
        find_family("lama")
