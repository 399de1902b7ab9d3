"""What training of a Qwen3 saves, back to a Hugging Face folder: against MindFormers' own conversion of toy models."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.checkpoint.export.export import convert_reversed, verify_reversed
from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.errors import InvalidInputError

GOLDEN = Path(__file__).parents[3] / "golden" / "checkpoints"
SIZES = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "vocab": 300}
CASES = {
    "tied_bf16": {"tied": True, "dtype": "bfloat16"},
    "untied_fp16_contiguous": {"tied": False, "dtype": "float16"},
}
WORDS = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "I64": "<i8"}
Tensors = dict[str, np.ndarray]
write_toy_qwen3_moe = runpy.run_path(str(Path(__file__).parents[2] / "toy_qwen3_moe.py"))["write_toy_qwen3_moe"]


def read(folder: Path) -> Tensors:
    found = {}
    for file in sorted([folder] if folder.is_file() else folder.glob("*.safetensors")):
        data = file.read_bytes()
        for entry in load_header(file):
            part = data[entry.offset : entry.offset + entry.nbytes]
            found[entry.name] = np.frombuffer(part, WORDS[entry.dtype]).reshape(entry.shape)
    return found


def write(path: Path, tensors: Tensors, dtype: str = "BF16") -> Path:
    """A safetensors file; float32 and integers under their own names, all else as `dtype`."""
    own = {"<f4": "F32", "<i8": "I64"}
    header, at = {}, 0
    for name, values in tensors.items():
        end = at + values.nbytes
        word = own.get(values.dtype.str, dtype)
        header[name] = {"dtype": word, "shape": list(values.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(t.tobytes() for t in tensors.values()))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_toy_qwen3(tmp_path / "base", **SIZES)
    return tmp_path / "base"


@pytest.fixture
def saved() -> Tensors:
    return read(GOLDEN / "expected_qwen3_tied_bf16.safetensors")


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_from_hugging_face_to_mindformers_and_back_gives_the_very_bytes(tmp_path, case, shards):
    base, back = tmp_path / "base", tmp_path / "back"
    write_toy_qwen3(base, **SIZES, **CASES[case], shards=shards)
    converted = GOLDEN / f"expected_qwen3_{case}.safetensors"
    result = convert_reversed(converted, back, family="qwen3", config_dir=base)
    assert (result.warnings, result.left_out, result.shards) == ((), (), shards)
    for file in base.iterdir():
        if file.name != "config.json" and not file.name.endswith("index.json"):
            assert (back / file.name).read_bytes() == file.read_bytes(), file.name
    assert json.loads((back / "config.json").read_text()) == json.loads((base / "config.json").read_text())
    if shards > 1:
        maps = [json.loads((folder / "model.safetensors.index.json").read_text()) for folder in (base, back)]
        assert maps[0]["weight_map"] == maps[1]["weight_map"]
    assert verify_reversed(converted, back, family="qwen3", config_dir=base).ok


def test_experts_come_apart_and_counters_of_the_router_are_left_out(tmp_path):
    write_toy_qwen3_moe(tmp_path / "base", dtype="float16", **SIZES)
    saved = read(GOLDEN / "expected_qwen3_moe_fp16.safetensors")
    assert saved["decoder.layers.0.mlp.experts.weight1"].shape == (4 * 32, 2 * 24)
    counter = "decoder.layers.0.mlp.router.fi_accu"
    converted = write(tmp_path / "m.safetensors", {**saved, counter: np.zeros(4, "<f4")}, "F16")
    result = convert_reversed(converted, tmp_path / "back", family="qwen3_moe", config_dir=tmp_path / "base")
    assert (result.left_out, result.warnings) == ((counter,), ())
    expected, found = read(tmp_path / "base"), read(tmp_path / "back")
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], values) for name, values in expected.items())
    assert verify_reversed(converted, tmp_path / "back", family="qwen3_moe", config_dir=tmp_path / "base").ok


def test_experts_of_one_rank_of_several_are_refused(tmp_path):
    write_toy_qwen3_moe(tmp_path / "base", dtype="float16", **SIZES)
    saved = read(GOLDEN / "expected_qwen3_moe_fp16.safetensors")
    half = {name: v[: len(v) // 2] if ".experts." in name else v for name, v in saved.items()}
    converted = write(tmp_path / "m.safetensors", half, "F16")
    with pytest.raises(InvalidInputError, match=r"the part of one rank of a parallel training: .*experts.weight1"):
        convert_reversed(converted, tmp_path / "back", family="qwen3_moe", config_dir=tmp_path / "base")


def test_a_changed_value_is_found(tmp_path, base, saved):
    converted = write(tmp_path / "m.safetensors", saved)
    convert_reversed(converted, tmp_path / "back", family="qwen3", config_dir=base)
    name = "decoder.layers.1.mlp.linear_fc1.weight"
    saved[name] = saved[name].copy()
    saved[name][5, 3] ^= 1  # an odd row: of what the gate is multiplied with
    write(converted, saved)
    [difference] = verify_reversed(converted, tmp_path / "back", family="qwen3", config_dir=base).differences
    assert difference.name == "model.layers.1.mlp.up_proj.weight"
    assert difference.what == "differs in 1 of 3,072 values, first at 67"


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_another_number_type_is_cast(tmp_path, base, saved, dtype):
    converted = write(tmp_path / "m.safetensors", saved)
    convert_reversed(converted, tmp_path / "back", family="qwen3", config_dir=base, dtype=dtype)
    before, after = read(base), read(tmp_path / "back")
    assert set(before) == set(after)
    for name, bits in before.items():
        values = (bits.astype("<u4") << 16).view("<f4")
        assert np.array_equal(after[name], values.astype(after[name].dtype)), name
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["torch_dtype"] == {"fp32": "float32", "fp16": "float16"}[dtype]


def test_without_weights_to_compare_with_the_default_layout_is_taken_and_said(tmp_path, base, saved):
    expected = read(base)
    (base / "model.safetensors").unlink()
    converted = write(tmp_path / "m.safetensors", saved)
    result = convert_reversed(converted, tmp_path / "back", family="qwen3", config_dir=base)
    assert "as MindFormers keeps them by default" in result.warnings[0]
    found = read(tmp_path / "back")
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


def test_the_layout_is_found_after_training_has_moved_the_weights(tmp_path):
    write_toy_qwen3(tmp_path / "base", **SIZES, tied=False, dtype="float16")
    moved = read(GOLDEN / "expected_qwen3_untied_fp16_contiguous.safetensors")
    noise = np.random.default_rng(1)
    moved = {name: (v + noise.standard_normal(v.shape) * 0.005).astype("<f4") for name, v in moved.items()}
    converted = write(tmp_path / "m.safetensors", moved)
    convert_reversed(converted, tmp_path / "back", family="qwen3", config_dir=tmp_path / "base")
    qkv = moved["decoder.layers.0.self_attention.linear_qkv.weight"]
    found = read(tmp_path / "back")
    assert np.array_equal(found["model.layers.0.self_attn.k_proj.weight"], qkv[32:48])
    assert np.array_equal(
        found["model.layers.0.mlp.up_proj.weight"], moved["decoder.layers.0.mlp.linear_fc1.weight"][96:]
    )


@settings(max_examples=settings.default.max_examples // 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kv_heads=st.integers(1, 3), each=st.integers(1, 4), head_dim=st.sampled_from([2, 6, 8]), hidden=st.integers(2, 40)
)
def test_fused_rows_come_apart_for_every_shape(tmp_path_factory, kv_heads, each, head_dim, hidden):
    folder = tmp_path_factory.mktemp("shape")
    sizes = {"kv_heads": kv_heads, "heads": kv_heads * each, "head_dim": head_dim, "hidden": hidden}
    write_toy_qwen3(folder / "base", layers=1, vocab=280, dtype="float32", **sizes)
    fused = fuse(read(folder / "base"), kv_heads)
    converted = write(folder / "m.safetensors", fused)
    convert_reversed(converted, folder / "back", family="qwen3", config_dir=folder / "base")
    assert (folder / "back" / "model.safetensors").read_bytes() == (folder / "base" / "model.safetensors").read_bytes()


def fuse(whole: Tensors, kv_heads: int) -> Tensors:
    """A model of one layer under MindFormers' names, in its default layout."""
    attention, mlp = "model.layers.0.self_attn.", "model.layers.0.mlp."
    hidden = len(whole["model.norm.weight"])
    q, k, v = (whole.pop(f"{attention}{name}_proj.weight").reshape(kv_heads, -1, hidden) for name in "qkv")
    gate, up = (whole.pop(f"{mlp}{name}_proj.weight") for name in ("gate", "up"))
    layer = "decoder.layers.0."
    names = {
        "model.embed_tokens": "embedding.word_embeddings", "model.norm": "decoder.final_layernorm",
        mlp + "down_proj": layer + "mlp.linear_fc2", attention + "o_proj": layer + "self_attention.linear_proj",
        attention + "q_norm": layer + "self_attention.q_layernorm",
        attention + "k_norm": layer + "self_attention.k_layernorm",
        "model.layers.0.input_layernorm": layer + "input_layernorm",
        "model.layers.0.post_attention_layernorm": layer + "pre_mlp_layernorm",
    }  # fmt: skip
    fused = {names[name[: -len(".weight")]] + ".weight": values for name, values in whole.items()}
    fused[layer + "self_attention.linear_qkv.weight"] = np.concatenate([q, k, v], 1).reshape(-1, hidden)
    fused[layer + "mlp.linear_fc1.weight"] = np.stack([gate, up], 1).reshape(-1, hidden)
    return fused


