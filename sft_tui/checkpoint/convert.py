"""Converts a Hugging Face checkpoint to a MindSpore `.ckpt`, streaming, and says in a manifest what it made of what."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from sft_tui.checkpoint.copy.copy_tensors import ByteCount, Copy, copy_values, write_tensor_bytes
from sft_tui.checkpoint.copy.output_file import OutputFile, check_output
from sft_tui.checkpoint.formats.ckpt_write import plan_tensor
from sft_tui.checkpoint.manifest import (
    TensorRecord,
    WeightsManifest,
    check_unchanged,
    is_made_from,
    load_manifest,
    manifest_path,
    stamp_files,
)
from sft_tui.checkpoint.mapping.hf_model import OutputTensor, load_source_model, plan_output
from sft_tui.core.progress import ProgressCallback, no_progress
from sft_tui.families.table import find_family_name
from sft_tui.files.whole_file import naming, remove_leftovers, sync_folder


@dataclass(frozen=True)
class ConvertResult:
    """What was written. `parameters` counts weights, tied ones once; `warnings` name tensors that lost something."""

    output: Path
    tensors: int
    parameters: int
    bytes_written: int
    seconds: float
    warnings: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, object]:
        """The result as a JSON object."""
        return {**asdict(self), "output": str(self.output)}


def convert_weight(
    hf_dir: Path,
    output: Path,
    *,
    family: str,
    dtype: str = "fp32",
    force: bool = False,
    progress: ProgressCallback = no_progress,
) -> ConvertResult:
    """Write the weights of `hf_dir` to `output`, and OUT.ckpt.json beside it. Memory is constant.

    `family` is a name or an alias, `dtype` fp32, fp16, bf16 or keep. Names, order and values as MindFormers'
    convert_weight.py. An `output` that is there stays until the new one is whole; a failure leaves nothing behind.
    Progress is in bytes written.
    Raises InvalidInputError naming file and tensor, EnvironmentNotFitError when the disk or rights do not allow it.
    """
    started = time.monotonic()
    family = find_family_name(family)
    source = load_source_model(hf_dir, family)
    tensors = plan_output(source.tensors, dtype)
    stamps = stamp_files(source.files)
    needed, content = sum(tensor.file_bytes for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    remove_leftovers(output)
    remove_leftovers(manifest_path(output))
    check_output(output, source.files, needed, force=force)
    with OutputFile(output) as weights, OutputFile(manifest_path(output)) as note:
        copied = copy_values(_place(tensors, weights), weights, ByteCount(needed, content, progress))
        check_unchanged(source.files, stamps)
        records = tuple(
            TensorRecord(tensor.name, tensor.dims, tensor.tensor_type, checksum)
            for tensor, checksum in zip(tensors, copied.checksums)
        )
        manifest = WeightsManifest(family, dtype, str(hf_dir.resolve()), stamps, asdict(source.config), records, needed)
        note.write(manifest.to_text().encode())
        weights.sync()
        note.sync()
        # From here until the new manifest is in place, no manifest vouches for what is there.
        with naming(manifest_path(output)):
            manifest_path(output).unlink(missing_ok=True)
        weights.publish()
        note.publish()
        with naming(output.parent):
            sync_folder(output.parent)
    seconds = time.monotonic() - started
    return ConvertResult(output, len(tensors), source.parameters, needed, seconds, tuple(copied.warnings))


def same_work(hf_dir: Path, output: Path, family: str, dtype: str) -> bool:
    """Whether `output` is whole and was made from these very files, as this family, with this dtype.

    Told from the manifest, file sizes and times; contents are not read. Raises InvalidInputError for a source that
    could not be converted.
    """
    family = find_family_name(family)
    manifest = load_manifest(output)
    if manifest is None:
        return False
    source = load_source_model(hf_dir, family)
    return is_made_from(output, manifest, family=family, dtype=dtype, sources=stamp_files(source.files))


def _place(tensors: Sequence[OutputTensor], sink: OutputFile) -> List[Copy]:
    """Write what stands between the values, and say where those go."""
    copies, offset = [], 0
    for tensor in tensors:
        plans = plan_tensor(tensor.name, tensor.dims, tensor.tensor_type, tensor.nbytes, offset)
        for plan in plans:
            write_tensor_bytes(sink, tensor.name, plan.offset, memoryview(plan.header))
        copies.append(Copy(tensor.name, tensor.cast, tuple(plan.content for plan in plans)))
        offset += tensor.file_bytes
    return copies
