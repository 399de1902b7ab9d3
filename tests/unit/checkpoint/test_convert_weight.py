from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from sft_tui.checkpoint.convert import convert_weight, same_work
from sft_tui.checkpoint.copy import output_file as whole_output
from sft_tui.checkpoint.copy import tensor_values
from sft_tui.checkpoint.formats import ckpt_write as ckpt_format
from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries
from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.checkpoint.manifest import manifest_path
from sft_tui.checkpoint.mapping.hf_model import load_source_model, plan_output
from sft_tui.checkpoint.verify import verify_weight
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, StoppedError

CASES = ["mha_fp16_2shards", "gqa_bf16", "tied_fp32_3shards"]
DTYPES = ["fp32", "fp16", "bf16"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_the_result_is_bit_equal_to_the_reference_converter(golden, make_hf, tmp_path, case, dtype, described):
    reference = json.loads((golden / "checkpoints" / f"expected_{case}.json").read_text())
    folder = make_hf(*reference["make_hf_llama_arguments"])
    output = tmp_path / "new" / "out.ckpt"
    result = convert_weight(folder, output, family="llama", dtype=dtype)
    assert described(output) == reference[f"dtype_{dtype}"]
    if dtype == "fp32":
        assert reference["dtype_none"] == reference["dtype_fp32"]
    assert (result.output, result.tensors, result.warnings) == (output, 21, ())
    assert result.bytes_written == output.stat().st_size == inspect_checkpoint(folder).output_bytes(dtype)
    assert names(output.parent) == {"out.ckpt", "out.ckpt.json"}


@pytest.mark.parametrize(("source", "tensor_type"), [("fp16", "Float16"), ("bf16", "BFloat16"), ("fp32", "Float32")])
def test_keep_copies_the_bytes_of_the_source(make_hf, tmp_path, source, tensor_type, described):
    folder = make_hf("--dtype", source)
    output = tmp_path / "out.ckpt"
    convert_weight(folder, output, family="llama", dtype="keep")
    data = (folder / "model.safetensors").read_bytes()
    tensors = plan_output(load_source_model(folder, "llama").tensors, "keep")
    assert [(item["tensor_type"], item["sha256"]) for item in described(output)] == [
        (tensor_type, hashlib.sha256(data[begin : begin + length]).hexdigest())
        for tensor in tensors
        for begin, length in tensor.cast.values.runs[0].stretches
    ]


def test_the_manifest_tells_what_was_made_of_what(hf_dir, tmp_path, described):
    output = tmp_path / "out.ckpt"
    convert_weight(hf_dir, output, family="llama", dtype="bf16")
    manifest = json.loads(manifest_path(output).read_text())
    assert manifest["schema_version"] == 2
    assert (manifest["family"], manifest["dtype"], manifest["hf_dir"]) == ("llama", "bf16", str(hf_dir))
    assert manifest["output_bytes"] == output.stat().st_size
    assert manifest["config"]["hidden_size"] == 64
    assert {source["name"]: (source["size"], source["mtime_ns"]) for source in manifest["sources"]} == {
        file.name: (file.stat().st_size, file.stat().st_mtime_ns)
        for file in hf_dir.iterdir()
        if file.name != "generation_config.json"
    }
    assert [{**item, "crc32": None} for item in manifest["tensors"]] == [
        {"name": item["name"], "dims": item["dims"], "tensor_type": item["tensor_type"], "crc32": None}
        for item in described(output)
    ]
    data = output.read_bytes()
    assert [item["crc32"] for item in manifest["tensors"]] == [
        f"{zlib.crc32(b''.join(data[part.offset : part.offset + part.nbytes] for part in entry.segments)):08x}"
        for entry in load_ckpt_entries(output)
    ]


def test_the_result_is_a_json_object(hf_dir, tmp_path):
    output = tmp_path / "out.ckpt"
    result = json.loads(json.dumps(convert_weight(hf_dir, output, family="llama").to_json()))
    assert result.pop("seconds") > 0
    assert result == {
        "output": str(output),
        "tensors": 21,
        "parameters": 230208,
        "bytes_written": output.stat().st_size,
        "warnings": [],
    }


def test_the_same_work_is_recognised_and_other_work_is_not(hf_dir, tmp_path):
    output = tmp_path / "out.ckpt"
    assert not same_work(hf_dir, output, "llama", "fp16")
    convert_weight(hf_dir, output, family="llama", dtype="fp16")
    assert same_work(hf_dir, output, "llama", "fp16")
    assert not same_work(hf_dir, output, "llama", "fp32")
    os.utime(hf_dir / "model-00001-of-00002.safetensors", ns=(1, 1))
    assert not same_work(hf_dir, output, "llama", "fp16")


@pytest.mark.parametrize("spoil", ["cut", "gone", "manifest", "schema"])
def test_an_output_that_was_touched_is_not_the_same_work(hf_dir, tmp_path, edit_json, spoil):
    output = tmp_path / "out.ckpt"
    convert_weight(hf_dir, output, family="llama")
    if spoil == "cut":
        os.truncate(output, 1000)
    elif spoil == "gone":
        output.unlink()
    elif spoil == "manifest":
        manifest_path(output).write_text("{")
    else:
        edit_json(manifest_path(output), schema_version=1)
    assert not same_work(hf_dir, output, "llama", "fp32")


def test_progress_counts_the_bytes_of_the_output(hf_dir, tmp_path):
    seen = []
    result = convert_weight(hf_dir, tmp_path / "out.ckpt", family="llama", progress=seen.append)
    assert all(item.total == result.bytes_written and item.unit == "bytes" for item in seen)
    assert [item.done for item in seen] == sorted(item.done for item in seen)
    assert seen[-1].done <= seen[-1].total
    assert {item.label for item in seen} >= {"lm_head.weight", "model.norm_out.weight"}


def test_values_too_big_for_float16_are_told(tmp_path, make_hf, read_tensors, write_safetensors):
    folder = tmp_path / "big"
    folder.mkdir()
    source = make_hf("--dtype", "fp32")
    tensors = read_tensors(source)
    norm = np.ones(64, "<f4")
    norm[:3] = [70000, -70000, np.inf]
    tensors["model.norm.weight"] = ("F32", [64], norm.tobytes())
    write_safetensors(folder / "model.safetensors", tensors)
    shutil.copy(source / "config.json", folder)
    result = convert_weight(folder, tmp_path / "out.ckpt", family="llama", dtype="fp16")
    infinite = "1 values of model.norm.weight are infinite in the source."
    assert result.warnings == (infinite, "2 values of model.norm.weight are too big for Float16: now Inf.")
    assert convert_weight(folder, tmp_path / "b.ckpt", family="llama", dtype="bf16").warnings == (infinite,)


def test_nan_is_counted_and_its_tensor_named_once(tmp_path, make_hf, read_tensors, write_safetensors):
    source = make_hf("--dtype", "bf16", "--tied")
    tensors = read_tensors(source)
    kind, shape, data = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = (kind, shape, b"\xc0\x7f\xc1\xff\x80\x7f" + data[6:])
    write_safetensors(tmp_path / "model.safetensors", tensors)
    shutil.copy(source / "config.json", tmp_path)
    assert convert_weight(tmp_path, tmp_path / "out.ckpt", family="llama", dtype="keep").warnings == (
        "2 values of model.embed_tokens.weight are NaN in the source.",
        "1 values of model.embed_tokens.weight are infinite in the source.",
    )
    assert verify_weight(tmp_path, tmp_path / "out.ckpt", family="llama", dtype="keep").ok


def test_a_tensor_without_values_is_named(tmp_path, make_hf, read_tensors, write_safetensors):
    source = make_hf()
    tensors = read_tensors(source)
    tensors["model.norm.weight"] = ("F16", [0], b"")
    write_safetensors(tmp_path / "model.safetensors", tensors)
    shutil.copy(source / "config.json", tmp_path)
    with pytest.raises(InvalidInputError, match=r"'model.norm.weight' in model.safetensors has the shape \[0\]"):
        convert_weight(tmp_path, tmp_path / "out.ckpt", family="llama")


def test_an_output_that_exists_needs_force(hf_dir, tmp_path):
    output = tmp_path / "out.ckpt"
    output.write_bytes(b"old")
    with pytest.raises(InvalidInputError, match=r"exists already.*--force"):
        convert_weight(hf_dir, output, family="llama")
    assert output.read_bytes() == b"old"
    convert_weight(hf_dir, output, family="llama", force=True)
    assert len(load_ckpt_entries(output)) == 21


@pytest.mark.parametrize(
    ("name", "words"),
    [("out.bin", "does not end with .ckpt"), ("folder.ckpt", "is a folder"), ("file/out.ckpt", "is a file")],
)
def test_an_output_name_that_cannot_be_meant_is_refused(hf_dir, tmp_path, name, words):
    (tmp_path / "folder.ckpt").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises((InvalidInputError, EnvironmentNotFitError), match=words):
        convert_weight(hf_dir, tmp_path / name, family="llama", force=True)


def test_an_input_is_never_overwritten(hf_dir, tmp_path):
    shard = hf_dir / "model-00001-of-00002.safetensors"
    before = shard.read_bytes()
    (tmp_path / "out.ckpt").symlink_to(shard)
    with pytest.raises(InvalidInputError, match="one of the files to convert"):
        convert_weight(hf_dir, tmp_path / "out.ckpt", family="llama", force=True)
    assert shard.read_bytes() == before


def test_a_full_disk_is_noticed_before_the_work(hf_dir, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(EnvironmentNotFitError, match="free"):
        convert_weight(hf_dir, tmp_path / "new" / "out.ckpt", family="llama")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_unfit_environment(hf_dir, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(EnvironmentNotFitError, match="cannot be written"):
        convert_weight(hf_dir, folder / "out.ckpt", family="llama")


WITH_A_LIMIT = """
import resource, sys
from pathlib import Path
from sft_tui.checkpoint.convert import convert_weight
from sft_tui.errors import SftError
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    convert_weight(Path(sys.argv[1]), Path(sys.argv[2]), family="llama", force=True)
except SftError as error:
    print(error.message)
    sys.exit(error.exit_code)
"""


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(hf_dir, tmp_path):
    output = tmp_path / "to" / "out.ckpt"
    output.parent.mkdir()
    output.write_bytes(b"old")
    command = [sys.executable, "-c", WITH_A_LIMIT, str(hf_dir), str(output)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "Stopped in tensor 'model." in ran.stdout
    assert os.strerror(errno.EFBIG) in ran.stdout
    assert names(output.parent) == {"out.ckpt"}
    assert output.read_bytes() == b"old"


def test_a_read_error_half_way_names_file_and_tensor(hf_dir, tmp_path, monkeypatch):
    real = os.preadv

    def failing(handle: int, buffers: list[memoryview], offset: int) -> int:
        if offset > 100_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(handle, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(
        InvalidInputError, match=r"Tensor 'model\..* .*/model-0000\d-of-00002.safetensors could not be read"
    ):
        convert_weight(hf_dir, tmp_path / "to" / "out.ckpt", family="llama")
    assert names(tmp_path / "to") == set()


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(hf_dir, tmp_path):
    output = tmp_path / "out.ckpt"
    stale, others = tmp_path / ".out.ckpt.0123456789ab.partial", tmp_path / ".other.ckpt.0123456789ab.partial"
    stale.write_bytes(b"half")
    others.write_bytes(b"half")
    with whole_output.OutputFile(output) as living:
        convert_weight(hf_dir, output, family="llama")
        assert not stale.exists()
        living.sync()
        assert len(names(tmp_path) - {"hf", "out.ckpt", "out.ckpt.json", others.name}) == 1
    assert names(tmp_path) == {"hf", "out.ckpt", "out.ckpt.json", others.name}


def interrupt(_progress: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def stop(_progress: object) -> None:
    raise StoppedError("stopped")


@pytest.mark.parametrize(("act", "error"), [(interrupt, KeyboardInterrupt), (stop, StoppedError)])
def test_a_stop_half_way_leaves_the_old_files_and_nothing_else(hf_dir, tmp_path, act, error):
    output = tmp_path / "to" / "out.ckpt"
    convert_weight(hf_dir, output, family="llama", dtype="fp16")
    with pytest.raises(error):
        convert_weight(hf_dir, output, family="llama", dtype="fp32", force=True, progress=act)
    assert names(output.parent) == {"out.ckpt", "out.ckpt.json"}
    assert same_work(hf_dir, output, "llama", "fp16")


def test_a_source_that_becomes_shorter_meanwhile_is_named(hf_dir, tmp_path):
    shard = hf_dir / "model-00002-of-00002.safetensors"
    with pytest.raises(InvalidInputError, match=r"model-00002-of-00002.safetensors ends inside tensor") as caught:
        convert_weight(
            hf_dir, tmp_path / "to" / "out.ckpt", family="llama", progress=lambda _: os.truncate(shard, 30_000)
        )
    assert caught.value.hint
    assert names(tmp_path / "to") == set()


def test_a_source_that_changes_meanwhile_is_named(hf_dir, tmp_path):
    shard = hf_dir / "model-00002-of-00002.safetensors"
    with pytest.raises(InvalidInputError, match=r"model-00002-of-00002.safetensors was changed"):
        convert_weight(
            hf_dir, tmp_path / "to" / "out.ckpt", family="llama", progress=lambda _: os.utime(shard, ns=(1, 1))
        )
    assert names(tmp_path / "to") == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mistral"}, "model_type 'mistral'"),
        ({"num_hidden_layers": 4}, "'model.layers.2.self_attn.q_proj.weight' is missing"),
        ({"hidden_size": 128}, "has the shape"),
        ({"vocab_size": None}, "vocab_size is missing"),
    ],
)
def test_a_config_of_another_model_stops_it_before_anything_is_written(hf_dir, tmp_path, edit_json, change, words):
    edit_json(hf_dir / "config.json", **change)
    with pytest.raises(InvalidInputError, match=words):
        convert_weight(hf_dir, tmp_path / "to" / "out.ckpt", family="llama")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(("arguments", "words"), [({"family": "gpt5"}, "gpt5"), ({"dtype": "fp64"}, "fp64")])
def test_unknown_words_are_refused(hf_dir, tmp_path, arguments, words):
    with pytest.raises(InvalidInputError, match=words):
        convert_weight(hf_dir, tmp_path / "out.ckpt", **{"family": "llama", **arguments})


def test_tensors_cut_into_values_and_pieces_hold_the_same(hf_dir, tmp_path, monkeypatch, described):
    whole, cut = tmp_path / "whole.ckpt", tmp_path / "cut.ckpt"
    convert_weight(hf_dir, whole, family="llama", dtype="fp32")
    monkeypatch.setattr(ckpt_format, "SLICE_BYTES", 10_004)
    monkeypatch.setattr(tensor_values, "PIECE_BYTES", 7000)
    monkeypatch.setattr(tensor_values, "BLOCK_BYTES", 900)
    monkeypatch.setattr(whole_output, "SYNC_BYTES", 50_000)
    result = convert_weight(hf_dir, cut, family="llama", dtype="fp32")
    assert max(len(entry.segments) for entry in load_ckpt_entries(cut)) == 27
    assert described(cut) == described(whole)
    assert result.bytes_written == cut.stat().st_size > whole.stat().st_size
    assert verify_weight(hf_dir, cut, family="llama", dtype="fp32").ok
    notes = [json.loads(manifest_path(path).read_text())["tensors"] for path in (whole, cut)]
    assert notes[0] == notes[1]


def test_memory_stays_flat_whatever_the_size(make_hf, tmp_path):
    folder = make_hf("--dtype", "fp32", "--vocab", "32000", "--hidden", "512", "--layers", "1")  # tensors of 65 MB
    output = tmp_path / "out.ckpt"
    for dtype in ("keep", "bf16", "fp16"):
        tracemalloc.start()
        convert_weight(folder, output, family="llama", dtype=dtype, force=True)
        assert verify_weight(folder, output, family="llama", dtype=dtype).ok
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40_000_000