def training_state(saved: Tensors, step: int) -> Tensors:
    """What MindFormers 1.7 saves beside the weights."""
    scalars = ("decoder.layers.0.hidden_states_dropout.seed", "epoch_num", "global_batch_size")
    moments = {f"{kind}.{name}": v.astype("<f4") for kind in ("adam_m", "adam_v") for name, v in saved.items()}
    counters = {**dict.fromkeys(scalars, np.array(1, "<i8")), "step_num": np.array(step, "<i8")}
    return {**counters, **moments, "aux_loss": np.zeros(1, "<f4"), **saved}


def test_the_last_state_that_every_rank_has_is_taken(tmp_path, base, saved):
    old = {name: values ^ 1 for name, values in saved.items()}
    run = tmp_path / "checkpoint"
    for rank in (0, 1):
        for step, values in ((2, old), (10, saved)):
            write(run / f"rank_{rank}" / f"qwen3_rank_{rank}-1_{step}.safetensors", training_state(values, step))
    write(run / "rank_0" / "qwen3_rank_0-1_12.safetensors", training_state(old, 12))  # rank 1 was stopped before
    result = convert_reversed(run, tmp_path / "back", family="qwen3", config_dir=base)
    assert result.warnings == (f"{run} has 2 states; the last was taken: that of step 10.",)
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    assert "adam_m.decoder.final_layernorm.weight" in result.left_out and "step_num" in result.left_out
    one = run / "rank_0" / "qwen3_rank_0-1_10.safetensors"
    assert convert_reversed(one, tmp_path / "one", family="qwen3", config_dir=base).warnings == ()


