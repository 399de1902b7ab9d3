from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sft_tui.checkpoint.inspect.report import FIELD, TOKENIZER_FIELD, CheckpointReport, inspect_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 499723\n"


def errors(report: CheckpointReport) -> list[str]:
    assert all(problem.field in (FIELD, TOKENIZER_FIELD) and problem.hint for problem in report.problems)
    return [problem.message for problem in report.problems if problem.severity == "error"]


def warnings(report: CheckpointReport) -> list[str]:
    return [problem.message for problem in report.problems if problem.severity == "warning"]


def states(report: CheckpointReport) -> dict[str, str]:
    return {file.name: file.state for file in report.files}


def test_a_complete_folder(hf_dir, golden):
    (hf_dir / "tokenizer.model").write_bytes((golden / "tokenizer.model").read_bytes())
    report = inspect_checkpoint(hf_dir)
    assert report.problems == ()
    assert report.convertible
    assert (report.family, report.dtype, report.shards, report.shapes_agree) == ("llama", "fp16", 2, True)
    assert (report.parameters, report.total_bytes) == (230208, 460416)
    assert report.config is not None
    assert report.config.num_layers == 2
    assert report.tokenizer_model == hf_dir / "tokenizer.model"
    assert report.output_bytes("fp32") > 2 * report.output_bytes("keep") - 5000 > 0
    assert states(report) == {
        "config.json": "present",
        "generation_config.json": "present",
        "model-00001-of-00002.safetensors": "present",
        "model-00002-of-00002.safetensors": "present",
        "model.safetensors.index.json": "present",
        "pytorch_model.bin": "not needed",
        "pytorch_model.bin.index.json": "not needed",
        "tokenizer.json": "not needed",
        "tokenizer.model": "present",
    }
    assert {file.name: file.size for file in report.files}["config.json"] == (hf_dir / "config.json").stat().st_size


def test_the_report_is_a_json_object(hf_dir):
    data = json.loads(json.dumps(inspect_checkpoint(hf_dir).to_json()))
    assert data["family"] == "llama"
    assert data["config"]["vocab_size"] == 1024
    assert data["convertible"] is True
    assert set(data["output_bytes"]) == {"fp32", "fp16", "bf16", "keep"}
    assert data["files"][0] == {
        "role": "config",
        "name": "config.json",
        "state": "present",
        "size": (hf_dir / "config.json").stat().st_size,
    }


def test_a_missing_tokenizer_is_a_warning(hf_dir):
    report = inspect_checkpoint(hf_dir)
    assert errors(report) == []
    assert warnings(report) == [f"{hf_dir} has no tokenizer.model."]
    assert report.tokenizer_model is None


@pytest.mark.parametrize("make", ["nowhere", "file", "nul"])
def test_a_folder_that_is_none_is_a_problem(tmp_path, make):
    folder = tmp_path / ("nul\0" if make == "nul" else make)
    if make == "file":
        folder.touch()
    report = inspect_checkpoint(folder)
    assert len(errors(report)) == 1
    assert (report.config, report.output_bytes("fp32"), report.convertible) == (None, 0, False)


def test_an_empty_folder_lacks_config_and_weights(tmp_path):
    report = inspect_checkpoint(tmp_path)
    assert len(errors(report)) == 2
    assert states(report)["config.json"] == "missing"
    assert states(report)["model.safetensors"] == "missing"


def test_config_and_weights_are_judged_apart(hf_dir):
    (hf_dir / "config.json").write_text("{}")
    (hf_dir / "model-00002-of-00002.safetensors").unlink()
    report = inspect_checkpoint(hf_dir)
    first, second = errors(report)
    assert "hidden_size is missing" in first
    assert "lacks 1 of 2 shards: model-00002-of-00002.safetensors" in second
    assert states(report)["model-00002-of-00002.safetensors"] == "missing"
    assert report.shapes_agree is None


def test_shapes_that_disagree_with_the_config_are_told(hf_dir, edit_json):
    edit_json(hf_dir / "config.json", num_key_value_heads=2)
    report = inspect_checkpoint(hf_dir)
    assert report.shapes_agree is False
    assert report.output_sizes == {}
    assert "calls for [32, 64]" in errors(report)[0]


