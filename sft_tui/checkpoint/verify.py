"""Proves a converted `.ckpt`: reads both sides again and compares every value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from sft_tui.checkpoint.byte_run import ByteRun
from sft_tui.checkpoint.ckpt_reader import CkptEntry, load_ckpt_entries
from sft_tui.checkpoint.precision import ITEM_BYTES, cast_values
from sft_tui.checkpoint.source_model import OutputTensor, load_source_model, plan_output
from sft_tui.core.progress import Progress, ProgressCallback, no_progress


@dataclass(frozen=True)
class Difference:
    """A parameter that is not as it should be, and in what."""

    name: str
    what: str


@dataclass(frozen=True)
class VerifyResult:
    """The verdict. `tensors` counts the parameters that the model needs; all of them were compared."""

    output: Path
    tensors: int
    differences: Tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether the `.ckpt` holds exactly what it should."""
        return not self.differences

    def to_json(self) -> Dict[str, object]:
        """The verdict as a JSON object."""
        differences = [asdict(difference) for difference in self.differences]
        return {"output": str(self.output), "ok": self.ok, "tensors": self.tensors, "differences": differences}


def verify_weight(
    hf_dir: Path, output: Path, *, family: str, dtype: str = "fp32", progress: ProgressCallback = no_progress
) -> VerifyResult:
    """Compare `output` with what `hf_dir` gives under `dtype`: names, shapes, types, and each value bit for bit.

    Memory is constant; progress is in bytes of the `.ckpt` compared. Differences are in the result; a side that cannot
    be read raises InvalidInputError.
    """
    tensors = plan_output(load_source_model(hf_dir, family).tensors, dtype)
    there = {entry.name: entry for entry in load_ckpt_entries(output)}
    differences: List[Difference] = []
    total, done = sum(tensor.nbytes for tensor in tensors), 0
    for tensor in tensors:
        what = _compare(output, tensor, there.pop(tensor.name, None))
        if what:
            differences.append(Difference(tensor.name, what))
        done += tensor.nbytes
        progress(Progress(done, total, "bytes", tensor.name))
    differences += [Difference(name, "is not a parameter of this model") for name in there]
    return VerifyResult(output, len(tensors), tuple(differences))


def _compare(output: Path, tensor: OutputTensor, entry: Optional[CkptEntry]) -> str:
    """What is wrong with one parameter; nothing is an empty text."""
    if entry is None:
        return "is missing"
    if entry.dims != tensor.dims:
        return f"has the shape {list(entry.dims)} instead of {list(tensor.dims)}"
    if entry.tensor_type != tensor.tensor_type:
        return f"is {entry.tensor_type} instead of {tensor.tensor_type}"
    return _compare_values(output, tensor, entry)


def _compare_values(output: Path, tensor: OutputTensor, entry: CkptEntry) -> str:
    source = tensor.entry
    wrong, first, seen = 0, -1, 0
    width = ITEM_BYTES[tensor.tensor_type]
    stretches = [(segment.offset, segment.nbytes) for segment in entry.segments]
    with (
        ByteRun(source.file, [(source.offset, source.nbytes)], source.name) as left,
        ByteRun(output, stretches, tensor.name) as right,
    ):
        for chunk in left.chunks():
            expected = cast_values(chunk, tensor.source_type, tensor.tensor_type)
            at = 0
            while at < len(expected):  # a cast may have made the chunk longer than one read
                found = right.read(len(expected) - at)
                part = expected[at : at + len(found)]
                count, place = _count_different(part, found, width)
                if count and not wrong:
                    first = seen + place
                wrong += count
                at += len(found)
                seen += len(found) // width
    return f"differs in {wrong:,} of {seen:,} values, first at {first:,}" if wrong else ""


def _count_different(left: memoryview, right: memoryview, width: int) -> Tuple[int, int]:
    """How many values of `width` bytes differ in any bit, and the place of the first."""
    import numpy as np

    differ = np.frombuffer(left, f"<u{width}") != np.frombuffer(right, f"<u{width}")
    return int(np.count_nonzero(differ)), int(np.argmax(differ))
