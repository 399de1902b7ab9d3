"""Writes what stands beside the weights in a Hugging Face folder, and sees beforehand that it can be written."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import List, Optional, Tuple

from sft_tui.checkpoint.copy.output_file import check_room
from sft_tui.checkpoint.formats.source_file import check_folder, load_json_object, not_read
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME
from sft_tui.errors import InvalidInputError
from sft_tui.files.stand_in import is_lfs_pointer
from sft_tui.files.whole_file import naming, open_whole_file

MANIFEST_NAME = "sft-tui-manifest.json"
_GENERATION, _TOKENIZER_CONFIG = "generation_config.json", "tokenizer_config.json"
COMPANIONS = (
    "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_FILE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class EndToken:
    """The token that ends an answer. `of_tokenizer`: it becomes the tokenizer's eos token too."""

    token: str
    id: int
    of_tokenizer: bool = False


def check_output_folder(output: Path, config_dir: Path, needed: int, *, force: bool) -> None:
    """See that `needed` bytes can be written to a new folder `output`, before any work. Writes nothing.

    With `force` a folder may be there that holds what this program wrote and nothing else; no other is ever replaced.
    Raises InvalidInputError, EnvironmentNotFitError.
    """
    with naming(output):
        if output.suffix in _FILE_SUFFIXES:
            raise InvalidInputError(f"{output} looks like a file.", "Give the name of a folder to write.")
        if output.exists() and not output.is_dir():
            raise InvalidInputError(f"{output} is a file, not a folder.", "Give the name of a folder to write.")
        if output.resolve() == config_dir.resolve():
            raise InvalidInputError(f"{output} is where config.json comes from.", "Give the name of a new folder.")
        if output.exists() and any(output.iterdir()):
            foreign = _foreign_file(output)
            if foreign:
                message = f"{output} exists and has other files in it: {foreign}."
                raise InvalidInputError(message, "Give the name of a new folder.")
            if not force:
                raise InvalidInputError(f"{output} exists already.", "Give --force to replace it, or another name.")
        check_room(output, needed)


def _foreign_file(folder: Path) -> str:
    """The name of something in the folder that is not ours to delete, or an empty string."""
    names = sorted(path.name for path in folder.iterdir())
    if MANIFEST_NAME not in names:
        return names[0]
    ours = {MANIFEST_NAME, CONFIG_NAME, SAFETENSORS.index, *COMPANIONS}
    return next((name for name in names if name not in ours and not fnmatch(name, SAFETENSORS.pattern)), "")


def copy_companions(config_dir: Path, folder: Path) -> Tuple[List[str], List[str]]:
    """Copy tokenizer and generation files; the names of those copied, and warnings. Raises InvalidInputError."""
    check_folder(config_dir)
    copied, warnings = [], []
    for name in COMPANIONS:
        source = config_dir / name
        try:
            if not source.is_file():
                continue
            if is_lfs_pointer(source):
                warnings.append(f"{source} is a Git LFS pointer and was not copied.")
                continue
            shutil.copyfile(source, folder / name)
            copied.append(name)
        except OSError as error:
            raise not_read(source, error) from error
    return copied, warnings


def write_config(config_dir: Path, folder: Path, *, torch_dtype: Optional[str], untied: bool) -> None:
    """Copy config.json, with the number type that the weights really have, and without the tie if there is none."""
    data = load_json_object(config_dir / CONFIG_NAME)
    key = "dtype" if "dtype" in data and "torch_dtype" not in data else "torch_dtype"  # transformers 5 / 4
    if torch_dtype:
        data[key] = torch_dtype
    if untied:
        data["tie_word_embeddings"] = False
    write_text(folder / CONFIG_NAME, json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def write_end(folder: Path, end: EndToken, copied: List[str]) -> List[str]:
    """Let generation stop at a token as well, in the files that were `copied`; the names of new ones."""
    path = folder / _GENERATION
    there = path.is_file()
    # as transformers would derive it
    data = load_json_object(path if there else folder / CONFIG_NAME)
    found = data.get("eos_token_id")
    ids = [number for number in (found if isinstance(found, list) else [found]) if type(number) is int]
    kept = data if there else {key: data[key] for key in ("bos_token_id", "pad_token_id") if data.get(key) is not None}
    kept["eos_token_id"] = [end.id, *(number for number in ids if number != end.id)]
    write_text(path, json.dumps(kept, ensure_ascii=False, indent=2) + "\n")
    if end.of_tokenizer and _TOKENIZER_CONFIG in copied:
        settings = load_json_object(folder / _TOKENIZER_CONFIG)
        settings["eos_token"] = end.token
        write_text(folder / _TOKENIZER_CONFIG, json.dumps(settings, ensure_ascii=False, indent=2) + "\n")
    return [] if there else [_GENERATION]


def write_text(path: Path, text: str) -> None:
    """Write a small file whole. Raises EnvironmentNotFitError."""
    with open_whole_file(path) as stream:
        stream.write(text)
