"""LoRA on the way back to Hugging Face: merged when asked, by plain arithmetic, and never left out in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.copy import tensor_values
from sft_tui.checkpoint.copy.precision import cast_values
from sft_tui.checkpoint.export.export import convert_reversed, verify_reversed
from sft_tui.demo.toy_gpt2 import write_toy_gpt2
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.errors import InvalidInputError
from tests.unit.checkpoint.export.test_export import parameters_of, tensors_of, write_ckpt
from tests.unit.checkpoint.export.test_export_direct import fuse

HIDDEN, HEAD, KV, EACH, INNER = 24, 8, 2, 2, 40
SIZES = {"hidden": HIDDEN, "layers": 1, "heads": KV * EACH, "kv_heads": KV, "head_dim": HEAD, "vocab": 280}
LAYER = "decoder.layers.0."
QKV, PROJ, FC1 = (
    f"{LAYER}{name}" for name in ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1")
)
RANDOM = np.random.default_rng(3)


def numbers(*shape):
    return RANDOM.standard_normal(shape).astype("<f4")


def fused(folder: Path) -> dict[str, np.ndarray]:
    """The toy model under MindFormers' names, in its default layout."""
    return fuse(load_file(folder / "model.safetensors"), KV)


def with_adapters(saved, rank, *names):
    for name in names:
        rows, columns = saved[name + ".weight"].shape
        saved[name + ".lora_A.weight"], saved[name + ".lora_B.weight"] = numbers(rank, columns), numbers(rows, rank)
    return saved


def merged(saved, name, scaling):
    a, b = saved[name + ".lora_A.weight"], saved[name + ".lora_B.weight"]
    return saved[name + ".weight"] + (b @ a) * np.float32(scaling)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_toy_qwen3(tmp_path / "base", **SIZES, dtype="float32")
    return tmp_path / "base"


def test_each_tensor_gets_its_rows_of_the_adapter(tmp_path, base):
    saved = with_adapters(fused(base), 3, QKV, PROJ, FC1)
    save_file(saved, tmp_path / "m.safetensors")
    work = {"family": "qwen3", "config_dir": base, "lora_scaling": 2.0}
    result = convert_reversed(tmp_path / "m.safetensors", tmp_path / "hf", **work)
    assert (result.left_out, result.warnings) == ((), ())
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
    parts = merged(saved, QKV, 2).reshape(KV, EACH + 2, HEAD, HIDDEN)
    wanted = {
        "self_attn.q_proj": parts[:, :EACH], "self_attn.k_proj": parts[:, EACH], "self_attn.v_proj": parts[:, EACH + 1],
        "self_attn.o_proj": merged(saved, PROJ, 2),
        "mlp.gate_proj": merged(saved, FC1, 2)[::2], "mlp.up_proj": merged(saved, FC1, 2)[1::2],
    }  # fmt: skip
    wanted = {f"model.layers.0.{name}.weight": values for name, values in wanted.items()}
    for name, values in after.items():
        expected = wanted[name].reshape(values.shape) if name in wanted else before[name]
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6, err_msg=name)
    assert all(np.array_equal(before[name], values) for name, values in after.items() if name not in wanted)
    assert verify_reversed(tmp_path / "m.safetensors", tmp_path / "hf", **work).ok
    other = verify_reversed(tmp_path / "m.safetensors", tmp_path / "hf", **{**work, "lora_scaling": 1.0})
    assert {difference.name for difference in other.differences} == set(wanted)


