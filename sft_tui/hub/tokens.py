"""Finds the token of a hub where its own tools keep it. It goes to the host that it belongs to, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.small_file import read_small_text
from sft_tui.hub.network import Token, origin_of
from sft_tui.paths import variable

_TRUE = ("1", "true", "yes", "on")


def find_token(
    address: str, names: Tuple[str, ...], *, files: Tuple[Path, ...] = (), cookie: str = ""
) -> Optional[Token]:
    """From the first of the environment variables that is set, else from the first file that is there."""
    for name in names:
        if variable(name):
            return _token(variable(name), address, name, cookie)
    for path in files:
        try:
            text = read_small_text(path)
        except (OSError, SftError):
            continue
        if text.strip():
            return _token(text.strip(), address, str(path), cookie)
    return None


def token_of_variable(address: str, name: str) -> Token:
    """What --token-env names. Raises InvalidInputError where it is not set."""
    if not variable(name):
        raise InvalidInputError(
            f"--token-env: the environment variable {name} is not set.", f"Set it: export {name}=..."
        )
    return _token(variable(name), address, name, "")


def hugging_face_files() -> Tuple[Path, ...]:
    """Where `hf auth login` writes."""
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").lower() in _TRUE:
        return ()
    home = Path(variable("HF_HOME") or str(_cache() / "huggingface")).expanduser()
    return (Path(variable("HF_TOKEN_PATH") or str(home / "token")).expanduser(),)


def openmind_files() -> Tuple[Path, ...]:
    """Where openMind's login writes."""
    return (_cache() / "openmind" / "token",)


def _cache() -> Path:
    return Path(variable("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _token(secret: str, address: str, found_in: str, cookie: str) -> Token:
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in secret):
        raise InvalidInputError(f"The token in {found_in} has blanks or signs that no token has.", "Copy it again.")
    return Token(secret, origin_of(address), found_in, cookie)
