"""From `.ckpt` back to a Hugging Face folder: the same bits, and only what belongs into it."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np
import pytest

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.copy import tensor_values
from sft_tui.checkpoint.export import shards as safetensors_shards
from sft_tui.checkpoint.export.export import convert_reversed, verify_reversed
from sft_tui.checkpoint.export.hf_folder import COMPANIONS, MANIFEST_NAME, EndToken
from sft_tui.checkpoint.formats import ckpt_write as ckpt_format
from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries
from sft_tui.checkpoint.formats.ckpt_write import plan_tensor
from sft_tui.checkpoint.formats.weight_files import load_tensor_entries
from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, StoppedError
from sft_tui.families.table import KEY_MAPS

Parameters = Dict[str, Tuple[str, Sequence[int], bytes]]


def tensors_of(folder: Path, prefix: str = "") -> Dict[str, Tuple[str, Tuple[int, ...], bytes]]:
    found = {}
    for entry in load_tensor_entries(folder):
        with entry.file.open("rb") as stream:
            stream.seek(entry.offset)
            name = entry.name[len(prefix) :] if entry.name.startswith(prefix) else entry.name
            found[name] = (entry.dtype, entry.shape, stream.read(entry.nbytes))
    return found


def parameters_of(ckpt: Path) -> Parameters:
    data = ckpt.read_bytes()
    return {
        entry.name: (
            entry.tensor_type,
            entry.dims,
            b"".join(data[part.offset : part.offset + part.nbytes] for part in entry.segments),
        )
        for entry in load_ckpt_entries(ckpt)
    }


def write_ckpt(path: Path, parameters: Parameters) -> Path:
    with path.open("wb") as stream:
        for name, (tensor_type, dims, data) in parameters.items():
            for plan in plan_tensor(name, dims, tensor_type, len(data), 0):
                stream.write(plan.header)
            stream.write(data)
    return path


@pytest.fixture
def llama(make_hf: Callable[..., Path], tmp_path: Path) -> Tuple[Path, Path]:
    """A Hugging Face folder and the `.ckpt` with its numbers as they are."""
    folder = make_hf("--shards", "2", "--kv-heads", "2")
    ckpt = tmp_path / "model.ckpt"
    convert_weight(folder, ckpt, family="llama", dtype="keep")
    return folder, ckpt


@pytest.mark.parametrize("source", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("words", [["qwen2"], ["qwen2", "--tied"], ["gpt2"], ["gpt2", "--prefix"]], ids=" ".join)
def test_the_way_there_and_back_changes_no_bit(make_hf_family, tmp_path, words, source):
    folder = make_hf_family(*words, "--dtype", source)
    convert_weight(folder, tmp_path / "a.ckpt", family=words[0], dtype="keep")
    result = convert_reversed(tmp_path / "a.ckpt", tmp_path / "back", family=words[0])
    assert tensors_of(tmp_path / "back") == tensors_of(folder, "transformer.")
    assert (result.left_out, result.warnings, result.shards) == ((), (), 1)
    assert verify_reversed(tmp_path / "a.ckpt", tmp_path / "back", family=words[0]).ok
    assert inspect_checkpoint(tmp_path / "back").convertible
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        "config.json",
        "model.safetensors",
        MANIFEST_NAME,
    ]


@pytest.mark.parametrize("words", [[], ["--tied"], ["--kv-heads", "2", "--dtype", "bf16"]], ids=str)
def test_llama_there_and_back(make_hf, tmp_path, words):
    folder = make_hf(*words)
    convert_weight(folder, tmp_path / "a.ckpt", family="llama", dtype="keep")
    convert_reversed(tmp_path / "a.ckpt", tmp_path / "back", family="llama")
    assert tensors_of(tmp_path / "back") == tensors_of(folder)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_number_type_can_be_changed_and_is_told_in_the_config(llama, tmp_path, dtype):
    folder, ckpt = llama
    convert_reversed(ckpt, tmp_path / "back", family="llama", dtype=dtype)
    words = {"fp32": ("F32", "float32"), "fp16": ("F16", "float16"), "bf16": ("BF16", "bfloat16")}
    assert {entry.dtype for entry in load_tensor_entries(tmp_path / "back")} == {words[dtype][0]}
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config == {**json.loads((folder / "config.json").read_text()), "torch_dtype": words[dtype][1]}
    assert verify_reversed(ckpt, tmp_path / "back", family="llama", dtype=dtype).ok
    assert not verify_reversed(ckpt, tmp_path / "back", family="llama", dtype="fp16" if dtype != "fp16" else "fp32").ok


def test_many_shards_have_an_index(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_shards, "SHARD_BYTES", 150_000)
    folder, ckpt = llama
    result = convert_reversed(ckpt, tmp_path / "back", family="llama")
    index = json.loads((tmp_path / "back" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "back").glob("*.safetensors"))
    assert files == [f"model-{number:05d}-of-{result.shards:05d}.safetensors" for number in range(1, result.shards + 1)]
    assert result.shards > 2
    assert all((tmp_path / "back" / file).stat().st_size < 152_000 for file in files)
    assert index["metadata"]["total_size"] == sum(entry.nbytes for entry in load_tensor_entries(folder))
    assert tensors_of(tmp_path / "back") == tensors_of(folder)
    assert verify_reversed(ckpt, tmp_path / "back", family="llama").ok


def test_cut_values_and_pieces_are_put_together(make_hf_family, tmp_path, monkeypatch):
    monkeypatch.setattr(ckpt_format, "SLICE_BYTES", 1002)
    monkeypatch.setattr(tensor_values, "PIECE_BYTES", 3000)
    monkeypatch.setattr(tensor_values, "BLOCK_BYTES", 700)
    monkeypatch.setattr(tensor_values, "TURNED_BLOCK_BYTES", 900)
    folder = make_hf_family("gpt2")
    convert_weight(folder, tmp_path / "a.ckpt", family="gpt2", dtype="keep")
    convert_reversed(tmp_path / "a.ckpt", tmp_path / "back", family="gpt2")
    assert tensors_of(tmp_path / "back") == tensors_of(folder)


def test_what_is_written_is_what_the_safetensors_library_reads(llama, tmp_path):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    folder, ckpt = llama
    convert_reversed(ckpt, tmp_path / "back", family="llama")
    found = load_file(tmp_path / "back" / "model.safetensors")
    for shard in folder.glob("*.safetensors"):
        for name, values in load_file(shard).items():
            np.testing.assert_array_equal(found[name], values)


def test_tokenizer_and_generation_files_come_along(llama, tmp_path):
    folder, ckpt = llama
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in COMPANIONS:
        (copy / name).write_text(f"content of {name}")
    (copy / "vocab.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n")
    (copy / "README.md").write_text("not needed")
    result = convert_reversed(ckpt, tmp_path / "back", family="llama", config_dir=copy)
    assert set(result.copied) == {"config.json", *COMPANIONS} - {"vocab.json"}
    assert (tmp_path / "back" / "tokenizer.model").read_text() == "content of tokenizer.model"
    assert not (tmp_path / "back" / "README.md").exists()
    assert result.warnings == (f"{copy / 'vocab.json'} is a Git LFS pointer and was not copied.",)


@pytest.mark.parametrize(
    ("generation", "eos"),
    [({"eos_token_id": 2, "top_p": 0.9}, [7, 2]), ({"eos_token_id": [7, 2]}, [7, 2]), (None, [7, 2])],
)
def test_generation_stops_at_the_token_that_was_taught(make_hf, tmp_path, generation, eos):
    source = tmp_path / "hf"
    shutil.copytree(make_hf(), source)
    (source / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        (source / "generation_config.json").write_text(json.dumps(generation))
    (source / "tokenizer_config.json").write_text('{"eos_token": "</s>", "x": 1}')
    convert_weight(source, tmp_path / "a.ckpt", family="llama")
    for name, of_tokenizer in (("plain", False), ("told", True)):
        end = EndToken("<|im_end|>", 7, of_tokenizer)
        convert_reversed(tmp_path / "a.ckpt", tmp_path / name, family="llama", end=end)
        written = json.loads((tmp_path / name / "generation_config.json").read_text())
        assert written["eos_token_id"] == eos and written.get("top_p") == (generation or {}).get("top_p")
        settings = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        assert settings == {"eos_token": "<|im_end|>" if of_tokenizer else "</s>", "x": 1}
    assert json.loads((source / "config.json").read_text())["eos_token_id"] == 2


def test_optimizer_state_and_counters_are_left_out_and_named(llama, tmp_path):
    folder, ckpt = llama
    parameters = parameters_of(ckpt)
    training: Parameters = {
        **parameters,
        **{f"adam_m.{name}": value for name, value in parameters.items()},
        **{f"exp_avg_sq.{name}": value for name, value in parameters.items()},
        "global_step": ("Int32", (), struct.pack("<i", 7)),
        "scale_sense": ("Float32", (1,), struct.pack("<f", 1)),
        "epoch_num": ("Int64", (), struct.pack("<q", 1)),
        "note": ("str", (0,), "hello".encode("utf-32-le")),
    }
    result = convert_reversed(
        write_ckpt(tmp_path / "rank_0.ckpt", training), tmp_path / "back", family="llama", config_dir=folder
    )
    assert tensors_of(tmp_path / "back") == tensors_of(folder)
    assert set(result.left_out) == set(training) - set(parameters)


def sliced(parameters: Parameters, parts: int) -> Parameters:
    """Rank 0 of a model-parallel training: attention, feed-forward and embeddings cut, norms whole."""
    cut: Parameters = {}
    for name, (kind, dims, data) in parameters.items():
        keep = "norm" in name
        cut[name] = (kind, dims, data) if keep else (kind, (dims[0] // parts, *dims[1:]), data[: len(data) // parts])
    return cut


def test_the_part_of_one_rank_is_recognised(llama, tmp_path):
    folder, ckpt = llama
    path = write_ckpt(tmp_path / "rank_0.ckpt", sliced(parameters_of(ckpt), 2))
    with pytest.raises(InvalidInputError, match="part of one rank of a parallel training") as caught:
        convert_reversed(path, tmp_path / "back", family="llama", config_dir=folder)
    assert "transform_ckpt.py" in caught.value.hint
    assert "[1024, 64]" in caught.value.message
    assert not (tmp_path / "back").exists()


def test_one_stage_of_a_pipeline_is_recognised(llama, tmp_path):
    folder, ckpt = llama
    stage = {name: value for name, value in parameters_of(ckpt).items() if "layers.1." not in name}
    with pytest.raises(InvalidInputError, match=r"only a part of the model: model.layers.1.attention.wq.weight") as e:
        convert_reversed(write_ckpt(tmp_path / "r.ckpt", stage), tmp_path / "back", family="llama", config_dir=folder)
    assert "stage of a pipeline" in e.value.hint


def test_another_models_config_is_no_slice(llama, make_hf, tmp_path):
    _, ckpt = llama
    other = make_hf("--hidden", "128", "--intermediate", "344", "--kv-heads", "2")
    with pytest.raises(InvalidInputError, match=r"does not fit config\.json") as caught:
        convert_reversed(ckpt, tmp_path / "back", family="llama", config_dir=other)
    assert "--config_path" in caught.value.hint


def test_unknown_parameters_are_named(llama, tmp_path):
    folder, ckpt = llama
    more = {**parameters_of(ckpt), "model.layers.0.attention.wq.gamma": ("Float32", (2, 3), bytes(24))}
    with pytest.raises(InvalidInputError, match=r"wq\.gamma is unknown") as caught:
        convert_reversed(write_ckpt(tmp_path / "l.ckpt", more), tmp_path / "back", family="llama", config_dir=folder)
    assert "--config_path" in caught.value.hint
    with pytest.raises(InvalidInputError, match="holds no parameter of this family"):
        none: Parameters = {"w": ("Float32", (2, 3), bytes(24))}
        convert_reversed(write_ckpt(tmp_path / "w.ckpt", none), tmp_path / "back", family="llama", config_dir=folder)


def test_types_that_are_no_weights_are_named(llama, tmp_path):
    folder, ckpt = llama
    parameters = parameters_of(ckpt)
    _, dims, data = parameters["model.norm_out.weight"]
    parameters["model.norm_out.weight"] = ("Int16", dims, data)
    with pytest.raises(InvalidInputError, match=r"model\.norm_out\.weight is Int16"):
        convert_reversed(write_ckpt(tmp_path / "i.ckpt", parameters), tmp_path / "b", family="llama", config_dir=folder)


def test_an_output_layer_that_training_moved_is_written_untied(make_hf, tmp_path):
    folder = make_hf("--tied")
    ckpt = tmp_path / "a.ckpt"
    convert_weight(folder, ckpt, family="llama", dtype="keep")
    parameters = parameters_of(ckpt)
    kind, dims, data = parameters["lm_head.weight"]
    parameters["lm_head.weight"] = (kind, dims, data[:-1] + bytes([data[-1] ^ 1]))
    result = convert_reversed(
        write_ckpt(tmp_path / "b.ckpt", parameters), tmp_path / "back", family="llama", config_dir=folder
    )
    assert "untied" in result.warnings[0]
    assert json.loads((tmp_path / "back" / "config.json").read_text())["tie_word_embeddings"] is False
    assert tensors_of(tmp_path / "back")["lm_head.weight"][2] == parameters["lm_head.weight"][2]
    assert inspect_checkpoint(tmp_path / "back").convertible
    del parameters["lm_head.weight"]  # MindFormers 1.2 left it out
    convert_reversed(write_ckpt(tmp_path / "c.ckpt", parameters), tmp_path / "c", family="llama", config_dir=folder)
    assert tensors_of(tmp_path / "c") == tensors_of(folder)


def test_parts_of_one_tensor_with_different_types_are_refused(make_hf_family, tmp_path):
    folder = make_hf_family("gpt2")
    convert_weight(folder, tmp_path / "a.ckpt", family="gpt2", dtype="keep")
    parameters = parameters_of(tmp_path / "a.ckpt")
    name = "backbone.blocks.0.attention.dense2.bias"
    parameters[name] = ("Float32", parameters[name][1], bytes(64 * 4))
    with pytest.raises(InvalidInputError, match="they make one tensor"):
        convert_reversed(write_ckpt(tmp_path / "b.ckpt", parameters), tmp_path / "b", family="gpt2", config_dir=folder)


def test_without_a_manifest_the_model_has_to_be_named(llama, tmp_path):
    folder, ckpt = llama
    alone = tmp_path / "alone.ckpt"
    shutil.copy(ckpt, alone)
    with pytest.raises(InvalidInputError, match="Nothing tells which model") as caught:
        convert_reversed(alone, tmp_path / "back", family="llama")
    assert "--config_path" in caught.value.hint
    convert_reversed(alone, tmp_path / "back", family="llama", config_dir=folder)


def test_a_folder_that_is_there_is_kept_unless_it_is_ours_and_forced(llama, tmp_path):
    _, ckpt = llama
    back = tmp_path / "back"
    back.mkdir()
    convert_reversed(ckpt, back, family="llama")
    with pytest.raises(InvalidInputError, match="exists already") as caught:
        convert_reversed(ckpt, back, family="llama")
    assert "--force" in caught.value.hint
    convert_reversed(ckpt, back, family="llama", dtype="fp32", force=True)
    assert {entry.dtype for entry in load_tensor_entries(back)} == {"F32"}
    (back / "notes.txt").touch()
    with pytest.raises(InvalidInputError, match=r"other files in it: notes\.txt"):
        convert_reversed(ckpt, back, family="llama", force=True)
    (back / "notes.txt").unlink()
    with pytest.raises(InvalidInputError, match=r"is where config\.json comes from"):
        convert_reversed(ckpt, back, family="llama", config_dir=back, force=True)
    (back / MANIFEST_NAME).unlink()
    with pytest.raises(InvalidInputError, match="other files in it"):
        convert_reversed(ckpt, back, family="llama", force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model.ckpt", "model.ckpt.json", "back"}


@pytest.mark.parametrize(
    ("name", "words"), [("out.bin", "looks like a file"), ("model.ckpt.json", "is a file"), ("model.ckpt", "a file")]
)
def test_a_name_that_cannot_be_meant_is_refused(llama, tmp_path, name, words):
    with pytest.raises(InvalidInputError, match=words):
        convert_reversed(llama[1], tmp_path / name, family="llama", force=True)


def stop(_progress: object) -> None:
    raise StoppedError("stopped")


def test_a_stop_half_way_leaves_the_old_folder_and_nothing_else(llama, tmp_path):
    _, ckpt = llama
    back = tmp_path / "to" / "back"
    convert_reversed(ckpt, back, family="llama")
    before = tensors_of(back)
    with pytest.raises(StoppedError):
        convert_reversed(ckpt, back, family="llama", dtype="fp32", force=True, progress=stop)
    assert tensors_of(back) == before
    assert [path.name for path in back.parent.iterdir()] == ["back"]


def test_a_source_that_becomes_shorter_meanwhile_is_named(llama, tmp_path, monkeypatch):
    _, ckpt = llama
    with pytest.raises(InvalidInputError, match=r"model.ckpt ends inside tensor"):
        convert_reversed(ckpt, tmp_path / "b", family="llama", progress=lambda _: os.truncate(ckpt, 30_000))
    assert not (tmp_path / "b").exists()


def test_a_full_disk_is_noticed_before_the_work(llama, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(EnvironmentNotFitError, match="free"):
        convert_reversed(llama[1], tmp_path / "new" / "out", family="llama")
    assert not (tmp_path / "new").exists()


def test_every_table_can_be_turned_around():
    for family in KEY_MAPS.values():
        rules = [*family.first, *family.layer, *family.last]
        sources: Dict[str, List[Tuple[int, int]]] = {}
        for rule in rules:
            assert rule.part == (0, 1) or rule.transposed or len(rule.shape) == 1
            sources.setdefault(rule.source, []).append(rule.part)
        for parts in sources.values():
            assert sorted(parts) == [(place, len(parts)) for place in range(len(parts))]
