"""Writes a Hugging Face folder: files that come with the weights, and the folder as a whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from sft_tui.checkpoint.copy.output_file import check_room, lock_partial
from sft_tui.checkpoint.formats.source_file import check_folder, load_json_object, not_read
from sft_tui.checkpoint.formats.weight_files import SAFETENSORS
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME
from sft_tui.errors import InvalidInputError
from sft_tui.files.lfs_pointer import is_lfs_pointer
from sft_tui.files.whole_file import not_written, partial_name, sync_folder

MANIFEST_NAME = "sft-tui-manifest.json"
COMPANIONS = (
    "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_FILE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")


def check_output_folder(output: Path, config_dir: Path, needed: int, *, force: bool) -> None:
    """See that `needed` bytes can be written to a new folder `output`, before any work. Writes nothing.

    With `force` a folder may be there that holds what this program wrote and nothing else; no other is ever replaced.
    Raises InvalidInputError, EnvironmentNotFitError.
    """
    try:
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
    except OSError as error:
        raise not_written(output, error) from error


def _foreign_file(folder: Path) -> str:
    """The name of something in the folder that is not ours to delete, or an empty string."""
    names = sorted(path.name for path in folder.iterdir())
    if MANIFEST_NAME not in names:
        return names[0]
    ours = {MANIFEST_NAME, CONFIG_NAME, SAFETENSORS.index, *COMPANIONS}
    return next((name for name in names if name not in ours and not fnmatch(name, SAFETENSORS.pattern)), "")


@contextmanager
def open_partial_folder(output: Path) -> Iterator[PartialFolder]:
    """A new folder that is gone at the end of the block unless it was published."""
    folder = PartialFolder(output)
    try:
        yield folder
    finally:
        folder.discard()


class PartialFolder:
    """A new folder under a hidden name beside its target. Raises EnvironmentNotFitError."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = partial_name(target)
        try:
            self.path.mkdir(parents=True)
            self._handle = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise not_written(target, error) from error
        lock_partial(self._handle)

    def publish(self) -> None:
        """Take the target's place, for good; what was there before goes once that is done."""
        try:
            sync_folder(self.path)
            old: Optional[Path] = None
            if self._target.exists():
                old = partial_name(self._target).with_suffix(".old")
                self._target.replace(old)
            self.path.replace(self._target)
            sync_folder(self._target.parent)
            if old is not None:
                shutil.rmtree(old)
        except OSError as error:
            raise not_written(self._target, error) from error

    def discard(self) -> None:
        """Remove what was not published."""
        os.close(self._handle)
        shutil.rmtree(self.path, ignore_errors=True)


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


def write_text(path: Path, text: str) -> None:
    """A small file inside a partial folder, brought to the disk. Raises EnvironmentNotFitError."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise not_written(path, error) from error
