"""Which screen shows which wizard step: the module of its name; a screen is imported when it is first shown."""

from __future__ import annotations

import importlib

from sft_tui.tui.screens.wizard.base import WizardScreen


def screen_class(step: str) -> type[WizardScreen]:
    """`training` is shown by TrainingScreen in training.py. Raises ImportError for no step of the wizard."""
    module = importlib.import_module(f"sft_tui.tui.screens.wizard.{step}")
    found = getattr(module, f"{step.capitalize()}Screen")
    assert isinstance(found, type) and issubclass(found, WizardScreen)
    return found
