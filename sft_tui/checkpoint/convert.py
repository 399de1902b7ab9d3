"""Converts a Hugging Face checkpoint to a MindSpore `.ckpt`, streaming, and says in a manifest what it made of what."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from sft_tui.checkpoint.byte_run import ByteRun
from sft_tui.checkpoint.ckpt_format import Sink, write_tensor
from sft_tui.checkpoint.key_map import find_family
from sft_tui.checkpoint.manifest import (
    FileStamp,
    Manifest,
    TensorRecord,
    is_made_from,
    load_manifest,
    manifest_path,
    stamp_files,
)
from sft_tui.checkpoint.precision import cast_values, count_infinite
from sft_tui.checkpoint.source_model import OutputTensor, SourceModel, load_source_model, plan_output
from sft_tui.checkpoint.whole_output import check_output, open_partial
from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.errors import InvalidInputError
from sft_tui.whole_file import not_written


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

    `dtype` is fp32, fp16, bf16 or keep. Names, order and values as MindFormers' convert_weight.py. An `output` that is
    there stays until the new one is whole; a failure leaves nothing behind. Progress is in bytes written.
    Raises InvalidInputError naming file and tensor, EnvironmentNotFitError when the disk or rights do not allow it.
    """
    started = time.monotonic()
    source = load_source_model(hf_dir, family)
    tensors = plan_output(source.tensors, dtype)
    stamps = stamp_files(source.files)
    needed = sum(tensor.file_bytes for tensor in tensors)
    check_output(output, source.files, needed, force=force)
    work = _Work(needed, progress)
    with open_partial(output) as weights, open_partial(manifest_path(output)) as note:
        records = [work.write(weights, tensor) for tensor in tensors]
        _check_unchanged(source, stamps)
        manifest = Manifest(family, dtype, str(hf_dir.resolve()), stamps, asdict(source.config), tuple(records), needed)
        note.write(manifest.to_text().encode())
        weights.finish()
        note.finish()
        # From here until the new manifest is in place, no manifest vouches for what is there.
        _remove(manifest_path(output))
        weights.publish()
        note.publish()
    seconds = time.monotonic() - started
    return ConvertResult(output, len(tensors), source.parameters, needed, seconds, tuple(work.warnings))


def same_work(hf_dir: Path, output: Path, family: str, dtype: str) -> bool:
    """Whether `output` is whole and was made from these very files, as this family, with this dtype.

    Told from the manifest, file sizes and times; contents are not read. Raises InvalidInputError for a source that
    could not be converted.
    """
    find_family(family)
    manifest = load_manifest(output)
    if manifest is None:
        return False
    source = load_source_model(hf_dir, family)
    return is_made_from(output, manifest, family=family, dtype=dtype, sources=stamp_files(source.files))


class _Work:
    """Writes tensor after tensor and keeps what is to be told in the end."""

    def __init__(self, total: int, progress: ProgressCallback) -> None:
        self.total = total
        self.progress = progress
        self.done = 0
        self.warnings: List[str] = []

    def write(self, sink: Sink, tensor: OutputTensor) -> TensorRecord:
        """Cast and write one tensor; raises InvalidInputError when the source ends early."""
        digest = hashlib.sha256()
        overflowed = 0
        before = self.done

        def cast_chunks(run: ByteRun) -> Iterator[memoryview]:
            nonlocal overflowed
            for chunk in run.chunks():
                values = cast_values(chunk, tensor.source_type, tensor.tensor_type)
                overflowed += _count_overflow(chunk, values, tensor)
                digest.update(values)
                yield values
                self.done += len(values)
                self.progress(Progress(self.done, self.total, "bytes", tensor.name))

        entry = tensor.entry
        with ByteRun(entry.file, [(entry.offset, entry.nbytes)], entry.name) as run:
            write_tensor(sink, tensor.name, tensor.dims, tensor.tensor_type, tensor.nbytes, cast_chunks(run))
        self.done = before + tensor.file_bytes
        if overflowed:
            self.warnings.append(f"{overflowed} values of {entry.name} are too big for {tensor.tensor_type}: now Inf.")
        return TensorRecord(tensor.name, tensor.dims, tensor.tensor_type, digest.hexdigest())


def _count_overflow(before: memoryview, after: memoryview, tensor: OutputTensor) -> int:
    """Values that became infinite: only float16 is too narrow for what the others hold."""
    if tensor.tensor_type != "Float16" or tensor.source_type == "Float16":
        return 0
    infinite = count_infinite(after, tensor.tensor_type)
    return infinite - count_infinite(before, tensor.source_type) if infinite else 0


def _check_unchanged(source: SourceModel, stamps: Tuple[FileStamp, ...]) -> None:
    for file, stamp, now in zip(source.files, stamps, stamp_files(source.files)):
        if stamp != now:
            raise InvalidInputError(f"{file} was changed while it was converted.", "Convert again when it is complete.")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(path, error) from error
