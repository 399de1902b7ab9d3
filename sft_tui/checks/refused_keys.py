"""Checks whether the installed MindFormers takes the unusual keys of a config.json."""

from __future__ import annotations

import json

from sft_tui.checkpoint.mapping.config_words import ConfigWords
from sft_tui.checks.kept import Kept
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.problem import Problem
from sft_tui.stack.config_probe import find_refused_keys

_refused: Kept[tuple[list[str], str]] = Kept()


def check_keys(environment: EnvironmentFacts, family: str, words: ConfigWords) -> list[Problem]:
    """Keys of config.json that the installed MindFormers refuses: it is asked where there are unusual ones."""
    python, home, version = environment.python, environment.mindformers_home, environment.mindformers_version
    names = ", ".join(f"`{name}`" for name in words.unknown)
    # an error is kept as well: where the import fails, or hangs, every edit would wait for it again
    packages = tuple(sorted(environment.packages.items()))  # installing what was missing changes them
    key = python, home, version, packages, family, json.dumps(words.data, sort_keys=True)
    refused, error = _refused.get(key, lambda: find_refused_keys(python, home, family, words.data))
    if error:
        message = f"config.json has {names}, and MindFormers could not be asked whether it takes that: {error}."
        return [Problem("model.hf_dir", message, "The training may refuse it.", "warning")]
    if not refused:
        return []
    message = f"config.json has {', '.join(f'`{name}`' for name in refused)}, which MindFormers {version} refuses."
    hint = "If it does not change the model, remove it from config.json; else use a model without it."
    return [Problem("model.hf_dir", message, hint)]
