"""Recognises a vocabulary of tiktoken, which Llama 3 has under the name tokenizer.model."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sft_tui.errors import InvalidInputError
from sft_tui.files.regular_file import open_regular

# each line: the bytes of a piece in base64, and its rank
_LINE = re.compile(rb"[A-Za-z0-9+/]{2,}={0,2} \d+\r?\n")


def begins_as_tiktoken(head: bytes) -> bool:
    """Whether these are the first bytes of such a file."""
    return _LINE.match(head) is not None


def is_tiktoken(file: Path) -> bool:
    """Whether a file is one; False for what cannot be read."""
    try:
        handle = open_regular(file)
    except (OSError, InvalidInputError):
        return False
    try:
        return begins_as_tiktoken(os.read(handle, 200))
    finally:
        os.close(handle)
