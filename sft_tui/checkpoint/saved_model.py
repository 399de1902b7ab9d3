"""What training saved as safetensors: which files make up one state of the model, and what is in them.

MindFormers writes PREFIX_rank_N-EPOCH_STEP.safetensors (of the weights alone: rank_N-network-EPOCH_STEP), into a folder
rank_N of each rank where there are several; its conversion of a Hugging Face folder, and its tool that merges ranks,
write plain shards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from sft_tui.checkpoint.source_file import check_folder, check_regular_file, not_read
from sft_tui.checkpoint.stored_tensor import StoredTensor, load_safetensors
from sft_tui.errors import InvalidInputError

SUFFIX = ".safetensors"
MERGE_HINT = (
    "Merge the parts of all ranks first: toolkit/safetensors/unified_safetensors.py --mindspore_ckpt_dir CHECKPOINTS "
    "--src_strategy_dirs STRATEGY --output_dir MERGED --file_suffix EPOCH_STEP (in MindFormers' source)."
)
_STATE = re.compile(
    r"(?P<prefix>.*)rank_(?P<rank>\d+)(?P<run>_\d+)?(?:-network)?-(?P<epoch>\d+)_(?P<step>\d+)\.safetensors"
)
_RANK_FOLDER = re.compile(r"rank_(\d+)")


@dataclass(frozen=True)
class SavedModel:
    """One state of a model: its files, those of rank 0 first, and its parameters by name.

    `note` says which state was chosen of several, "" when there was one.
    """

    files: Tuple[Path, ...]
    tensors: Dict[str, StoredTensor]
    note: str = ""


def load_saved_model(path: Path) -> SavedModel:
    """The newest state at `path`: a file, a folder of files, or a folder of rank_N folders. Reads headers only.

    A parameter is taken from the first rank that has it: all ranks of a data-parallel run hold the same.
    Raises InvalidInputError naming the file; also when ranks differ in the shape of a parameter.
    """
    if path.is_file():
        check_regular_file(path)
        return SavedModel((path,), _load((path,)))
    check_folder(path)
    try:
        ranks = sorted(
            (int(match.group(1)), folder)
            for folder in path.iterdir()
            if folder.is_dir() and (match := _RANK_FOLDER.fullmatch(folder.name))
        )
        files = [sorted(folder.glob(f"*{SUFFIX}")) for _, folder in ranks] or [sorted(path.glob(f"*{SUFFIX}"))]
    except OSError as error:
        raise not_read(path, error) from error
    if not any(files):
        raise InvalidInputError(f"{path} holds no safetensors file.", "Name what training saved: output/checkpoint.")
    chosen, note = _newest(path, files)
    return SavedModel(chosen, _load(chosen), note)


def _newest(path: Path, ranks: Sequence[Sequence[Path]]) -> Tuple[Tuple[Path, ...], str]:
    """The files of the last state that every rank has, and a note; all files where they are no states."""
    states = [{key: file for file in files if (key := _state(file)) is not None} for files in ranks]
    if not any(states):
        return tuple(file for files in ranks for file in files), ""
    # ranks in one folder: each has a file for the same state
    if len(ranks) == 1:
        by_state: Dict[Tuple[int, int], List[Path]] = {}
        for file in ranks[0]:
            key = _state(file)
            if key is not None:
                by_state.setdefault(key, []).append(file)
        last = max(by_state)
        return tuple(by_state[last]), _say(path, last, len(by_state))
    common = set.intersection(*(set(state) for state in states))
    if not common:
        raise InvalidInputError(
            f"{path}: the ranks have no step in common.", "Name the file of one rank, or wait until all have saved."
        )
    last = max(common)
    return tuple(state[last] for state in states), _say(path, last, len(common))


def _state(file: Path) -> Optional[Tuple[int, int]]:
    match = _STATE.fullmatch(file.name)
    return (int(match["epoch"]), int(match["step"])) if match else None


def _say(path: Path, state: Tuple[int, int], count: int) -> str:
    return f"{path} has {count} states; the last was taken: epoch {state[0]}, step {state[1]}." if count > 1 else ""


def _load(files: Tuple[Path, ...]) -> Dict[str, StoredTensor]:
    tensors: Dict[str, StoredTensor] = {}
    for file in files:
        for tensor in load_safetensors(file):
            known = tensors.setdefault(tensor.name, tensor)
            if (known.dims, known.tensor_type) != (tensor.dims, tensor.tensor_type):
                raise InvalidInputError(
                    f"{tensor.name!r} is {list(known.dims)} in {known.run.file} and {list(tensor.dims)} in {file}.",
                    "These are files of different models, or parts of a sliced one. " + MERGE_HINT,
                )
            if known is not tensor and (_rank(file) is None or _rank(file) == _rank(known.run.file)):
                raise InvalidInputError(
                    f"{tensor.name!r} is both in {known.run.file} and in {file.name}.", "Name one of the files."
                )
    return tensors


def _rank(file: Path) -> Optional[int]:
    match = _STATE.fullmatch(file.name)
    folder = _RANK_FOLDER.fullmatch(file.parent.name)
    return int(match["rank"]) if match else int(folder.group(1)) if folder else None