@settings(max_examples=settings.default.max_examples // 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rank=st.integers(1, 9), hidden=st.integers(1, 30), piece=st.sampled_from([1, 100, 1000, 2**20]))
def test_pieces_are_cut_between_rows(tmp_path_factory, monkeypatch, rank, hidden, piece):
    for name in ("PIECE_BYTES", "BLOCK_BYTES"):
        monkeypatch.setattr(tensor_values, name, piece)
    folder = tmp_path_factory.mktemp("cut")
    write_toy_qwen3(folder / "base", **{**SIZES, "hidden": hidden}, dtype="float32")
    saved = with_adapters(fused(folder / "base"), rank, QKV, FC1)
    save_file(saved, folder / "m.safetensors")
    convert_reversed(
        folder / "m.safetensors", folder / "hf", family="qwen3", config_dir=folder / "base", lora_scaling=0.5
    )
    found = load_file(folder / "hf" / "model.safetensors")
    up = found["model.layers.0.mlp.up_proj.weight"]
    np.testing.assert_allclose(up, merged(saved, FC1, 0.5)[1::2], rtol=1e-5, atol=1e-5)
    keys = merged(saved, QKV, 0.5).reshape(KV, EACH + 2, HEAD, hidden)[:, EACH].reshape(-1, hidden)
    np.testing.assert_allclose(found["model.layers.0.self_attn.k_proj.weight"], keys, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("piece", [100, 2**20])
def test_query_and_value_of_gpt2_come_back_side_by_side_and_turned(tmp_path, monkeypatch, piece):
    for name in ("PIECE_BYTES", "TURNED_BLOCK_BYTES"):
        monkeypatch.setattr(tensor_values, name, piece)
    write_toy_gpt2(tmp_path / "base", hidden=24, layers=2, heads=2, positions=32)
    convert_weight(tmp_path / "base", tmp_path / "w.ckpt", family="gpt2", dtype="keep")
    parameters, added = parameters_of(tmp_path / "w.ckpt"), {}
    for name in ("dense1", "dense3"):
        stem = f"backbone.blocks.1.attention.{name}."
        a, b = numbers(3, 24), numbers(24, 3)
        parameters[stem + "mindpet_delta_lora_a"] = ("Float32", a.shape, a.tobytes())
        parameters[stem + "mindpet_delta_lora_b"] = ("Float32", b.shape, b.tobytes())
        added[name] = 2 * (b @ a).T
    ckpt = write_ckpt(tmp_path / "l.ckpt", parameters)
    work = {"family": "gpt2", "config_dir": tmp_path / "base", "lora_scaling": 2.0}
    convert_reversed(ckpt, tmp_path / "hf", **work)
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("base", "hf"))
    changed = before["h.1.attn.c_attn.weight"].copy()
    changed[:, :24] += added["dense1"]
    changed[:, 48:] += added["dense3"]
    for name, values in after.items():
        expected = changed if name.endswith("h.1.attn.c_attn.weight") else before[name.removeprefix("transformer.")]
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6, err_msg=name)
    assert verify_reversed(ckpt, tmp_path / "hf", **work).ok
    a, b = numbers(3, 24), numbers(96, 3)
    stem = "backbone.blocks.0.output.mapping."
    parameters[stem + "mindpet_delta_lora_a"] = ("Float32", (3, 96), a.tobytes() * 4)
    parameters[stem + "mindpet_delta_lora_b"] = ("Float32", (24, 3), b.tobytes()[: 24 * 3 * 4])
    with pytest.raises(InvalidInputError, match=r"mapping\.weight are not merged"):
        convert_reversed(write_ckpt(tmp_path / "m.ckpt", parameters), tmp_path / "other", **work)


@pytest.mark.parametrize("dtype", ["keep", "fp32", "fp16"])
def test_sums_are_made_in_float32_and_rounded_once(make_hf, tmp_path, dtype):
    """A `.ckpt` in bfloat16, as the documented route saves it, with adapters under mindpet's names."""
    folder = make_hf("--kv-heads", "2", "--dtype", "bf16")
    convert_weight(folder, tmp_path / "w.ckpt", family="llama", dtype="keep")
    parameters = parameters_of(tmp_path / "w.ckpt")
    stem = "model.layers.1.attention.wk."
    _, (rows, columns), data = parameters[stem + "weight"]
    a, b = numbers(4, columns), numbers(rows, 4)
    parameters[stem + "mindpet_delta_lora_a"] = ("Float32", a.shape, a.tobytes())
    parameters[stem + "mindpet_delta_lora_b"] = ("Float32", b.shape, b.tobytes())
    parameters["adam_m." + stem + "mindpet_delta_lora_a"] = ("Float32", a.shape, a.tobytes())
    trained = write_ckpt(tmp_path / "t.ckpt", parameters)
    work = {"family": "llama", "config_dir": folder, "lora_scaling": 0.25, "dtype": dtype}
    result = convert_reversed(trained, tmp_path / "hf", **work)
    assert result.left_out == ("adam_m." + stem + "mindpet_delta_lora_a",)
    weight = np.frombuffer(cast_values(memoryview(data), "BFloat16", "Float32"), "<f4").reshape(rows, columns)
    total = weight + (b @ a) * np.float32(0.25)
    target = {"keep": "BFloat16", "fp32": "Float32", "fp16": "Float16"}[dtype]
    expected = bytes(cast_values(memoryview(total.tobytes()), "Float32", target))
    assert tensors_of(tmp_path / "hf")["model.layers.1.self_attn.k_proj.weight"][2] == expected
    assert verify_reversed(trained, tmp_path / "hf", **work).ok


