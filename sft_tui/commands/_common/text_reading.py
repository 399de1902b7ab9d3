"""Says how plain text is to be read, by the flags of a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sft_tui.errors import InvalidInputError

if TYPE_CHECKING:
    from sft_tui.dataset.text.passages import TextReading


def text_reading(arguments: argparse.Namespace) -> TextReading:
    """As the flags say; raises InvalidInputError where they go with plain text alone, and this is none."""
    from sft_tui.dataset.text.passages import TextReading
    from sft_tui.families.table import FAMILIES, find_family_name

    if arguments.dataset_type != "wiki":
        if arguments.model or arguments.keep_all or arguments.clean != "wikitext":
            raise InvalidInputError(
                "--model, --clean and --keep_all say how plain text is read.", "Use them with --dataset_type wiki."
            )
        return TextReading()
    family = FAMILIES.get(arguments.model) or FAMILIES[find_family_name(arguments.model or "llama")]
    return TextReading(family.text_layout, arguments.clean, arguments.keep_all)
