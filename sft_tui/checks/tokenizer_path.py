"""Finds the tokenizer of a profile: the file that it names, or the one of its model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.core.profile_defaults import CHAT_TEMPLATE
from sft_tui.dataset.tokenizer.load import find_tokenizer as find_tokenizer_file
from sft_tui.errors import SftError
from sft_tui.families.family import Route
from sft_tui.families.table import FAMILIES


def find_tokenizer(profile: Profile, route: Route = "checkpoint") -> Optional[Path]:
    """The tokenizer that the profile names, else the one in its model folder; None: neither is chosen yet.

    On the direct route MindFormers takes the folder's, and so do we. A chat template lies in a folder as well.
    """
    folder = Path(profile.model.hf_dir) if profile.model.hf_dir else None
    named = Path(profile.model.tokenizer_model) if profile.model.tokenizer_model else None
    if route == "direct":
        return folder
    if profile.dataset.template == CHAT_TEMPLATE:
        return folder if named is None else named if named.is_dir() else named.parent
    if named is not None or folder is None:
        return named
    known = FAMILIES.get(profile.model.family)
    usual = folder / (known.tokenizer if known else "tokenizer.model")
    other = folder / "tokenizer.json"  # of a Llama 3
    return other if other.is_file() and not usual.exists() else usual


def text_tokenizer(path: Path, *, shifted: bool) -> Path:
    """The file that `preprocess` takes for plain text: with shifted labels a folder's tokenizer.json."""
    better = path / "tokenizer.json"
    if shifted and better.is_file():
        return better
    return Path(tokenizer_file(path) or path)


def tokenizer_file(path: Optional[Path]) -> str:
    """The file in a folder that has a tokenizer; empty where the path is a file itself, or has none."""
    if path is None or not path.is_dir():
        return ""
    try:
        return str(find_tokenizer_file(path))
    except SftError:
        return ""


def is_tokenizer_json(path: Optional[Path]) -> bool:
    """It is, or its folder has, a tokenizer.json that is read in place of a tokenizer.model."""
    return path is not None and (tokenizer_file(path) or path.name).endswith(".json")


def check_tokenizer_files(profile: Profile) -> list[Problem]:
    """The files that MindFormers' tokenizer of this family reads lie in the model folder."""
    family = FAMILIES.get(profile.model.family)
    network, folder = family.network if family else None, Path(profile.model.hf_dir)
    names = network.tokenizer_files.values() if network else ()
    missing = [name for name in names if not (folder / name).is_file()]
    if not network or not missing:
        return []
    message = f"{folder} lacks {' and '.join(missing)}, which MindFormers' {network.tokenizer_class} reads."
    hint = "Fetch them from the model's own page: tokenizer.json alone is not enough there."
    return [Problem("model.hf_dir", message, hint)]


def is_of_other_tokenizer(problem: Problem, tokenizer: Optional[Path], route: Route) -> bool:
    """Of the folder's tokenizer, where another one was chosen or is looked at by itself."""
    if tokenizer is None or problem.field != "model.tokenizer_model":
        return False
    return route != "direct" or problem.severity != "error"
