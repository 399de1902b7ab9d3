"""Which screen shows which wizard step; a screen is imported when it is first shown."""

from __future__ import annotations

import importlib

from sft_tui.tui.screens.wizard.base import WizardScreen

_CLASSES = {
    "environment": "EnvironmentScreen",
    "model": "ModelScreen",
    "weights": "WeightsScreen",
    "dataset": "DatasetScreen",
    "training": "TrainingScreen",
    "nodes": "NodesScreen",
    "review": "ReviewScreen",
    "monitor": "MonitorScreen",
    "results": "ResultsScreen",
}


def screen_class(step: str) -> type[WizardScreen]:
    """The screen of a wizard step. Raises KeyError."""
    module = importlib.import_module(f"sft_tui.tui.screens.wizard.{step}")
    found = getattr(module, _CLASSES[step])
    assert isinstance(found, type) and issubclass(found, WizardScreen)
    return found
