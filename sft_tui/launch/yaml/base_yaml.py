"""Reads a YAML of MindFormers to start from, changes it with its comments kept, and compares."""

from __future__ import annotations

import difflib
import functools
import io
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sft_tui.errors import InvalidInputError
from sft_tui.families.table import FAMILIES
from sft_tui.files.small_file import read_small_bytes


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
_KEPT_TEXTS = 256
_CHOOSE = "Choose a finetune_*.yaml of MindFormers."


@functools.lru_cache(maxsize=8)
def parse_base(text: str) -> Mapping[str, Any]:
    """The content of a base YAML; empty for an empty text. Raises InvalidInputError that says where it is broken."""
    if not text:
        return {}
    from ruamel.yaml.error import YAMLError

    try:
        content = _plain_yaml().load(text)
    except YAMLError as error:
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
    return _base(text).merge(changes)


def merge_values(text: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of what `merge_into_base` writes."""
    content = deepcopy(dict(parse_base(text)))
    _merge(content, changes)
    return content


def dump_new(config: Mapping[str, Any]) -> str:
    """A YAML without a base, section by section: after an edit of the profile most of them are as they were."""
    return "".join(_dump_section(key, _Known(value)) for key, value in config.items())


class _Known:
    """A value for a cache: the same where it is written the same."""

    def __init__(self, value: object) -> None:
        self.value, self._text = value, repr(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@functools.lru_cache(maxsize=512)
def _dump_section(key: str, known: _Known) -> str:
    stream = io.StringIO()
    _plain_yaml().dump({key: known.value}, stream)
    return stream.getvalue()


@functools.lru_cache(maxsize=4)
def _base(text: str) -> _Base:
    return _Base(text)


class _Base:
    """A base YAML in groups of sections that are written by themselves, and kept: most changes concern few of them.

    Sections from an anchor to its aliases make one group. New keys go before the last one, so into its group. Where the
    groups together are not what the whole is, all is one group.
    """

    def __init__(self, text: str) -> None:
        self._document = _editor().load(text)
        self._written: dict[tuple[int, _Known], str] = {}
        whole = _write(deepcopy(self._document))  # writing takes some comments away
        self._groups = _group_sections(text, list(self._document))
        if "".join(self._write_group(number, {}) for number in range(len(self._groups))) != whole:
            self._groups = [list(self._document)]
            self._written.clear()

    def merge(self, changes: Mapping[str, Any]) -> str:
        """The text with the changes."""
        last = len(self._groups) - 1
        new = {key: value for key, value in changes.items() if key not in self._document}
        texts = []
        for number, names in enumerate(self._groups):
            theirs = {key: changes[key] for key in changes if key in names or (number == last and key in new)}
            known = number, _Known(theirs)
            if known not in self._written:
                self._written[known] = self._write_group(number, theirs)
            texts.append(self._written[known])
        while len(self._written) > _KEPT_TEXTS:
            del self._written[next(iter(self._written))]
        return "".join(texts)

    def _write_group(self, number: int, changes: Mapping[str, Any]) -> str:
        from ruamel.yaml.comments import CommentedMap

        whole, part = self._document, CommentedMap()
        for name in self._groups[number]:
            part[name] = whole[name]
            if name in whole.ca.items:
                part.ca.items[name] = whole.ca.items[name]
        if number == 0:
            part.ca.comment = whole.ca.comment
        if number == len(self._groups) - 1:
            part.ca.end = whole.ca.end
        part = deepcopy(part)
        _merge(part, changes)
        return _write(part) if part else ""


def _group_sections(text: str, names: list[str]) -> list[list[str]]:
    """Sections from the first that has an anchor to the last that has an alias belong together."""
    starts = {match[1]: match.start() for match in re.finditer(r"(?m)^[\"']?([^\s#\"':]+)[\"']?\s*:", text)}
    if set(starts) != set(names):
        return [names]
    places = [starts[name] for name in names] + [len(text)]
    marked = [
        number
        for number in range(len(names))
        if re.search(r"(?m)(?:^|[\s\[,:-])[&*]\w", text[places[number] : places[number + 1]])
    ]
    groups: list[list[str]] = []
    for number, name in enumerate(names):
        if marked and marked[0] < number <= marked[-1]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _write(document: Any) -> str:  # noqa: ANN401 - ruamel's CommentedMap
    stream = io.StringIO()
    _editor().dump(document, stream)
    return stream.getvalue()


def _plain_yaml() -> Any:  # noqa: ANN401 - ruamel's own types, which may be absent
    """Reads and writes as PyYAML does, by which MindFormers reads: YAML 1.1."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Of this module alone: representers are kept by class."""

    Representer.add_representer(float, _write_float)
    plain: Any = YAML(typ="safe", pure=True)
    plain.Resolver, plain.Representer = _resolver(), Representer
    plain.width = 4096
    plain.default_flow_style = False
    plain.sort_base_mapping_type_on_output = False
    plain.allow_unicode = True
    return plain


def _write_float(representer: Any, value: float) -> Any:  # noqa: ANN401
    number = repr(value)
    if "e" in number and "." not in number:
        number = number.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", number)


@functools.lru_cache(maxsize=1)
def _resolver() -> Any:  # noqa: ANN401 - as above
    """What a plain scalar is to PyYAML (YAML 1.1): 1e-5 and 1e5 are texts, yes and off are booleans, y is a text."""
    from ruamel.yaml.resolver import VersionedResolver

    rules: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    class Resolver(VersionedResolver):  # type: ignore[misc, unused-ignore]
        """By the rules alone, whatever version a file says it has."""

        processing_version = (1, 1)
        versioned_resolver = rules

    digits = r"[0-9][0-9_]*"
    for tag, pattern, first in (
        ("bool", r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$", "yYnNtTfFoO"),
        (
            "float",
            rf"(?:[-+]?{digits}\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
            rf"|[-+]?{digits}(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
            "-+0123456789.",
        ),
        (
            "int",
            r"(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+"
            r"|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
            "-+0123456789",
        ),
        ("merge", r"<<$", "<"),
        ("null", r"(?:~|null|Null|NULL|)$", "~nN\0"),
        (
            "timestamp",
            r"(?:\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?"
            r"(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?)$",
            "0123456789",
        ),
        ("value", r"=$", "="),
    ):
        for letter in first:
            rules.setdefault("" if letter == "\0" else letter, []).append(
                (f"tag:yaml.org,2002:{tag}", re.compile(pattern))
            )
    return Resolver


def _editor() -> Any:  # noqa: ANN401 - ruamel's own types, which may be absent
    """Spells booleans as MindFormers does, and floats so that PyYAML takes them for such: 1e-05 is a text to it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Of this module alone: representers are kept by class."""

    def write_bool(representer: Any, value: object) -> Any:  # noqa: ANN401
        return representer.represent_scalar("tag:yaml.org,2002:bool", str(bool(value)))

    Representer.add_representer(float, _write_float)
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
            _add(document, key, _quoted(value))
        elif document[key] != value or isinstance(document[key], bool) != isinstance(value, bool):
            document[key] = _quoted(value)


def _add(document: Any, key: str, value: object) -> None:  # noqa: ANN401 - ruamel's CommentedMap, or a dict
    """The last key carries the comment of what follows: a new one goes before it."""
    if hasattr(document, "insert"):
        document.insert(max(0, len(document) - 1), key, value)
    else:
        document[key] = value


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
        text = read_small_bytes(path).decode("utf-8", errors="replace")
    except (OSError, InvalidInputError):
        return False
    return re.search(rf"(?m)^\s+type: [\"']?{re.escape(model_type)}[\"']?\s*(?:#.*)?$", text) is not None
