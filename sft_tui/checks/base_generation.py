"""Checks that a base YAML is for this family's network and for the MindFormers that trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sft_tui.core.facts import Facts
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.families.table import FAMILIES
from sft_tui.launch.yaml.base_yaml import parse_base
from sft_tui.stack.releases import RELEASES

FIELD = "training.base_yaml"


def check_base_generation(profile: Profile, facts: Facts) -> list[Problem]:
    """A YAML of another kind of network, of another family, or with classes that this MindFormers no longer has."""
    if not profile.training.base_yaml or not facts.base_yaml:
        return []
    path, base = profile.training.base_yaml, parse_base(facts.base_yaml)
    version = facts.environment.mindformers_version
    family = FAMILIES[facts.model.family]
    model = _section(base, "model")
    config, network = str(_section(model, "model_config").get("type", "")), str(_section(model, "arch").get("type", ""))
    if base.get("use_legacy") is False and not facts.direct:
        message = f"{path} is for networks that MindFormers loads from a Hugging Face folder (use_legacy: False)."
        hint = f"{family.title} is trained from a .ckpt: take a YAML of its own, or leave Base YAML empty."
        return [Problem(FIELD, message, hint, exit_code=4)]
    if facts.direct and base.get("use_legacy") is not False and (config or network):
        message = f"{path} is for the networks of MindFormers before 1.7 ({network or config})."
        hint = f"MindFormers {version} trains {family.title} by {family.base_yaml}: leave Base YAML empty to take that."
        return [Problem(FIELD, message, hint, exit_code=4)]
    other = _family_of(config)
    if not facts.direct and other and family.network and config != family.network.config_class:
        message = f"{path} is for {other} ({config}), the model is a {family.title}."
        hint = f"Take a YAML with {family.network.config_class}, or leave Base YAML empty."
        return [Problem(FIELD, message, hint)]
    return _gone(facts, path, base)


def _family_of(config_class: str) -> str:
    found = [f.title for f in FAMILIES.values() if f.network is not None and f.network.config_class == config_class]
    return " or ".join(found)


def _gone(facts: Facts, path: str, base: Mapping[str, Any]) -> list[Problem]:
    release = facts.environment.release
    if release is None:
        return []
    named = sorted({name for name in _types(base) if name in release.gone})
    if not named:
        return []
    having = [other.mindformers for other in RELEASES if not set(named) & set(other.gone)]
    message = (
        f"{path} names {' and '.join(named)}, which MindFormers {facts.environment.mindformers_version} no longer has."
    )
    hint = f"MindFormers {having[-1]} has it. Take a YAML of the newer one, or leave Base YAML empty."
    return [Problem(FIELD, message, hint, exit_code=4)]


def _types(value: object) -> Iterator[str]:
    """The classes that sections name by `type`."""
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield value["type"]
        for item in value.values():
            yield from _types(item)
    elif isinstance(value, list):
        for item in value:
            yield from _types(item)


def _section(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
