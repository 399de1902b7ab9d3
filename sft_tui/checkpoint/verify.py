"""Proves a converted `.ckpt`: reads both sides again and compares every value."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from sft_tui.checkpoint.copy.copy_tensors import Cast, compare_values
from sft_tui.checkpoint.copy.precision import ITEM_BYTES
from sft_tui.checkpoint.copy.tensor_values import Values
from sft_tui.checkpoint.formats.ckpt_read import CkptEntry, entry_run, load_ckpt_entries
from sft_tui.checkpoint.mapping.hf_model import OutputTensor, load_source_model, plan_output
from sft_tui.core.progress import Progress, ProgressCallback, no_progress


@dataclass(frozen=True)
class Difference:
    """A parameter that is not as it should be, and in what."""

    name: str
    what: str


@dataclass(frozen=True)
class VerifyResult:
    """The verdict. `tensors` counts those that the model needs; all of them were compared."""

    output: Path
    tensors: int
    differences: Tuple[Difference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the output holds exactly what it should."""
        return not self.differences

    def to_json(self) -> Dict[str, object]:
        """The verdict as a JSON object."""
        differences = [asdict(difference) for difference in self.differences]
        return {
            "output": str(self.output),
            "ok": self.ok,
            "tensors": self.tensors,
            "differences": differences,
            "seconds": self.seconds,
        }


def verify_weight(
    hf_dir: Path, output: Path, *, family: str, dtype: str = "fp32", progress: ProgressCallback = no_progress
) -> VerifyResult:
    """Compare `output` with what `hf_dir` gives under `dtype`: names, shapes, types, and each value bit for bit.

    Memory is constant; progress is in bytes of the `.ckpt` compared. Differences are in the result; a side that cannot
    be read raises InvalidInputError.
    """
    started = time.monotonic()
    tensors = plan_output(load_source_model(hf_dir, family).tensors, dtype)
    there = {entry.name: entry for entry in load_ckpt_entries(output)}
    differences: List[Difference] = []
    to_compare: List[Tuple[str, Cast, Values]] = []
    for tensor in tensors:
        entry = there.pop(tensor.name, None)
        what = _compare_form(tensor, entry)
        if what or entry is None:
            differences.append(Difference(tensor.name, what))
        else:
            values = Values(ITEM_BYTES[tensor.tensor_type], tensor.nbytes, (entry_run(output, entry),))
            to_compare.append((tensor.name, tensor.cast, values))
    differences += compare_all(to_compare, progress)
    differences += [Difference(name, "is not a parameter of this model") for name in there]
    return VerifyResult(output, len(tensors), tuple(differences), time.monotonic() - started)


def compare_all(pairs: List[Tuple[str, Cast, Values]], progress: ProgressCallback) -> List[Difference]:
    """Compare values under their names; what differs. Raises InvalidInputError for a side that cannot be read."""
    differences = []
    done, total = 0, sum(cast.nbytes for _, cast, _ in pairs)
    found = compare_values([cast for _, cast, _ in pairs], [values for _, _, values in pairs])
    for (name, cast, values), (wrong, first) in zip(pairs, found):
        if wrong:
            count = cast.nbytes // values.width
            differences.append(Difference(name, f"differs in {wrong:,} of {count:,} values, first at {first:,}"))
        done += cast.nbytes
        progress(Progress(done, total, "bytes", name))
    return differences


def _compare_form(tensor: OutputTensor, entry: Optional[CkptEntry]) -> str:
    """What is wrong with the form of one parameter; nothing is an empty text."""
    if entry is None:
        return "is missing"
    if entry.dims != tensor.dims:
        return f"has the shape {list(entry.dims)} instead of {list(tensor.dims)}"
    if entry.tensor_type != tensor.tensor_type:
        return f"is {entry.tensor_type} instead of {tensor.tensor_type}"
    return ""
