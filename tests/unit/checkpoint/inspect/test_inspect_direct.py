"""Folders that MindFormers loads as they are: what inspect says of config, weights and tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.checkpoint.inspect.report import CheckpointReport, inspect_checkpoint
from sft_tui.checkpoint.mapping.read_config import parse_model_config
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.errors import InvalidInputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy_qwen3(tmp_path / "qwen3")
    return tmp_path / "qwen3"


def change(path: Path, **values: object) -> None:
    data = json.loads(path.read_text())
    data.update(values)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def said(report: CheckpointReport, severity: str = "error") -> str:
    return "\n".join(f"{p.message} {p.hint}" for p in report.problems if p.severity == severity)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_whole_folder_has_no_problem(tmp_path, tied, shards):
    write_toy_qwen3(tmp_path, tied=tied, shards=shards, heads=6, head_dim=24, kv_heads=3)
    report = inspect_checkpoint(tmp_path)
    assert report.problems == () and report.direct and not report.convertible
    assert (report.config.head_dim, report.config.tied, report.config.qk_norms) == (24, tied, True)
    assert (report.shards, report.shapes_agree, report.dtype) == (shards, True, "bf16")
    assert report.tokenizer.ids == 632 and report.tokenizer.eos_token == "<|im_end|>"


def test_the_toy_is_the_same_at_every_time(tmp_path, folder):
    write_toy_qwen3(tmp_path / "again")
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"head_dim": 32},
            r"layers.0.self_attn.q_proj.weight' .* \[64, 64\], config.json calls for \[128, 64\]",
        ),
        ({"num_key_value_heads": 4}, r"k_proj.weight' .* \[32, 64\], config.json calls for \[64, 64\]"),
        ({"attention_bias": True}, "attention_bias is True: MindFormers has Qwen3 with False alone"),
        ({"use_sliding_window": True}, "use_sliding_window is True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "MindFormers trains full attention only"),
        ({"num_attention_heads": 3}, "num_attention_heads 3 is no multiple of num_key_value_heads 2"),
        ({"vocab_size": 600}, "ids up to 631; the model has only 600 embeddings"),
        ({"num_hidden_layers": 3}, "'model.layers.2.self_attn.q_proj.weight' is missing"),
        ({"tie_word_embeddings": False}, "'lm_head.weight' is missing"),
    ],
)
def test_a_config_that_does_not_fit_is_told(folder, values, message):
    change(folder / "config.json", **values)
    text = said(inspect_checkpoint(folder))
    assert re.search(message, text), text


def test_tied_weights_that_bring_an_output_layer_are_compared(tmp_path):
    write_toy_qwen3(tmp_path, tied=False)
    change(tmp_path / "config.json", tie_word_embeddings=True)
    text = said(inspect_checkpoint(tmp_path))
    assert "has lm_head.weight all the same, with other values" in text and "tie_word_embeddings: false" in text
    file = tmp_path / "model.safetensors"
    data = bytearray(file.read_bytes())
    entries = {entry.name: entry for entry in load_header(file)}
    head, embeddings = entries["lm_head.weight"], entries["model.embed_tokens.weight"]
    copy = data[embeddings.offset : embeddings.offset + embeddings.nbytes]
    data[head.offset : head.offset + head.nbytes] = copy
    file.write_bytes(data)
    report = inspect_checkpoint(tmp_path)
    assert said(report) == "" and "it is equal to them, and not used" in said(report, "warning")


def test_a_config_that_cannot_be_used_does_not_hide_what_the_family_needs(folder):
    change(folder / "config.json", use_sliding_window=True)
    report = inspect_checkpoint(folder)
    assert report.direct and "tokenizer.model" not in said(report) + said(report, "warning")


def test_a_folder_without_a_chat_template_is_worth_a_warning(folder):
    change(folder / "tokenizer_config.json", chat_template=None)
    report = inspect_checkpoint(folder)
    assert (said(report), report.tokenizer.chat_template) == ("", "")
    assert "has no chat template" in said(report, "warning")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert inspect_checkpoint(folder).tokenizer.chat_template == "chat_template.jinja"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{", b"\xff"])
def test_a_tokenizer_that_cannot_be_read_is_an_error(folder, name, content):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert name in said(inspect_checkpoint(folder))


def test_a_folder_of_pickles_alone_is_refused(folder):
    (folder / "model.safetensors").unlink()
    golden = Path(__file__).parents[3] / "golden" / "torch_2.13.bin"
    (folder / "pytorch_model.bin").write_bytes(golden.read_bytes())
    text = said(inspect_checkpoint(folder))
    assert "has .bin files only; MindFormers loads safetensors" in text


def test_published_sizes_are_understood():
    """Qwen3-0.6B, 32B, 30B-A3B and GLM-4-9B-0414, as their config.json files say."""
    qwen3 = {"model_type": "qwen3", "vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8}
    small = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16}
    large = {"hidden_size": 5120, "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64}
    assert parse_model_config({**qwen3, **small, "tie_word_embeddings": True}, "c").head_dim == 128
    assert parse_model_config({**qwen3, **large}, "c").num_kv_heads == 8
    experts = {"num_experts": 128, "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": []}
    moe = {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48, "num_attention_heads": 32}
    config = parse_model_config({**qwen3, **moe, **experts, "model_type": "qwen3_moe", "num_key_value_heads": 4}, "c")
    assert (config.num_experts, config.moe_intermediate_size) == (128, 768)
    with pytest.raises(InvalidInputError, match="mlp_only_layers"):
        parse_model_config({**qwen3, **moe, "model_type": "qwen3_moe", "mlp_only_layers": [0]}, "c")
    glm = {"hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40, "num_attention_heads": 32}
    glm.update(num_key_value_heads=2, vocab_size=151552, head_dim=128, attention_bias=True)
    assert parse_model_config({"model_type": "glm4", **glm}, "c").attention_bias


def write_shapes(path: Path, shapes: dict[str, list[int]]) -> None:
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))


def layer_shapes(kind: str) -> dict[str, list[int]]:
    """One layer, hidden 8, 2 heads of 4, 1 for keys, 2 experts of 6."""
    shapes = {"model.embed_tokens.weight": [640, 8], "model.norm.weight": [8], "lm_head.weight": [640, 8]}
    layer = {"input_layernorm": [8], "self_attn.q_proj": [8, 8], "self_attn.k_proj": [4, 8], "self_attn.v_proj": [4, 8]}
    layer |= {"self_attn.o_proj": [8, 8], "post_attention_layernorm": [8]}
    if kind == "qwen3_moe":
        layer |= {"self_attn.q_norm": [4], "self_attn.k_norm": [4], "mlp.gate": [2, 8]}
        for expert in range(2):
            name = f"mlp.experts.{expert}."
            layer |= {name + "gate_proj": [6, 8], name + "up_proj": [6, 8], name + "down_proj": [8, 6]}
    else:
        layer |= {"mlp.gate_up_proj": [32, 8], "mlp.down_proj": [8, 16], "post_mlp_layernorm": [8]}
        layer |= {"post_self_attn_layernorm": [8]}
        biases = {"q_proj": [8], "k_proj": [4], "v_proj": [4]}
        shapes |= {f"model.layers.0.self_attn.{name}.bias": shape for name, shape in biases.items()}
    return shapes | {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}


@pytest.mark.parametrize("kind", ["qwen3_moe", "glm4"])
def test_weights_of_other_families_are_compared_with_their_config(folder, kind):
    more = {"num_experts": 2, "moe_intermediate_size": 6} if kind == "qwen3_moe" else {"attention_bias": True}
    values = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    values.update(num_key_value_heads=1, head_dim=4, tie_word_embeddings=False, model_type=kind)
    change(folder / "config.json", **values, **more)
    shapes = layer_shapes(kind)
    write_shapes(folder / "model.safetensors", shapes)
    assert inspect_checkpoint(folder).problems == ()
    gone = next(name for name in shapes if "experts.1.up" in name or "v_proj.bias" in name)
    write_shapes(folder / "model.safetensors", {name: shape for name, shape in shapes.items() if name != gone})
    assert f"tensor {gone!r} is missing" in said(inspect_checkpoint(folder))


def test_a_slow_tokenizer_says_how_tokenizer_json_is_made(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")
    (folder / "added_tokens.json").write_text("{}")
    [problem] = [p for p in inspect_checkpoint(folder).problems if "slow tokenizer" in p.message]
    assert "vocab.json" in problem.message and "added_tokens.json" in problem.message
    assert "save_pretrained" in problem.hint
