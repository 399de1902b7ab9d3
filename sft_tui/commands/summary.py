"""summary: what a training run brought; also writes summary.json into its folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sft_tui.commands._common.report import print_json, say, warn
from sft_tui.errors import SftError


def summarise(arguments: argparse.Namespace) -> int:
    """`sft-tui summary`: also writes summary.json into the run's folder."""
    from sft_tui.files.whole_file import write_private
    from sft_tui.results.summary import build_summary

    run_dir = Path(arguments.run_dir)
    summary = build_summary(run_dir)
    write_private(run_dir / "summary.json", json.dumps(summary.to_json(), indent=1))
    if arguments.json:
        print_json(summary.to_json())
    else:
        for line in summary.lines():
            say(line)
    if not arguments.require_gain or summary.gained:
        return 0
    before, after = summary.perplexity_before, summary.perplexity_after
    message = f"Perplexity on held-out data did not fall: {before} before, {after} after."
    if arguments.json:  # the one object is printed
        warn(f"sft-tui: error: {message}")
        return 1
    raise SftError(message, "Train longer or with a higher learning rate, and look at the loss.")
