"""Which way MindFormers trains a model, by family and version, as data; and why not, where it does not.

A test compares every row with the files of each version's source tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional

from sft_tui.core.problem import Problem
from sft_tui.families.family import Labels, Route
from sft_tui.families.table import FAMILIES
from sft_tui.stack.releases import VERSIONS, find_release

Need = Literal["ckpt", "folder", "no training"]


@dataclass(frozen=True)
class RouteChoice:
    """What a version of MindFormers does with a model: its route, or None and why.

    `versions` are those that train it.
    """

    route: Optional[Route]
    reason: str = ""
    versions: tuple[str, ...] = ()
    labels: Labels = "as tokens"


def choose_route(model_type: str, version: str) -> RouteChoice:
    """The route for a model under a version of MindFormers ("1.7.0"); a reason where there is none."""
    family = FAMILIES.get(model_type)
    if family is None:
        return RouteChoice(None, f"no MindFormers that is known here trains the model type {model_type[:40]!r}")
    trained = tuple(known for known in VERSIONS if family.route(known))
    release = find_release(version)
    route = family.route(release.mindformers) if release else None
    if route is not None:
        return RouteChoice(route, "", trained, family.labels)
    refused = family.refused if release else ()
    why = next((text for releases, text in refused if release and release.mindformers in releases), "")
    return RouteChoice(None, why or "that version is not known here", trained, family.labels)


def find_route(family: str, mindformers_version: str) -> Route:
    """Checkpoint route or direct route; where there is none, the one that other versions take."""
    known = FAMILIES.get(family)
    return choose_route(family, mindformers_version).route or (
        "direct" if known and known.direct and known.trained else "checkpoint"
    )


def check_route(model_type: str, version: str) -> Optional[Problem]:
    """What to say when a version of MindFormers does not train a model that others do; nothing without a version."""
    if find_release(version) is None or model_type not in FAMILIES:
        return None
    choice = choose_route(model_type, version)
    if choice.route is not None:
        return None
    title = FAMILIES[model_type].title
    message = f"MindFormers {version} does not train {title}: {choice.reason}."
    hint = (
        f"MindFormers {', '.join(choice.versions)} does." if choice.versions else "No version that is known here does."
    )
    return Problem("environment.mindformers_home", message, hint, exit_code=4)


def weight_needs(model_type: str, version: str = "") -> dict[str, Need]:
    """What MindFormers wants to train such a model from: for that version, or for each one known.

    Empty when the model is not known to any version.
    """
    if model_type not in FAMILIES:
        return {}
    needs: dict[Optional[Route], Need] = {"direct": "folder", "checkpoint": "ckpt", None: "no training"}
    return {known: needs[choose_route(model_type, known).route] for known in ((version,) if version else VERSIONS)}


def describe_weight_needs(model_type: str, needs: dict[str, Need]) -> list[str]:
    """A line for each thing that some version wants."""
    texts: dict[Need, str] = {
        "ckpt": "wants a .ckpt: sft-tui convert-weight",
        "folder": "loads this folder as it is: nothing is to be converted",
    }
    lines = []
    for need, text in texts.items():
        versions = [version for version, found in needs.items() if found == need]
        if versions:
            lines.append(f"MindFormers {', '.join(versions)} {text}")
    without: dict[str, list[str]] = {}
    for version in (version for version, found in needs.items() if found == "no training"):
        without.setdefault(choose_route(model_type, version).reason, []).append(version)
    return lines + [f"MindFormers {', '.join(told)} does not train it: {reason}" for reason, told in without.items()]


def trained_families(version: str) -> dict[Route, list[str]]:
    """The titles of the families that a version trains, by route."""
    found: dict[Route, list[str]] = {"checkpoint": [], "direct": []}
    for model_type, family in FAMILIES.items():
        choice = choose_route(model_type, version)
        if choice.route is not None:
            found[choice.route].append(family.title)
    return found
