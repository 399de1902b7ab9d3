"""A ready `.ckpt` is known by names and shapes; what is no whole model is refused with the name of what is wrong."""

from __future__ import annotations

import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.mapping.ready_ckpt import load_fitting_config, load_ready_ckpt
from sft_tui.errors import InvalidInputError
from tests.unit.ready_ckpt import llama_shapes, of_one_rank, without, write_ckpt

WQ = "model.layers.0.attention.wq.weight"


def refusal(path: Path) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        load_ready_ckpt(path)
    assert str(path) in caught.value.message and caught.value.hint
    return caught.value


def test_a_converted_llama_is_known_by_its_shapes(make_hf, tmp_path):
    folder = make_hf("--shards", "2")
    convert_weight(folder, tmp_path / "a.ckpt", family="llama", dtype="bf16")
    ready = load_ready_ckpt(tmp_path / "a.ckpt")
    assert (ready.family.name, ready.num_layers, ready.dtype, ready.left_out) == ("llama", 2, "bf16", ())
    assert (ready.parameters, len(ready.shapes), ready.headless) == (230208, 21, False)
    config = load_fitting_config(ready, folder)
    assert ready.sizes["hidden"] == config.hidden_size
    assert ready.sizes["kv"] == config.num_kv_heads * config.hidden_size // config.num_heads
    assert (ready.sizes["vocab"], ready.sizes["intermediate"]) == (config.vocab_size, config.intermediate_size)


@pytest.mark.parametrize("words", [("gpt2", "--prefix"), ("qwen2",), ("qwen2", "--tied")])
def test_other_families_are_told_apart(make_hf_family, tmp_path, words):
    convert_weight(make_hf_family(*words), tmp_path / "a.ckpt", family=words[0])
    ready = load_ready_ckpt(tmp_path / "a.ckpt")
    assert (ready.family.name, ready.num_layers, ready.sizes["vocab"]) == (words[0], 2, 256)
    assert ready.sizes.get("positions") == (96 if words[0] == "gpt2" else None)


def test_masks_that_the_conversion_of_gpt2_writes_are_no_parameters(make_hf_family, tmp_path):
    convert_weight(make_hf_family("gpt2"), tmp_path / "a.ckpt", family="gpt2")
    found = load_ready_ckpt(tmp_path / "a.ckpt")
    masks = {
        f"backbone.blocks.{n}.attention.{name}": (1, 1, 96, 96) for n in range(2) for name in ("beta", "masked_beta")
    }
    with_masks = load_ready_ckpt(write_ckpt(tmp_path / "b.ckpt", {**found.shapes, **masks}))
    assert with_masks.shapes == found.shapes and set(with_masks.left_out) == set(masks)


def test_what_training_saved_beside_the_weights_is_left_out(tmp_path):
    shapes = llama_shapes()
    state = {**{f"adam_{m}.{name}": dims for m in "mv" for name, dims in shapes.items()}, "global_step": (1,)}
    ready = load_ready_ckpt(write_ckpt(tmp_path / "a.ckpt", {**shapes, **state}, {"global_step": "Int32"}))
    assert (len(ready.shapes), len(ready.left_out)) == (21, 43)


