from __future__ import annotations

from pathlib import Path

import pytest

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries
from sft_tui.checkpoint.verify import Difference, verify_weight
from sft_tui.errors import InvalidInputError


def converted(hf_dir: Path, tmp_path: Path, dtype: str = "fp32") -> Path:
    output = tmp_path / "out.ckpt"
    convert_weight(hf_dir, output, family="llama", dtype=dtype)
    return output


@pytest.mark.parametrize("source", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "keep"])
def test_what_was_converted_is_proved(make_hf, tmp_path, source, dtype):
    folder = make_hf("--dtype", source)
    seen = []
    result = verify_weight(
        folder, converted(folder, tmp_path, dtype), family="llama", dtype=dtype, progress=seen.append
    )
    assert (result.ok, result.tensors, result.differences) == (True, 21, ())
    assert seen[-1].done == seen[-1].total > 0


def test_one_wrong_bit_is_found_and_placed(hf_dir, tmp_path):
    output = converted(hf_dir, tmp_path)
    entry = next(entry for entry in load_ckpt_entries(output) if entry.name.endswith("1.attention.wo.weight"))
    with output.open("r+b") as stream:
        for place in (10, 4095):
            stream.seek(entry.segments[0].offset + 4 * place)
            byte = stream.read(1)[0]
            stream.seek(-1, 1)
            stream.write(bytes([byte ^ 1]))
    result = verify_weight(hf_dir, output, family="llama")
    assert not result.ok
    assert {**result.to_json(), "seconds": 0} == {
        "output": str(output),
        "ok": False,
        "tensors": 21,
        "differences": [{"name": entry.name, "what": "differs in 2 of 4,096 values, first at 10"}],
        "seconds": 0,
    }


def test_another_dtype_is_a_difference_of_every_tensor(hf_dir, tmp_path):
    result = verify_weight(hf_dir, converted(hf_dir, tmp_path, "fp16"), family="llama", dtype="bf16")
    assert len(result.differences) == 21
    assert result.differences[0].what == "is Float16 instead of BFloat16"


def test_missing_foreign_and_misshapen_parameters_are_named(hf_dir, make_hf, tmp_path):
    output = converted(hf_dir, tmp_path)
    other = make_hf("--layers", "1", "--kv-heads", "2")
    backwards = verify_weight(other, output, family="llama")
    found = {difference.name: difference.what for difference in backwards.differences}
    assert found["model.layers.0.attention.wk.weight"] == "has the shape [64, 64] instead of [32, 64]"
    assert found["model.layers.1.attention.wk.weight"] == "is not a parameter of this model"
    smaller = tmp_path / "smaller.ckpt"
    convert_weight(other, smaller, family="llama")
    forwards = verify_weight(hf_dir, smaller, family="llama")
    assert Difference("model.layers.1.ffn_norm.weight", "is missing") in forwards.differences


def test_a_cut_off_checkpoint_is_refused(hf_dir, tmp_path):
    output = converted(hf_dir, tmp_path)
    output.write_bytes(output.read_bytes()[:-10])
    with pytest.raises(InvalidInputError, match=r"out\.ckpt is broken"):
        verify_weight(hf_dir, output, family="llama")
    output.unlink()
    with pytest.raises(InvalidInputError, match=r"out\.ckpt is missing"):
        verify_weight(hf_dir, output, family="llama")
