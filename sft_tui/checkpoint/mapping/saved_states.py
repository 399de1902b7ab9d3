"""Loads the newest state that training saved as safetensors: which files make it up, and what is in them.

MindFormers writes each state into a folder rank_N of each rank (see sft_tui/files/saved_states.py); its conversion of a
Hugging Face folder, and its tool that merges ranks, write plain shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence, Tuple

from sft_tui.checkpoint.formats.source_file import check_folder, check_regular_file, not_read
from sft_tui.checkpoint.mapping.stored_tensor import StoredTensor, load_safetensors
from sft_tui.errors import InvalidInputError
from sft_tui.files.saved_states import SUFFIX, find_states, rank_folders, rank_of_saved

MERGE_HINT = (
    "Merge the parts of all ranks first: toolkit/safetensors/unified_safetensors.py --mindspore_ckpt_dir CHECKPOINTS "
    "--src_strategy_dirs STRATEGY --output_dir MERGED --file_suffix EPOCH_STEP (in MindFormers' source)."
)


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
        files = [sorted(folder.glob(f"*{SUFFIX}")) for folder in rank_folders(path) or [path]]
        if not any(files):
            raise InvalidInputError(
                f"{path} holds no safetensors file.", "Name what training saved: output/checkpoint."
            )
        chosen, note = _newest(path, files)
    except OSError as error:
        raise not_read(path, error) from error
    return SavedModel(chosen, _load(chosen), note)


def _newest(path: Path, ranks: Sequence[Sequence[Path]]) -> Tuple[Tuple[Path, ...], str]:
    """The files of the last state that every rank has, and a note; all files where they are no states."""
    states = find_states(ranks)
    if states:
        note = f"{path} has {len(states)} states; the last was taken: {states[-1].describe()}."
        return states[-1].files, note if len(states) > 1 else ""
    if any(find_states([files]) for files in ranks):
        raise InvalidInputError(
            f"{path}: the ranks have no step in common.", "Name the file of one rank, or wait until all have saved."
        )
    return tuple(file for files in ranks for file in files), ""


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
            if known is not tensor and rank_of_saved(file) in (None, rank_of_saved(known.run.file)):
                raise InvalidInputError(
                    f"{tensor.name!r} is both in {known.run.file} and in {file.name}.", "Name one of the files."
                )
    return tensors