def test_the_signs_of_half_a_download(hf_dir):
    cache = hf_dir / ".cache" / "huggingface" / "download"
    cache.mkdir(parents=True)
    (cache / "abc.incomplete").touch()
    (hf_dir / "model-00003.safetensors.part").touch()
    (hf_dir / "model-00002-of-00002.safetensors").write_bytes(POINTER)
    (hf_dir / "tokenizer.model").write_bytes(POINTER)
    report = inspect_checkpoint(hf_dir)
    assert len(warnings(report)) == 2
    assert ".cache/huggingface/download/abc.incomplete" in warnings(report)[0]
    assert all("Git LFS pointer" in message for message in errors(report))
    assert len(errors(report)) == 2
    assert report.tokenizer_model is None


def test_a_folder_of_bin_files_is_as_good(make_hf, as_bin, tmp_path):
    folder = as_bin(make_hf("--shards", "2"), tmp_path / "bins", shards=2)
    report = inspect_checkpoint(folder)
    assert errors(report) == []
    assert report.output_sizes == inspect_checkpoint(make_hf("--shards", "2")).output_sizes
    assert {name: state for name, state in states(report).items() if "model" in name} == {
        "model.safetensors": "not needed",
        "model.safetensors.index.json": "not needed",
        "pytorch_model-00001-of-00002.bin": "present",
        "pytorch_model-00002-of-00002.bin": "present",
        "pytorch_model.bin.index.json": "present",
        "tokenizer.model": "missing",
    }
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    report = inspect_checkpoint(folder)
    assert "lacks 1 of 2 shards: pytorch_model-00002-of-00002.bin" in errors(report)[0]
    assert states(report)["pytorch_model-00002-of-00002.bin"] == "missing"


def test_a_broken_bin_is_a_problem(hf_dir):
    for file in hf_dir.glob("model*"):
        file.unlink()
    (hf_dir / "pytorch_model.bin").write_bytes(b"PK")
    report = inspect_checkpoint(hf_dir)
    assert "pytorch_model.bin is not a file of torch.save" in errors(report)[0]
    assert states(report)["pytorch_model.bin"] == "present"
    assert states(report)["model.safetensors"] == "not needed"


def test_other_families_come_with_tokenizer_json(make_hf_family):
    report = inspect_checkpoint(make_hf_family("qwen2"))
    assert (errors(report), warnings(report)) == ([], [f"{report.folder} has no tokenizer.json."])
    assert states(report)["tokenizer.json"] == "missing"
    assert states(report)["tokenizer.model"] == "not needed"


def test_bin_files_beside_safetensors_are_not_needed(hf_dir):
    (hf_dir / "pytorch_model-00001-of-00002.bin").write_bytes(b"PK")
    report = inspect_checkpoint(hf_dir)
    assert errors(report) == []
    assert states(report)["pytorch_model-00001-of-00002.bin"] == "not needed"


def test_quantized_weights_are_a_problem_that_names_the_tensor(tmp_path, make_hf, write_safetensors):
    from sft_tui.checkpoint.formats.weight_files import load_tensor_entries

    folder = make_hf()
    tensors = {e.name: ("I8", e.shape, bytes(e.nbytes // 2)) for e in load_tensor_entries(folder)}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    report = inspect_checkpoint(tmp_path)
    assert report.dtype == "I8"
    assert "quantized weights (I8): 'model.embed_tokens.weight'" in errors(report)[0]
    assert not report.convertible


def test_numpy_and_mindspore_stay_out(hf_dir):
    code = (
        "import sys; from pathlib import Path; import sft_tui.checkpoint.convert, sft_tui.checkpoint.verify;"
        "from sft_tui.checkpoint.inspect.report import inspect_checkpoint;"
        "assert inspect_checkpoint(Path(sys.argv[1])).convertible;"
        "print({'numpy', 'mindspore', 'safetensors', 'torch'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(hf_dir)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_a_vocabulary_of_tiktoken_is_named(hf_dir):
    (hf_dir / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    [problem] = [p for p in inspect_checkpoint(hf_dir).problems if "tiktoken" in p.message]
    assert problem.severity == "warning" and "Download" in problem.hint
    (hf_dir / "tokenizer.json").write_text("{}")
    [problem] = [p for p in inspect_checkpoint(hf_dir).problems if "tiktoken" in p.message]
    assert "is taken" in problem.hint
