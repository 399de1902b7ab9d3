"""A folder that holds no plain model gets one sentence: what it is, and what to do."""

from __future__ import annotations

import json

import pytest

from sft_tui.checkpoint.formats.weight_files import load_tensor_entries
from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.checkpoint.mapping.folder_kind import look_at_folder, tell_kind
from sft_tui.checkpoint.mapping.hf_model import load_source_model
from sft_tui.errors import InvalidInputError

FILES = {
    "adapter": (
        {"adapter_config.json": '{"base_model_name_or_path": "org/base"}', "adapter_model.safetensors": ""},
        ("LoRA adapter of org/base", "merge_and_unload"),
    ),
    "adapter in .bin": ({"adapter_config.json": "{}", "adapter_model.bin": ""}, ("LoRA adapter",)),
    "meta": ({"consolidated.00.pth": "", "params.json": "{}"}, ("Meta's own format", "-hf")),
    "gguf": ({"model-q4.gguf": ""}, ("GGUF",)),
    "zero": ({"zero_to_fp32.py": "", "global_step10/x_optim_states.pt": ""}, ("DeepSpeed", "zero_to_fp32.py")),
    "zero inside": ({"global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt": ""}, ("DeepSpeed",)),
    "fsdp": ({".metadata": "", "__0_0.distcp": ""}, ("FSDP", "merge-weights")),
    "fsdp of accelerate": ({"pytorch_model_fsdp_0/__0_0.distcp": ""}, ("FSDP",)),
    "diffusion": ({"model_index.json": "{}", "unet/config.json": "{}"}, ("image model",)),
    "tensorflow": ({"config.json": "{}", "tf_model.h5": ""}, ("TensorFlow",)),
    "flax": ({"config.json": "{}", "flax_model.msgpack": ""}, ("Flax",)),
    "onnx": ({"config.json": "{}", "model.onnx": ""}, ("ONNX",)),
    "mindspore": ({"llama.ckpt": ""}, ("MindSpore", "--reversed")),
    "megatron": ({"latest_checkpointed_iteration.txt": "1", "iter_0000001/mp_rank_00/x.pt": ""}, ("Megatron",)),
    "ggml": ({"ggml-model-q4_0.bin": ""}, ("GGML",)),
    "mlx": ({"weights.npz": "", "config.json": "{}"}, ("MLX",)),
    "torch": ({"consolidated.pth": ""}, ("torch", "save_pretrained")),
    "encoder": ({"config.json": '{"architectures": ["BertForMaskedLM"]}', "model.safetensors": ""}, ("encoder",)),
    "t5": ({"config.json": '{"architectures": ["T5ForConditionalGeneration"]}'}, ("encoder-decoder",)),
    "trainer": ({"checkpoint-9/config.json": "{}", "checkpoint-10/config.json": "{}"}, ("checkpoint-10",)),
    "a level too high": ({"README.md": "", "model/config.json": "{}"}, ("there is one in", "/model")),
    "snapshot": (
        {"refs/main": "bbb", "snapshots/aaa/config.json": "{}", "snapshots/bbb/config.json": "{}", "blobs/x": ""},
        ("hub's cache", "snapshots/bbb"),
    ),
    "cache": ({"models--o--n/snapshots/aaa/config.json": "{}"}, ("hub's cache", "snapshots/aaa")),
    "fp8": (
        {"config.json": '{"quantization_config": {"quant_method": "fp8"}}', "model.safetensors": ""},
        ("quantized weights (fp8)",),
    ),
    "8 bit": (
        {"config.json": '{"quantization_config": {"load_in_8bit": true}}', "model.safetensors": ""},
        ("quantized weights (int8)",),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_it_is_and_what_to_do(tmp_path, name):
    files, words = FILES[name]
    for path, content in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    kind = tell_kind(look_at_folder(tmp_path))
    assert kind and kind[1], name
    assert all(word in " ".join(kind) for word in words), kind
    report = inspect_checkpoint(tmp_path)
    assert [(p.message, p.hint) for p in report.problems if p.severity == "error"] == [kind]
    assert not report.convertible
    with pytest.raises(InvalidInputError) as caught:
        load_source_model(tmp_path, "llama")
    assert (caught.value.message, caught.value.hint) == kind


@pytest.mark.parametrize("beside", ["old.ckpt", ".metadata", "adapter_config.json", "x.gguf", "a.pt"])
@pytest.mark.parametrize("weights", ["weights.safetensors", "llama-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_weights_of_any_name_that_is_read_come_first(tmp_path, beside, weights):
    for name in (beside, weights, "config.json"):
        (tmp_path / name).write_text("{}")
    assert tell_kind(look_at_folder(tmp_path)) is None


def test_the_root_of_a_hubs_cache_has_files_of_its_own(tmp_path):
    (tmp_path / "models--o--n" / "snapshots" / "a").mkdir(parents=True)
    (tmp_path / "models--o--n" / "snapshots" / "a" / "config.json").write_text("{}")
    (tmp_path / "version.txt").write_text("1")
    assert "snapshots/a" in tell_kind(look_at_folder(tmp_path))[0]


def test_a_model_is_none_of_these(hf_dir):
    assert tell_kind(look_at_folder(hf_dir), load_tensor_entries(hf_dir)) is None
    (hf_dir / "adapter_config.json").write_text("{}")
    (hf_dir / "old.gguf").write_text("")
    assert tell_kind(look_at_folder(hf_dir), load_tensor_entries(hf_dir)) is None, "whole weights are beside it"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model.", "language_model.", "actor.llm."])
def test_a_prefix_of_all_names_is_one_sentence(tmp_path, make_hf, read_tensors, write_safetensors, prefix):
    folder = make_hf()
    tensors = {prefix + name: value for name, value in read_tensors(folder).items()}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    [problem] = [p for p in inspect_checkpoint(tmp_path).problems if p.severity == "error"]
    assert f"all {len(tensors)} tensors begin with {prefix!r}" in problem.message


def test_names_without_their_beginning_are_one_sentence(tmp_path, make_hf, read_tensors, write_safetensors):
    folder = make_hf("--tied")
    tensors = {name.replace("model.", "", 1): value for name, value in read_tensors(folder).items()}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    [problem] = [p for p in inspect_checkpoint(tmp_path).problems if p.severity == "error"]
    assert "lack 'model.'" in problem.message


@pytest.mark.parametrize("name", ["q_proj.qweight", "q_proj.weight_scale_inv", "q_proj.SCB", "q_proj.weight.absmax"])
def test_quantized_weights_are_known_by_their_tensors(tmp_path, make_hf, read_tensors, write_safetensors, name):
    folder = make_hf()
    tensors = {**read_tensors(folder), f"model.layers.0.self_attn.{name}": ("F32", [1], bytes(4))}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    [problem] = [p for p in inspect_checkpoint(tmp_path).problems if p.severity == "error"]
    assert "quantized weights" in problem.message and name in problem.message


def test_what_cannot_be_read_is_no_kind(tmp_path):
    (tmp_path / "config.json").mkdir()
    (tmp_path / "adapter_config.json").write_text(json.dumps([1]))
    assert tell_kind(look_at_folder(tmp_path / "none")) is None
    assert "some base model" in tell_kind(look_at_folder(tmp_path))[0]
