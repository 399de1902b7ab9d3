"""From which checkpoint an interrupted training can go on.

MindFormers saves `rank_<r>/<prefix>_rank_<r>-<epoch>_<step>.ckpt`, or `.safetensors` on the direct route, with the step
counter and the optimizer's state.
After a resumed run the step in a name counts from the resumption: what a checkpoint holds tells its own `step_num`.

An interrupted step leaves `.sft-tui/<step>.begun.json`: command, inputs, and what stood where it writes. Only
checkpoints that came after that count, and those of the attempt before it as long as the newest has left none. The
arguments of a resumption are `Step.resume`, apart from `argv`: the work is the same, and its record fits later plans.
A checkpoint of the very last step is none to go on from: MindFormers refuses to train no step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from sft_tui.checkpoint.formats.ckpt_read import CkptEntry, load_ckpt_entries
from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.core.plan import Plan, Step
from sft_tui.errors import SftError
from sft_tui.files.saved_states import STEP_COUNTER, SUFFIX, read_counter
from sft_tui.files.stamps import Signature
from sft_tui.jobs import completion


@dataclass(frozen=True)
class ResumePoint:
    """A whole checkpoint of all ranks. `done`: optimizer steps in it; `saved_at`: seconds since the epoch."""

    step_id: str
    done: int
    checkpoint: str  # rank 0's
    saved_at: float
    arguments: tuple[str, ...]  # flags of MindFormers' run_mindformer.py


def find_resume_point(plan: Plan) -> Optional[ResumePoint]:
    """Where the plan's training can go on: it was interrupted, and would do the very same work again."""
    current = completion.current_steps(plan)
    for step in plan.steps:
        if not step.checkpoint_dir or step.not_needed or step.id in current:
            continue
        changing = completion.changing_paths(plan, current)
        if changing.isdisjoint(step.inputs):
            return newest_of_interrupted(step)
    return None


def newest_of_interrupted(step: Step) -> Optional[ResumePoint]:
    """The newest whole checkpoint that the interrupted step left; None: it was not interrupted, or left none."""
    records = completion.records_dir(step)
    for begun in completion.find_begun(records, step):
        point = _newest(step, begun.outputs.get(step.checkpoint_dir, {}))
        if point is not None:
            return point
    return None


def _newest(step: Step, before: Signature) -> Optional[ResumePoint]:
    folder = Path(step.checkpoint_dir)
    found = [
        point
        for name in completion.new_checkpoints(folder, before)
        if name.startswith("rank_0/") and (point := _read_point(step, folder, Path(name).name)) is not None
    ]
    return max(found, key=lambda point: (point.done, point.saved_at), default=None)


def _read_point(step: Step, folder: Path, name: str) -> Optional[ResumePoint]:
    """The checkpoint of that name, if all ranks have it whole and at the same step, and steps are left to do."""
    steps = set()
    for rank in range(step.workers):
        path = folder / f"rank_{rank}" / name.replace("_rank_0", f"_rank_{rank}", 1)
        try:
            steps.add(_read_counter(path))
        except (SftError, OSError):
            return None
    if len(steps) != 1 or None in steps:
        return None
    done = steps.pop() or 0
    if 0 < step.total_steps <= done:
        return None  # killed at the very end, with weights yet to save: MindFormers refuses to train no step at all
    first = folder / "rank_0" / name
    if step.workers == 1 and first.suffix == SUFFIX:  # the runner gives MindFormers a folder that has it alone
        arguments: tuple[str, ...] = ("--load_checkpoint", str(first), "--resume_training", "True")
    else:
        # MindFormers takes each rank's file in the folder by the name of rank 0's; 1.9 refuses to go on from a file
        arguments = ("--load_checkpoint", str(folder), "--resume_training", name, "--auto_trans_ckpt", "False")
    return ResumePoint(step.id, done, str(first), first.stat().st_mtime, arguments)


def _read_counter(path: Path) -> Optional[int]:
    """Optimizer steps in a checkpoint; None where it does not tell. Raises SftError for one that is not whole."""
    if path.suffix == SUFFIX:
        load_header(path)
        return read_counter(path)
    entry = next((e for e in load_ckpt_entries(path) if e.name == STEP_COUNTER), None)
    return _read_integer(path, entry) if entry is not None else None


def _read_integer(path: Path, entry: CkptEntry) -> Optional[int]:
    if not entry.tensor_type.startswith("Int") or entry.nbytes > 8 or not entry.segments:
        return None
    with path.open("rb") as file:
        file.seek(entry.segments[0].offset)
        return int.from_bytes(file.read(entry.nbytes), "little", signed=True)
