"""Trainings on the direct route in small: files as MindFormers 1.7 names them, without MindFormers."""

from __future__ import annotations

import json
from pathlib import Path

KEPT = 3


def write_state(path: Path, steps: int | None) -> Path:
    """A safetensors file of one weight, with the counter of optimizer steps unless it is None."""
    tensors = {"w": ("F32", [4], b"\0" * 16)}
    if steps is not None:
        tensors["step_num"] = ("I64", [], int(steps).to_bytes(8, "little", signed=True))
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))
    return path


class SavingTraining:
    """One rank's trainings into one run folder. `epoch`: steps of one; `every`: steps between two checkpoints."""

    def __init__(self, run_dir: Path, *, epoch: int, every: int, rank: int = 0) -> None:
        self.epoch, self.every = epoch, every
        self.whole, self.network = (run_dir / name / f"rank_{rank}" for name in ("checkpoint", "checkpoint_network"))
        self._prefix = f"sft_rank_{rank}"
        self._runs = 0
        self.last = 0  # optimizer steps in what was saved last

    def train(self, begin: int, end: int, *, saves_at_end: bool = True) -> None:
        """Go on after step `begin` up to `end`; killed there without `saves_at_end`."""
        prefix = f"{self._prefix}_{self._runs}" if self._runs else self._prefix
        names = []
        for number in range(1, end - begin + 1):
            if number % self.every == 0 or (number == end - begin and saves_at_end):
                epoch = (begin + number - 1) // self.epoch + 1
                names.append(f"-{epoch}_{(number - 1) % self.epoch + 1}.safetensors")
                if names.count(names[-1]) > 1:
                    names.remove(names[-1])  # written over: the name came again
                self.last = begin + number
                write_state(self.whole / f"{prefix}{names[-1]}", self.last)
                write_state(self.network / f"{prefix}-network{names[-1]}", None)
        for old in names[:-KEPT]:
            (self.whole / f"{prefix}{old}").unlink()
            (self.network / f"{prefix}-network{old}").unlink()
        self._runs += bool(names)