def test_no_value_is_read(tmp_path):
    shapes = llama_shapes(layers=32, hidden=4096, kv=4096, intermediate=11008, vocab=32000)
    path = write_ckpt(tmp_path / "a.ckpt", shapes)
    assert path.stat().st_size > 25e9
    tracemalloc.start()
    begin = time.monotonic()
    ready = load_ready_ckpt(path)
    taken, (_, peak) = time.monotonic() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ready.parameters == 6_738_415_616
    assert peak < 4e6 and taken < 5


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        (lambda s: of_one_rank(s, 2), "one rank of a parallel training: model.layers.0.attention.wq.weight has the "
         "shape [32, 64], the whole model [64, 64]", "transform_ckpt.py"),
        (lambda s: {n: (d[0] // 4, *d[1:]) if d[1:] else d for n, d in s.items()}, "one rank", "transform_ckpt.py"),
        (lambda s: without(s, "layers.0.", "tok_emb"), "model.tok_embeddings.embedding_weight is missing; "
         "model.layers.0.attention.wq.weight is missing", "stage of a pipeline"),
        (lambda s: without(s, "layers.1.ffn_norm"), "model.layers.1.ffn_norm.weight is missing", "whole"),
        (lambda s: {**s, "model.layers.0.attention.bias": (4,), "other": (9,)},
         "model.layers.0.attention.bias is unknown to this model; 1 more", "convert_weight.py"),
        (lambda s: {**without(s, ".wq", ".wk", ".wv"), "model.layers.0.attention.w_qkv.weight": (128, 64)},
         "w_qkv.weight is unknown", "qkv_concat"),
        (lambda s: {**s, "lm_head.weight": (1000, 64)}, "lm_head.weight has [1000, 64], by the other tensors it would "
         "be [1024, 64]", "whole"),
        (lambda s: {**s, "model.layers.1.attention.wk.weight": (64, 64)},
         "model.layers.1.attention.wk.weight has [64, 64], by the other tensors", "whole"),
        (lambda s: {**s, WQ: (4096,)}, "wq.weight has the shape [4096], and is a matrix in Llama", "whole"),
        (lambda s: {**s, "model.tok_embeddings.embedding_weight": (0, 64)}, "has the shape [0, 64]", "whole"),
        (lambda s: {**s, "model.layers.900000.ffn_norm.weight": (64,)}, "layer 900000, and 22 parameters", "whole"),
        (lambda s: {f"model.layers.{n}.attention.wq.mindpet_delta_lora_{x}": (8, 64) for n in (0, 1) for x in "ab"},
         "LoRA adapters alone", "convert-weight --reversed"),
        (lambda s: {**s, "model.layers.0.attention.wq.mindpet_delta_lora_a": (8, 64)}, "not merged into the weights, "
         "model.layers.0.attention.wq.mindpet_delta_lora_a among them", "--lora_scaling"),
        (lambda s: {"encoder.weight": (4, 4), "decoder.weight": (4, 4)}, "its first parameter is 'encoder.weight'",
         "gpt2, llama"),
    ],
)  # fmt: skip
def test_what_is_no_whole_model_is_named(tmp_path, change, words, hint):
    error = refusal(write_ckpt(tmp_path / "a.ckpt", change(llama_shapes())))
    assert words in error.message and hint in error.hint


def test_numbers_that_are_no_floats(tmp_path):
    error = refusal(write_ckpt(tmp_path / "a.ckpt", llama_shapes(), {WQ: "Int8"}))
    assert f"{WQ} is Int8" in error.message and "quantized" in error.hint


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("/tmp/sft-tui-was-unpickled",)


def test_other_kinds_of_files_are_named_and_never_unpickled(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "a.ckpt"
        path.write_bytes(data)
        return path

    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    error = refusal(write(struct.pack("<Q", len(header)) + header + b"0000"))
    assert "a safetensors file" in error.message and "Model folder" in error.hint
    # a length of header that looks like the first byte of a checkpoint
    assert "safetensors" in refusal(write(struct.pack("<Q", 0x10A) + header.ljust(0x10A) + b"0000")).message
    assert "a pickle" in refusal(write(pickle.dumps(Bomb(), protocol=2))).message
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(), protocol=2))
    error = refusal(tmp_path / "a.ckpt")
    assert "PyTorch Lightning" in error.message and "save_pretrained" in error.hint
    assert not Path("/tmp/sft-tui-was-unpickled").exists()
    assert "a GGUF file" in refusal(write(b"GGUF" + bytes(400))).message
    assert "Git LFS pointer" in refusal(write(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")).message
    assert "is empty" in refusal(write(b"")).message
    whole = write_ckpt(tmp_path / "b.ckpt", llama_shapes()).read_bytes()
    assert "cut off" in refusal(write(whole[: len(whole) // 2])).message
    other = write_ckpt(tmp_path / "a.bin", llama_shapes())
    assert "end with .ckpt" in refusal(other).message


def test_what_is_no_file_is_not_waited_for(tmp_path):
    loop, pipe, nothing = tmp_path / "loop.ckpt", tmp_path / "pipe.ckpt", tmp_path / "nothing.ckpt"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    nothing.symlink_to(tmp_path / "gone")
    assert "symbolic links" in refusal(loop).message
    assert "a FIFO, not a file" in refusal(pipe).message
    assert "is a link to nothing" in refusal(nothing).message
    assert "a folder, not a file" in refusal(tmp_path).message
    assert "does not exist" in refusal(tmp_path / "none.ckpt").message
    with pytest.raises(InvalidInputError, match="a device"):
        load_ready_ckpt(Path("/dev/zero"))


def test_a_folder_that_contradicts_names_tensor_and_both_shapes(make_hf, edit_json, hf_dir, tmp_path):
    convert_weight(make_hf("--shards", "2"), tmp_path / "a.ckpt", family="llama")
    ready = load_ready_ckpt(tmp_path / "a.ckpt")
    config = load_fitting_config(ready, hf_dir)

    def complaint(**changes):
        edit_json(hf_dir / "config.json", **changes)
        with pytest.raises(InvalidInputError) as caught:
            load_fitting_config(ready, hf_dir)
        return caught.value.message

    kv, hidden = ready.sizes["kv"], config.hidden_size
    text = complaint(num_key_value_heads=config.num_kv_heads // 2)
    assert f"attention.wk.weight has the shape [{kv}, {hidden}]" in text
    assert f"calls for [{kv // 2}, {hidden}]" in text and str(hf_dir) in text
    text = complaint(num_key_value_heads=config.num_kv_heads, num_hidden_layers=3)
    assert "has 3 layers" in text and "has 2: the last is model.layers.1.attention.wq.weight" in text
    assert "family qwen2" in complaint(num_hidden_layers=2, model_type="qwen2")
