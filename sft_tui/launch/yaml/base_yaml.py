"""A YAML of MindFormers to start from: read, changed with its comments kept, and compared."""

from __future__ import annotations

import difflib
import functools
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sft_tui.errors import InvalidInputError
from sft_tui.families.table import FAMILIES


class _Absent:
    """A key that is to be taken out."""


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Whole:
    """A section or list that takes the place of the base's, and is not merged into it."""

    value: object


_SECTIONS = (
    "model", "runner_config", "parallel", "parallel_config", "recompute_config", "context", "optimizer", "lr_schedule",
    "runner_wrapper", "trainer", "processor", "metric", "train_dataset", "train_dataset_task", "eval_dataset",
    "eval_dataset_task",
)  # fmt: skip
_CHOOSE = "Choose a finetune_*.yaml of MindFormers."


@functools.lru_cache(maxsize=8)
def parse_base(text: str) -> Mapping[str, Any]:
    """The content of a base YAML; empty for an empty text. Raises InvalidInputError that says where it is broken."""
    if not text:
        return {}
    from ruamel.yaml.error import YAMLError

    try:
        content = yaml.safe_load(text)
        _editor().load(text)  # stricter: a key that is there twice is an error to it
    except (yaml.YAMLError, YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        why = getattr(error, "problem", None) or "it cannot be read"
        raise InvalidInputError(f"This is no YAML: {place}{why}.", _CHOOSE) from error
    except (ValueError, RecursionError, TypeError) as error:
        raise InvalidInputError("This YAML cannot be read.", _CHOOSE) from error
    if not isinstance(content, dict) or "model" not in content:
        raise InvalidInputError("This YAML has no model section.", _CHOOSE)
    _check_sections(content)
    return content


def _check_sections(content: Mapping[str, Any]) -> None:
    model, processor = content["model"], content.get("processor")
    parts: dict[str, object] = {name: content[name] for name in _SECTIONS if content.get(name) is not None}
    parts["model.model_config"] = model.get("model_config") if isinstance(model, dict) else None
    if isinstance(processor, dict) and "tokenizer" in processor:
        parts["processor.tokenizer"] = processor["tokenizer"]
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise InvalidInputError(f"{name} is no section of keys and values.", _CHOOSE)


def merge_into_base(text: str, changes: Mapping[str, Any]) -> str:
    """The base with those changes; its comments, order and aliases stay. Pure."""
    editor = _editor()
    document = editor.load(text)
    _merge(document, changes)
    stream = io.StringIO()
    editor.dump(document, stream)
    return stream.getvalue()


def _editor() -> Any:  # noqa: ANN401 - ruamel's own types, which may be absent
    """Spells booleans as MindFormers does, and floats so that PyYAML takes them for such: 1e-05 is a text to it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Of this module alone: representers are kept by class."""

    def write_float(representer: Any, value: float) -> Any:  # noqa: ANN401
        number = repr(value)
        if "e" in number and "." not in number:
            number = number.replace("e", ".0e")
        return representer.represent_scalar("tag:yaml.org,2002:float", number)

    def write_bool(representer: Any, value: object) -> Any:  # noqa: ANN401
        return representer.represent_scalar("tag:yaml.org,2002:bool", str(bool(value)))

    Representer.add_representer(float, write_float)
    Representer.add_representer(bool, write_bool)
    editor = YAML()
    editor.Representer = Representer
    editor.preserve_quotes = True
    editor.allow_unicode = True
    editor.width = 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    return editor


def _merge(document: Any, changes: Mapping[str, Any]) -> None:  # noqa: ANN401 - ruamel's CommentedMap
    for key, value in changes.items():
        if value is ABSENT:
            document.pop(key, None)
        elif isinstance(value, Whole):
            document[key] = _quoted(value.value)
        elif isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            _merge(document[key], value)
        elif isinstance(value, list) and _are_sections(value) and isinstance(document.get(key), list):
            _merge_by_type(document[key], value)
        elif key not in document:
            # the last key carries the comment of what follows: a new one goes before it
            document.insert(max(0, len(document) - 1), key, _quoted(value))
        elif document[key] != value or isinstance(document[key], bool) != isinstance(value, bool):
            document[key] = _quoted(value)


def _are_sections(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, Mapping) for item in value)


def _merge_by_type(document: Any, values: list[Any]) -> None:  # noqa: ANN401 - ruamel's CommentedSeq
    """Callbacks and their like: the one of the same type is changed, others stay, new ones go before the last."""
    for value in values:
        same = [item for item in document if isinstance(item, Mapping) and item.get("type") == value.get("type")]
        if same:
            _merge(same[0], value)
        else:
            document.insert(max(0, len(document) - 1), _quoted(value))


def _quoted(value: Any) -> Any:  # noqa: ANN401 - whatever a YAML holds
    """Texts in quotes: a name such as `on` stays a text for a reader of YAML 1.1."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items() if item is not ABSENT}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) else value


def compare(base: str, text: str, *, base_name: str, name: str) -> str:
    """What was changed, as a unified diff; lines that differ in blanks alone count as the same."""
    # ruamel writes lists with its own indentation; in a diff that would hide what matters
    before, after = ([re.sub(r" +#", "  #", line.rstrip()) for line in part.splitlines()] for part in (base, text))
    return "\n".join(difflib.unified_diff(before, after, base_name, name, lineterm="", n=1))


def list_base_configs(home: Path, family: str) -> list[Path]:
    """The fine-tuning configurations of a MindFormers tree (configs/ and research/) for models of that family."""
    known = FAMILIES.get(family)
    if known is None or known.network is None:
        return []
    found = [path for folder in ("configs", "research") for path in sorted((home / folder).glob("**/finetune_*.yaml"))]
    return [path for path in found if _mentions(path, known.network.config_class)]


def _mentions(path: Path, model_type: str) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(rf"(?m)^\s+type: [\"']?{re.escape(model_type)}[\"']?\s*(?:#.*)?$", text) is not None
