"""Which of the states that a training saved as safetensors is the last.

MindFormers names a file PREFIX_rank_N-EPOCH_STEP, and PREFIX_rank_N_RUN-EPOCH_STEP from the second run on that saves
into the same folder. After a resumption it counts STEP from there, and begins again at 1 in the midst of an epoch: what
comes last is told by the counter of optimizer steps, which is saved with the optimizer's state.

Needs the standard library alone: the launcher takes it along to where nothing else of ours is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

SUFFIX = ".safetensors"
CHECKPOINT_SUFFIXES = (".ckpt", SUFFIX)  # of what a training saves, by either route
STEP_COUNTER = "step_num"
_NAME = re.compile(
    r".*rank_(?P<rank>\d+)(?:_(?P<run>\d+))?(?P<network>-network)?-(?P<epoch>\d+)_(?P<step>\d+)\.safetensors"
)
_RANK_FOLDER = re.compile(r"rank_(\d+)")
_MAX_HEADER_BYTES = 100_000_000  # what the library allows
_INTEGERS = ("I64", "I32", "U64", "U32")


@dataclass(frozen=True)
class SavedState:
    """One state of a model. `files` are those of its ranks, in their order; `done`: optimizer steps, None: not told."""

    files: Tuple[Path, ...]
    run: int
    epoch: int
    step: int
    done: Optional[int]

    @property
    def _order(self) -> Tuple[object, ...]:
        if self.done is not None:
            # without the optimizer's state beside it, it was left behind by an earlier training
            return (1, self.run, self.done, self.epoch, self.step)
        # names tell the order of a first run; of a later one, that may go on in the midst of an epoch, time has to
        when = self.files[0].stat().st_mtime_ns if self.run else 0
        return (0, self.run, self.epoch, when, self.step)

    def describe(self) -> str:
        """Which one it is, for people."""
        return f"epoch {self.epoch}, step {self.step}" if self.done is None else f"that of step {self.done}"


def find_states(ranks: Sequence[Sequence[Path]]) -> List[SavedState]:
    """The states that every rank has, the last one last; one sequence of files may be of several ranks.

    Raises OSError.
    """
    if len(ranks) == 1:
        return _states_of(ranks[0])
    each = [_states_of(files) for files in ranks]
    by_name = [{(s.run, s.epoch, s.step): s for s in states} for states in each]
    common = [[names[key] for names in by_name] for key in by_name[0] if all(key in names for names in by_name)]
    last = [states[-1] for states in each if states]
    steps = {state.done for state in last}
    if len(last) == len(ranks) and len(steps) == 1 and None not in steps and last not in common:
        # a kill between the files of two ranks makes them count their runs differently ever after
        common.append(last)
    return [_together(states) for states in common]


def _together(states: Sequence[SavedState]) -> SavedState:
    first = states[0]
    files = tuple(file for state in states for file in state.files)
    return SavedState(files, first.run, first.epoch, first.step, first.done)


def _states_of(files: Sequence[Path]) -> List[SavedState]:
    """The states in one folder, in their order."""
    by_name: Dict[Tuple[int, int, int], List[Path]] = {}
    for file in files:
        match = _NAME.fullmatch(file.name)
        if match:
            by_name.setdefault((int(match["run"] or 0), int(match["epoch"]), int(match["step"])), []).append(file)
    found = [SavedState(tuple(same), *key, read_steps_done(same[0])) for key, same in by_name.items()]
    return sorted(found, key=lambda state: state._order)


def last_of_rank_0(folder: Path) -> Optional[Path]:
    """The file of rank 0's last state in a folder of rank_N folders, or None. Raises OSError."""
    files = sorted(path for path in folder.glob(f"rank_0/*{SUFFIX}") if path.is_file())
    states = find_states([files])
    if states:
        return states[-1].files[0]
    return max(files, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def rank_of_saved(file: Path) -> Optional[int]:
    """The rank that saved a file, by its name or that of its folder."""
    match = _NAME.fullmatch(file.name)
    folder = _RANK_FOLDER.fullmatch(file.parent.name)
    return int(match["rank"]) if match else int(folder.group(1)) if folder else None


def rank_folders(folder: Path) -> List[Path]:
    """The rank_N folders in a folder, by rank. Raises OSError."""
    found = ((_RANK_FOLDER.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return [path for _, path in sorted((int(match.group(1)), path) for match, path in found if match)]


def read_steps_done(file: Path) -> Optional[int]:
    """Optimizer steps that a state has behind it; None where neither it nor the file with its optimizer tells.

    checkpoint_network/rank_N/...-network-1_2 has the weights alone, checkpoint/rank_N/...-1_2 the optimizer as well.
    """
    match = _NAME.fullmatch(file.name)
    if match is None or not match["network"]:
        return read_counter(file)
    whole = file.absolute().parent.parent.parent / "checkpoint" / file.parent.name
    return read_counter(whole / (file.name[: match.start("network")] + file.name[match.end("network") :]))


def read_counter(file: Path) -> Optional[int]:
    """`step_num` in a safetensors file; None where it is not there, or the file cannot be read."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                return None
            entry: Any = json.loads(stream.read(length))[STEP_COUNTER]
            begin, end = entry["data_offsets"]
            if entry["dtype"] not in _INTEGERS or not 0 < end - begin <= 8:
                return None
            stream.seek(8 + length + begin)
            value = stream.read(end - begin)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return int.from_bytes(value, "little", signed=True) if len(value) == end - begin else None
