"""profile list, show, new, validate."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sft_tui.commands._common.report import print_json, print_problems, say
from sft_tui.core.problem import Problem
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.errors import InvalidInputError
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import (
    list_profiles,
    load_profile_data,
    new_profile_data,
    parse_typed,
    profile_path,
    save_profile_data,
)

if TYPE_CHECKING:  # `profile list` waits for none of it
    from sft_tui.core.profile import Profile


def list_all(arguments: argparse.Namespace) -> int:
    """`sft-tui profile list`."""
    names = list_profiles(profiles_dir())
    if arguments.json:
        print_json({"profiles": names})
    elif names:
        for name in names:
            say(name)
    else:
        say("No profiles yet. sft-tui opens the wizard; sft-tui profile new NAME makes one here.")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """`sft-tui profile show`."""
    data = load_profile_data(profiles_dir(), arguments.name)
    if arguments.json:
        print_json(data)
    else:
        import tomlkit

        say(tomlkit.dumps(data).rstrip())
    return 0


def new(arguments: argparse.Namespace) -> int:
    """`sft-tui profile new`: a profile with the defaults and what --set says; it may still lack fields.

    Nothing is saved when a value is invalid.
    """
    from sft_tui.core.profile_problems import validate_profile

    path = profile_path(profiles_dir(), arguments.name)
    if path.exists():
        raise InvalidInputError(
            f"There is a profile {arguments.name!r} already.", f"sft-tui profile show {arguments.name}"
        )
    data = new_profile_data(arguments.name)
    for section, values in parse_field_values(arguments.set).items():
        data[section].update(values)
    profile, problems = validate_profile(data)
    print_problems(tuple(problems))
    if profile is None:
        return 2
    save_profile_data(profiles_dir(), arguments.name, data)
    say(f"{path}")
    return 0


def parse_field_values(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """`section.field=value` pairs as profile data. Raises InvalidInputError."""
    from sft_tui.core.profile import section_model

    data: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        section, dot, field = name.strip().partition(".")
        if equals and not dot:
            raise InvalidInputError(f"{name!r} has no section.", f"The sections are {', '.join(SECTIONS)}.")
        if not equals:
            raise InvalidInputError(f"{pair!r} is not FIELD=VALUE.", "Write for example model.hf_dir=/models/llama.")
        if section not in SECTIONS or field not in section_model(section).model_fields:
            known = [f"{s}.{f}" for s in SECTIONS for f in section_model(s).model_fields]
            raise InvalidInputError(f"There is no field {name!r}.", f"The fields are {', '.join(known)}.")
        data.setdefault(section, {})[field] = parse_typed(section, field, text)
    return data


def load_valid(name: str) -> tuple[Profile | None, tuple[Problem, ...]]:
    """The profile of that name, or what keeps it from being one. It may still lack fields."""
    from sft_tui.core.profile_problems import validate_profile

    profile, problems = validate_profile(load_profile_data(profiles_dir(), name))
    return profile, tuple(problems)


def validate(arguments: argparse.Namespace) -> int:
    """`sft-tui profile validate`: exit code 0, 2 or 4."""
    profile, problems = load_valid(arguments.name)
    if profile is not None:
        from sft_tui.checks.examine import examine

        problems = examine(profile).problems
    code = exit_code(problems)
    if arguments.json:
        print_json({"valid": code == 0, "problems": [p.to_json() for p in problems]})
        return code
    print_problems(problems)
    if code == 0:
        say(f"Profile {arguments.name} is fit to run: sft-tui run {arguments.name}")
    return code


def exit_code(problems: tuple[Problem, ...]) -> int:
    """2 if any input is invalid, else 4 if the environment does not fit, else 0."""
    codes = {p.exit_code for p in problems if p.severity == "error"}
    return 2 if 2 in codes else max(codes, default=0)