def test_adapters_are_neither_dropped_nor_merged_unasked(tmp_path, base):
    saved = with_adapters(fused(base), 3, QKV)
    save_file(saved, tmp_path / "m.safetensors")
    with pytest.raises(InvalidInputError, match="LoRA adapters of 1 parameters, of rank 3") as caught:
        convert_reversed(tmp_path / "m.safetensors", tmp_path / "hf", family="qwen3", config_dir=base)
    assert "--lora_scaling" in caught.value.hint
    save_file(fused(base), tmp_path / "plain.safetensors")
    with pytest.raises(InvalidInputError, match="holds no LoRA adapters"):
        convert_reversed(
            tmp_path / "plain.safetensors", tmp_path / "hf", family="qwen3", config_dir=base, lora_scaling=2.0
        )
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(QKV + ".lora_B.weight"), "lora_A.weight without decoder.*lora_B.weight"),
        (lambda t: t.pop(QKV + ".lora_A.weight"), "lora_B.weight without decoder.*lora_A.weight"),
        (lambda t: t.update({QKV + ".lora_A.weight": numbers(3, HIDDEN + 1)}), "do not go together"),
        (lambda t: t.update({QKV + ".lora_B.weight": numbers(8, 3)}), "do not go together"),
        (
            lambda t: t.update({"a.lora_A.weight": numbers(3, 3), "a.lora_B.weight": numbers(3, 3)}),
            r"without a\.weight",
        ),
        (lambda t: t.update({QKV + ".lora_A.weight": np.zeros((3, HIDDEN), "<i4")}), "is I32; only"),
    ],
)
def test_what_does_not_belong_together_is_named(tmp_path, base, change, message):
    saved = with_adapters(fused(base), 3, QKV)
    change(saved)
    save_file(saved, tmp_path / "m.safetensors")
    with pytest.raises(InvalidInputError, match=message):
        convert_reversed(tmp_path / "m.safetensors", tmp_path / "hf", family="qwen3", config_dir=base, lora_scaling=2.0)


@pytest.mark.parametrize("scaling", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scaling_is_a_number(tmp_path, base, scaling):
    save_file(with_adapters(fused(base), 3, QKV), tmp_path / "m.safetensors")
    with pytest.raises(InvalidInputError, match="is no scaling"):
        convert_reversed(
            tmp_path / "m.safetensors", tmp_path / "hf", family="qwen3", config_dir=base, lora_scaling=scaling
        )


def test_an_adapted_output_layer_is_no_longer_tied(tmp_path, base):
    saved = fused(base)
    saved["output_layer.weight"] = saved["embedding.word_embeddings.weight"].copy()
    save_file(with_adapters(saved, 2, "output_layer"), tmp_path / "m.safetensors")
    result = convert_reversed(
        tmp_path / "m.safetensors", tmp_path / "hf", family="qwen3", config_dir=base, lora_scaling=2.0
    )
    assert "written untied" in result.warnings[0]
    head = load_file(tmp_path / "hf" / "model.safetensors")["lm_head.weight"]
    np.testing.assert_allclose(head, merged(saved, "output_layer", 2), rtol=1e-6, atol=1e-6)