def test_ranks_that_share_the_parameters_among_them_make_one_model(tmp_path, base, saved):
    """`remove_redundancy`: each rank saves only some parameters, whole ones."""
    names = list(saved)
    for rank in (0, 1):
        part = {name: saved[name] for name in names[rank::2]}
        write(tmp_path / "c" / f"rank_{rank}" / f"qwen3_rank_{rank}-1_4.safetensors", part)
    convert_reversed(tmp_path / "c", tmp_path / "back", family="qwen3", config_dir=base)
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()


def test_a_sliced_model_is_refused_with_the_way_to_merge_it(tmp_path, base, saved):
    part = {name: values[: len(values) // 2] if values.ndim > 1 else values for name, values in saved.items()}
    for rank in (0, 1):
        write(tmp_path / "c" / f"rank_{rank}" / f"qwen3_rank_{rank}-1_4.safetensors", part)
    with pytest.raises(InvalidInputError, match="the part of one rank of a parallel training") as caught:
        convert_reversed(tmp_path / "c", tmp_path / "back", family="qwen3", config_dir=base)
    assert "unified_safetensors.py" in caught.value.hint
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("decoder.final_layernorm.weight"), "decoder.final_layernorm.weight is missing"),
        (lambda t: t.update(extra=np.zeros((3, 3), "<f4")), "extra is unknown to this model"),
        (lambda t: t.update({"decoder.final_layernorm.weight": np.zeros(7, "<u2")}), r"\[7\] instead of \[32\]"),
        (lambda t: t.clear() or t.update(a=np.zeros(4, "<u2")), "holds no parameter of this family"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path, base, saved, change, message):
    change(saved)
    with pytest.raises(InvalidInputError, match=message):
        converted = write(tmp_path / "m.safetensors", saved)
        convert_reversed(converted, tmp_path / "back", family="qwen3", config_dir=base)


def test_what_cannot_be_meant_is_refused(tmp_path, base, saved):
    convert = {"family": "qwen3", "config_dir": base}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="holds no safetensors file"):
        convert_reversed(tmp_path / "empty", tmp_path / "b", **convert)
    with pytest.raises(InvalidInputError, match="does not exist"):
        convert_reversed(tmp_path / "nowhere", tmp_path / "b", **convert)
    with pytest.raises(InvalidInputError, match="is no safetensors file"):
        convert_reversed(tmp_path / "m.ckpt", tmp_path / "b", **convert)
    for name in ("a", "b"):
        write(tmp_path / "two" / f"{name}.safetensors", saved)
    with pytest.raises(InvalidInputError, match=r"is both in .*a.safetensors and in b.safetensors"):
        convert_reversed(tmp_path / "two", tmp_path / "b", **convert)
    converted = write(tmp_path / "m.safetensors", saved)
    with pytest.raises(InvalidInputError, match="Nothing tells which model"):
        convert_reversed(converted, tmp_path / "b", family="qwen3")
    with pytest.raises(InvalidInputError, match="glm4 are not brought back: MindFormers has this model for inference"):
        convert_reversed(converted, tmp_path / "b", family="glm4", config_dir=glm4_of(base, tmp_path / "glm4"))


def glm4_of(base: Path, folder: Path) -> Path:
    """A config alone: no more is looked at."""
    folder.mkdir()
    config = {**json.loads((base / "config.json").read_text()), "model_type": "glm4"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_an_output_layer_that_is_equal_stays_tied_and_another_does_not(tmp_path, base, saved):
    embeddings = saved["embedding.word_embeddings.weight"]
    equal = write(tmp_path / "e.safetensors", {**saved, "output_layer.weight": embeddings})
    convert_reversed(equal, tmp_path / "tied", family="qwen3", config_dir=base)
    assert "lm_head.weight" not in read(tmp_path / "tied")
    own = write(tmp_path / "o.safetensors", {**saved, "output_layer.weight": embeddings ^ 1})
    result = convert_reversed(own, tmp_path / "own", family="qwen3", config_dir=base)
    assert "written untied" in result.warnings[0]
    assert np.array_equal(read(tmp_path / "own")["lm_head.weight"], embeddings ^ 1)
    assert json.loads((tmp_path / "own" / "config.json").read_text())["tie_word_embeddings"] is False
