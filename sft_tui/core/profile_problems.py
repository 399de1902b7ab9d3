"""What does not hold in a profile: every problem at once, each with its dotted field and a hint."""

from __future__ import annotations

import re
from typing import Any, Optional

from pydantic import ValidationError

from sft_tui.core.nodes import Node
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile


def validate_profile(data: dict[str, Any]) -> tuple[Optional[Profile], list[Problem]]:
    """The profile, or every problem at once, each with its dotted field."""
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        return None, [_problem(item) for item in error.errors(include_url=False)]
    return profile, missing_fields(profile)


def _problem(item: Any) -> Problem:  # noqa: ANN401 - pydantic's ErrorDetails, a TypedDict of pydantic_core
    field = ".".join(str(part) for part in item["loc"])
    kind, message = str(item["type"]), str(item["msg"])
    hint = ""
    if field.startswith("nodes.hosts") or (field == "nodes" and kind == "value_error"):
        return _problem_of_nodes(item)
    if kind == "extra_forbidden":
        message, hint = "Unknown field.", "Remove it, or check its spelling."
    elif kind == "missing":
        message = "This field is required."
    elif kind == "string_pattern_mismatch":
        message, hint = (
            "Not a valid name.",
            "Use letters, digits, dot, dash and underscore; start with a letter or digit.",
        )
    elif kind in ("int_parsing", "int_type", "float_parsing", "float_type", "int_from_float"):
        message = f"{item['input']!r} is not a {'whole ' if kind.startswith('int') else ''}number."
    elif kind == "literal_error":
        message = f"{item['input']!r} is not one of {item['ctx']['expected']}."
    elif kind == "value_error":  # only the check of the schema version raises it
        field, message = field or "schema_version", re.sub(r"^Value error, ", "", message)
    elif not message.endswith("."):
        message = f"{message} (given: {item['input']!r})."
    return Problem(field, message, hint)


def node_problems(node: dict[str, Any]) -> list[Problem]:
    """What does not hold in the data of one node, with the names of its fields."""
    try:
        Node.model_validate(node)
    except ValidationError as error:
        return [
            Problem(str(item["loc"][0]), _sentence(_message_of_node(item, item["loc"])))
            for item in error.errors(include_url=False)
        ]
    return []


def _problem_of_nodes(item: Any) -> Problem:  # noqa: ANN401 - as above
    """The list of nodes is one field: which node, and what of it, is part of the message."""
    message = re.sub(r"^Value error, ", "", str(item["msg"])).rstrip(".")
    where = item["loc"][2:]
    if where:
        name = f"node {where[0]}" + (f", {where[1]}" if len(where) > 1 else "")
        message = f"{name}: {_message_of_node(item, where[1:])}"
    field = "nodes.hosts" if len(item["loc"]) > 1 else "nodes.worker_num"
    return Problem(field, _sentence(message), "Write user@host:port*workers, ... one for each node.")


def _message_of_node(item: Any, where: Any) -> str:  # noqa: ANN401 - as above; the place below a node
    message = str(item["msg"]).rstrip(".")
    if item["type"] == "string_pattern_mismatch":
        message = "an option of ssh that is not one of the harmless" if "options" in where else "not a valid value"
    return f"{item['input']!r}: {message}"


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def _start(profile: Profile) -> tuple[tuple[str, str, str], ...]:
    """What a training starts from: a folder, which has its tokenizer, or a ready checkpoint and a tokenizer."""
    model = profile.model
    if model.ckpt and not model.hf_dir:
        hint = "Choose the tokenizer that belongs to the ready checkpoint."
        return (("model.tokenizer_model", model.tokenizer_model, hint),)
    return (("model.hf_dir", model.hf_dir, "Choose the folder that holds config.json, or a ready checkpoint."),)


def missing_fields(profile: Profile) -> list[Problem]:
    """Fields that have no default that works and were not chosen yet."""
    required = (
        ("environment.work_dir", profile.environment.work_dir, "Name a folder on a disk with room for the model."),
        *_start(profile),
        (
            "dataset.train_path",
            profile.dataset.train_path,
            "Choose a file of instructions and answers, or of plain text.",
        ),
    )
    problems = [Problem(field, "Not chosen yet.", hint) for field, value, hint in required if not value]
    nodes = profile.nodes
    if len(nodes.hosts) > 1 and (nodes.master == "localhost" or nodes.master.startswith(("127.", "::1"))):
        hint = "Name the address at which the other nodes reach the first one."
        problems.append(Problem("nodes.master_addr", f"{nodes.master} is another host on each node.", hint))
    return problems
