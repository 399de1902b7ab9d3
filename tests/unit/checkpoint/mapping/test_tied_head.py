"""An output layer beside tied embeddings: compared, and never lost or called equal without being so."""

from __future__ import annotations

import pytest

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries
from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.checkpoint.verify import verify_weight
from sft_tui.errors import InvalidInputError


@pytest.fixture(params=[("llama", ()), ("qwen2", ("--qwen2",))], ids=["llama", "qwen2"])
def tied(request, tmp_path, make_hf, make_hf_family, read_tensors, write_safetensors):
    """tied(head): a folder that ties its embeddings and has that lm_head ("equal", "other", "alone")."""
    family, _ = request.param
    folder = make_hf("--tied") if family == "llama" else make_hf_family("qwen2", "--tied")

    def make(head):
        tensors = read_tensors(folder)
        kind, shape, values = tensors["model.embed_tokens.weight"]
        changed = bytes([values[0] ^ 1]) + values[1:]
        tensors["lm_head.weight"] = (kind, shape, changed if head == "other" else values)
        if head == "alone":
            del tensors["model.embed_tokens.weight"]
        made = tmp_path / head
        made.mkdir()
        (made / "config.json").write_bytes((folder / "config.json").read_bytes())
        write_safetensors(made / "model.safetensors", tensors)
        return made

    make.family, make.plain = family, folder
    return make


def test_another_layer_is_refused_by_inspect_convert_and_verify(tied, tmp_path):
    convert_weight(tied.plain, tmp_path / "plain.ckpt", family=tied.family)
    folder = tied("other")
    [problem] = [p for p in inspect_checkpoint(folder).problems if p.severity == "error"]
    assert "with other values" in problem.message and "tie_word_embeddings" in problem.hint
    with pytest.raises(InvalidInputError, match="with other values"):
        convert_weight(folder, tmp_path / "a.ckpt", family=tied.family)
    assert not (tmp_path / "a.ckpt").exists()
    # a file made without that layer is not called equal to the folder
    with pytest.raises(InvalidInputError, match="with other values"):
        verify_weight(folder, tmp_path / "plain.ckpt", family=tied.family)


@pytest.mark.parametrize("head", ["equal", "alone"])
def test_a_copy_is_taken_with_or_without_the_embeddings(tied, tmp_path, head):
    folder = tied(head)
    convert_weight(tied.plain, tmp_path / "plain.ckpt", family=tied.family)
    convert_weight(folder, tmp_path / "a.ckpt", family=tied.family)
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "plain.ckpt").read_bytes()
    assert verify_weight(folder, tmp_path / "a.ckpt", family=tied.family).ok
    report = inspect_checkpoint(folder)
    assert report.convertible and any("lm_head" in p.message and p.severity == "warning" for p in report.problems)
    assert "lm_head.weight" in {entry.name for entry in load_ckpt_entries(tmp_path / "a.ckpt")}


def test_a_copy_with_more_bits_is_a_copy(tmp_path, make_hf, read_tensors, write_safetensors):
    folder = make_hf("--tied", "--dtype", "bf16")
    tensors = read_tensors(folder)
    kind, shape, values = tensors["model.embed_tokens.weight"]
    assert kind == "BF16"
    wide = b"".join(b"\0\0" + values[at : at + 2] for at in range(0, len(values), 2))
    tensors["lm_head.weight"] = ("F32", shape, wide)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    write_safetensors(tmp_path / "model.safetensors", tensors)
    convert_weight(tmp_path, tmp_path / "a.ckpt", family="llama")
    tensors["lm_head.weight"] = ("F32", shape, b"\1" + wide[1:])
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(InvalidInputError, match="with other values"):
        convert_weight(tmp_path, tmp_path / "b.ckpt", family="llama")


def test_gpt2_has_no_output_layer_of_its_own(tmp_path, make_hf_family, read_tensors, write_safetensors):
    folder = make_hf_family("gpt2")
    tensors = read_tensors(folder)
    kind, shape, values = tensors["wte.weight"]
    tensors["lm_head.weight"] = (kind, shape, bytes([values[0] ^ 1]) + values[1:])
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(InvalidInputError, match="with other values"):
        convert_weight(tmp_path, tmp_path / "a.ckpt", family="gpt2")
