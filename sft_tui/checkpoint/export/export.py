"""Converts what MindSpore saved, `.ckpt` or safetensors, back to a Hugging Face folder with safetensors, streaming."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from sft_tui.checkpoint.copy.copy_tensors import ByteCount, Cast, Copy, copy_values
from sft_tui.checkpoint.copy.output_file import OutputFile
from sft_tui.checkpoint.copy.tensor_values import Values, whole_values
from sft_tui.checkpoint.export.hf_folder import (
    MANIFEST_NAME,
    EndToken,
    check_output_folder,
    copy_companions,
    write_config,
    write_end,
    write_text,
)
from sft_tui.checkpoint.export.shards import Shard, index_text, plan_shards, shards_like
from sft_tui.checkpoint.formats.source_file import check_regular_file
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS, load_tensor_entries
from sft_tui.checkpoint.manifest import TensorRecord, WeightsManifest, check_unchanged, load_manifest, stamp_files
from sft_tui.checkpoint.mapping.fused_layout import base_entries
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME, load_config_of_family
from sft_tui.checkpoint.mapping.trained_model import ReversedModel, load_reversed_model, main_dtype
from sft_tui.checkpoint.verify import Difference, VerifyResult, compare_all
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.errors import InvalidInputError
from sft_tui.families.table import find_family
from sft_tui.files.whole_file import remove_leftovers
from sft_tui.files.whole_folder import PartialFolder


@dataclass(frozen=True)
class ReversedResult:
    """What was written. `left_out` names entries of the `.ckpt` that belong to training, `copied` the files beside."""

    output: Path
    tensors: int
    parameters: int
    bytes_written: int
    seconds: float
    shards: int
    copied: Tuple[str, ...]
    left_out: Tuple[str, ...]
    warnings: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, object]:
        """The result as a JSON object."""
        return {**asdict(self), "output": str(self.output)}


def convert_reversed(
    ckpt: Path,
    output: Path,
    *,
    family: str,
    dtype: str = "keep",
    config_dir: Optional[Path] = None,
    lora_scaling: Optional[float] = None,
    end: Optional[EndToken] = None,
    force: bool = False,
    progress: ProgressCallback = no_progress,
) -> ReversedResult:
    """Write the model in `ckpt` to the new folder `output`: safetensors, index, config, tokenizer. Memory is constant.

    config.json and tokenizer are copied from `config_dir`; without one, from where the manifest beside `ckpt` says that
    it was made from. Names are those that MindFormers' convert_reversed.py gives. Optimizer state and counters are left
    out; adapters of LoRA are merged `lora_scaling` times, and refused without it. Generation stops at `end` too. A
    failure leaves nothing behind.
    Progress is in bytes written.
    Raises InvalidInputError naming file and parameter, EnvironmentNotFitError when the disk or rights do not allow it.
    """
    started = time.monotonic()
    config_dir = find_config_dir(ckpt, config_dir, family)
    model, config = _load(ckpt, config_dir, family, dtype, lora_scaling)
    # what kept the number type of the model before lies as that does, byte for byte where no weight has changed
    alike = base_entries(config_dir) if find_family(family).direct else []
    shards = shards_like(model.tensors, alike) or plan_shards(model.tensors)
    needed = sum(shard.nbytes for shard in shards)
    sources = [*model.files, config_dir / CONFIG_NAME]
    stamps = stamp_files(sources)
    remove_leftovers(output)
    check_output_folder(output, config_dir, needed, force=force)
    with PartialFolder(output) as folder:
        count = ByteCount(needed, sum(tensor.cast.nbytes for tensor in model.tensors), progress)
        records, warnings = _write_shards(folder.path, shards, count)
        if len(shards) > 1:
            write_text(folder.path / SAFETENSORS.index, index_text(shards))
        write_config(config_dir, folder.path, torch_dtype=main_dtype(model.tensors), untied=model.untied)
        copied, told = copy_companions(config_dir, folder.path)
        copied += write_end(folder.path, end, copied) if end else []
        folder.sync_files(copied)
        warnings += [*told, *model.notes]
        check_unchanged(sources, stamps)
        manifest = WeightsManifest(
            config.family, dtype, str(config_dir.resolve()), stamps, asdict(config), tuple(records), needed
        )
        write_text(folder.path / MANIFEST_NAME, manifest.to_text())
        folder.publish()
    if model.untied:
        warnings.append("Training has moved the output layer away from the embeddings: written untied.")
    return ReversedResult(
        output,
        len(model.tensors),
        model.parameters,
        needed,
        time.monotonic() - started,
        len(shards),
        (CONFIG_NAME, *copied),
        model.left_out,
        tuple(warnings),
    )


def verify_reversed(
    ckpt: Path,
    output: Path,
    *,
    family: str,
    dtype: str = "keep",
    config_dir: Optional[Path] = None,
    lora_scaling: Optional[float] = None,
    progress: ProgressCallback = no_progress,
) -> VerifyResult:
    """Compare the folder `output` with what `ckpt` gives under `dtype`: names, shapes, types, each value bit for bit.

    Differences are in the result; a side that cannot be read raises InvalidInputError.
    """
    started = time.monotonic()
    model, _config = _load(ckpt, find_config_dir(ckpt, config_dir, family), family, dtype, lora_scaling)
    there = {entry.name: entry for entry in load_tensor_entries(output)}
    differences: List[Difference] = []
    to_compare: List[Tuple[str, Cast, Values]] = []
    for tensor in model.tensors:
        entry = there.pop(tensor.name, None)
        if entry is None:
            differences.append(Difference(tensor.name, "is missing"))
        elif (entry.shape, entry.dtype) != (tensor.shape, tensor.dtype):
            found, wanted = f"{entry.dtype} {list(entry.shape)}", f"{tensor.dtype} {list(tensor.shape)}"
            differences.append(Difference(tensor.name, f"is {found} instead of {wanted}"))
        else:
            to_compare.append((tensor.name, tensor.cast, whole_values(entry)))
    differences += compare_all(to_compare, progress)
    differences += [Difference(name, "is not a tensor of this model") for name in there]
    return VerifyResult(output, len(model.tensors), tuple(differences), time.monotonic() - started)


def find_config_dir(ckpt: Path, config_dir: Optional[Path], family: str) -> Path:
    """Where config.json and tokenizer are: as told, or as the manifest beside `ckpt` tells.

    Raises InvalidInputError.
    """
    if not find_family(family).direct:
        if ckpt.is_dir():
            raise InvalidInputError(f"{ckpt} is a folder.", "Name the .ckpt file in it.")
        check_regular_file(ckpt)
    elif ckpt.suffix == ".ckpt":
        raise InvalidInputError(
            f"{ckpt} is no safetensors file.", "Training such a model saves safetensors: load_ckpt_format: safetensors."
        )
    if config_dir is not None:
        return config_dir
    found = (load_manifest(ckpt) or {}).get("hf_dir")
    if not isinstance(found, str) or not (Path(found) / CONFIG_NAME).is_file():
        raise InvalidInputError(
            f"Nothing tells which model {ckpt} is: it has no manifest, or the folder named there is gone.",
            "Name a folder with its config.json and tokenizer: --config_path HF_DIR.",
        )
    return Path(found)


def _load(
    ckpt: Path, config_dir: Path, family: str, dtype: str, lora_scaling: Optional[float]
) -> Tuple[ReversedModel, ModelConfig]:
    config = load_config_of_family(config_dir, family)
    return load_reversed_model(ckpt, config, dtype, config_dir, lora_scaling), config


def _write_shards(folder: Path, shards: Sequence[Shard], count: ByteCount) -> Tuple[List[TensorRecord], List[str]]:
    records: List[TensorRecord] = []
    warnings: List[str] = []
    for shard in shards:
        written, told = _write_shard(folder, shard, count)
        records += written
        warnings += told
    return records, warnings


def _write_shard(folder: Path, shard: Shard, count: ByteCount) -> Tuple[List[TensorRecord], List[str]]:
    """Write one file; its tensors and warnings. Raises InvalidInputError, EnvironmentNotFitError."""
    with OutputFile(folder / shard.name) as sink:
        header = shard.header()
        sink.write(header)
        copies, offset = [], len(header)
        for tensor in shard.tensors:
            copies.append(Copy(tensor.name, tensor.cast, ((offset, tensor.cast.nbytes),)))
            offset += tensor.cast.nbytes
        copied = copy_values(copies, sink, count)
        sink.sync()
        sink.publish()
    records = [
        TensorRecord(tensor.name, tensor.shape, tensor.dtype, checksum)
        for tensor, checksum in zip(shard.tensors, copied.checksums)
    ]
    return records, copied.warnings
