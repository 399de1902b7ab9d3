"""Looks at the tokenizer that a folder brings along: its files, how many ids it gives, and its chat template."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from sft_tui.checkpoint.formats.source_file import DOWNLOAD_HINT, check_regular_file, load_json_object, not_read
from sft_tui.core.problem import Problem
from sft_tui.errors import InvalidInputError, SftError

FIELD = "model.tokenizer_model"
TOKENIZER_JSON = "tokenizer.json"
CONFIG = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
# what comes with tokenizer.json, and whether MindFormers, by transformers, wants it
BESIDE = {CONFIG: True, "merges.txt": False, "vocab.json": False, TEMPLATE_FILE: False}
_SLOW = ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model")
_MAX_BYTES = 64_000_000  # the largest in use have some 20 MB


@dataclass(frozen=True)
class TokenizerFacts:
    """What is known of a folder's tokenizer.json. `ids` counts from 0 to the largest id, 0: not known.

    `merges` counts those of its BPE. `chat_template` is the name of the file that has one, "" for none.
    """

    ids: int = 0
    merges: int = 0
    eos_token: str = ""
    chat_template: str = ""

    def to_json(self) -> Dict[str, object]:
        """The facts as a JSON object."""
        return asdict(self)


def inspect_tokenizer(folder: Path, vocab_size: int, problems: List[Problem]) -> TokenizerFacts:
    """Look at the tokenizer of a folder that should have a tokenizer.json; what is wrong is added to `problems`.

    `vocab_size` is the model's number of embeddings, 0: not known.
    """
    settings = _settings(folder, problems)
    template = _find_template(folder, settings, problems)
    token = settings.get("eos_token")
    content = token.get("content") if isinstance(token, dict) else token
    eos = content if isinstance(content, str) else ""
    try:
        data = _load(folder / TOKENIZER_JSON)
    except SftError as error:
        problems.append(Problem(FIELD, error.message, error.hint))
        return TokenizerFacts(eos_token=eos, chat_template=template)
    ids = _count_ids(data)
    if not ids:
        problems.append(Problem(FIELD, f"{folder / TOKENIZER_JSON} has no vocabulary.", DOWNLOAD_HINT))
    elif vocab_size and ids > vocab_size:
        problems.append(
            Problem(
                FIELD,
                f"{folder / TOKENIZER_JSON} gives ids up to {ids - 1}; the model has only {vocab_size} embeddings.",
                "Take tokenizer.json and config.json from the same model.",
            )
        )
    model = data.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    return TokenizerFacts(ids, len(merges) if isinstance(merges, list) else 0, eos, template)


def _settings(folder: Path, problems: List[Problem]) -> Mapping[str, object]:
    path = folder / CONFIG
    if not path.exists():
        problems.append(
            Problem(FIELD, f"{folder} has no {CONFIG}.", "Download it as well: MindFormers loads the tokenizer by it.")
        )
        return {}
    try:
        return load_json_object(path)
    except InvalidInputError as error:
        problems.append(Problem(FIELD, error.message, error.hint))
        return {}


def _find_template(folder: Path, settings: Mapping[str, object], problems: List[Problem]) -> str:
    """The name of the file with the chat template: transformers takes the file of its own first."""
    if (folder / TEMPLATE_FILE).is_file():
        return TEMPLATE_FILE
    if settings.get("chat_template"):
        return CONFIG
    problems.append(
        Problem(
            FIELD,
            f"{folder} has no chat template.",
            f"It stands in {CONFIG} or {TEMPLATE_FILE} of chat models. Without it choose another --template by name.",
            "warning",
        )
    )
    return ""


def _load(path: Path) -> Dict[str, object]:
    slow = [name for name in _SLOW if path.with_name(name).is_file()]
    if slow and not path.exists():
        command = "AutoTokenizer.from_pretrained({0!r}).save_pretrained({0!r})".format(str(path.parent))
        raise InvalidInputError(
            f"{path.parent} has no {path.name}, only what a slow tokenizer is made of ({', '.join(slow)}).",
            f'Download it, or make it: python -c "from transformers import AutoTokenizer; {command}"',
        )
    size = check_regular_file(path)
    if size > _MAX_BYTES:
        raise InvalidInputError(f"{path} has {size:,} bytes, too many for a tokenizer.", DOWNLOAD_HINT)
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise not_read(path, error) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not valid JSON: {error}.", DOWNLOAD_HINT) from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{path} is not a JSON object.", DOWNLOAD_HINT)
    return data


def _count_ids(data: Mapping[str, object]) -> int:
    model, added = data.get("model"), data.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    largest = -1
    if isinstance(vocabulary, dict):
        largest = max((number for number in vocabulary.values() if type(number) is int), default=-1)
    elif isinstance(vocabulary, list):  # unigram models: a list of pieces
        largest = len(vocabulary) - 1
    for item in added if isinstance(added, list) else []:
        number: Optional[object] = item.get("id") if isinstance(item, dict) else None
        if isinstance(number, int):
            largest = max(largest, number)
    return largest + 1
