"""Finds the tokenizer that a command line means."""

from __future__ import annotations

import argparse
from pathlib import Path


def find_encoder_file(arguments: argparse.Namespace) -> Path:
    """The tokenizer that is meant: chat template and shifted labels go with tokenizer.json. Raises SftError."""
    from sft_tui.dataset.template.chat import CHAT
    from sft_tui.dataset.tokenizer.load import find_tokenizer

    folder = Path(arguments.model_file)
    as_folder = arguments.template == CHAT or getattr(arguments, "labels", "") == "shifted"
    if as_folder and (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json"
    return find_tokenizer(folder)
