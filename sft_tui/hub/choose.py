"""Chooses of a listing what training needs: weights in one format, tokenizer and configuration whole."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from sft_tui.errors import InvalidInputError
from sft_tui.hub.listing import HubFile, Listing

# small files that a model folder consists of, besides its weights
_NEEDED = (
    "config.json", "generation_config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "chat_template*", "*.tiktoken", "spiece.model", "sentencepiece*.model", "configuration.json",
    "preprocessor_config.json", "*.py",
)  # fmt: skip
_WEIGHTS = (
    ("safetensors", ("*.safetensors",), ("model.safetensors.index.json",)),
    (".bin", ("pytorch_model*.bin",), ("pytorch_model.bin.index.json",)),
)
_DATA = ("*.json", "*.jsonl", "*.parquet", "*.csv", "*.txt", "*.tokens", "*.raw", "*.md")


@dataclass(frozen=True)
class Choice:
    """What is fetched, in order of name, and in words what is left out."""

    files: Tuple[HubFile, ...]
    left_out: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def choose_files(listing: Listing, patterns: Sequence[str] = ()) -> Choice:
    """Those that the patterns name, or what training needs. Raises InvalidInputError where there is nothing of it."""
    if patterns:
        return _by_patterns(listing, patterns)
    if listing.kind == "dataset":
        found = [file for path, file in listing.files.items() if any(fnmatch.fnmatch(path, p) for p in _DATA)]
        return _choice(found or list(listing.files.values()), listing)
    return _model(listing)


def _by_patterns(listing: Listing, patterns: Sequence[str]) -> Choice:
    found: Dict[str, HubFile] = {}
    for pattern in patterns:
        matching = {p: f for p, f in listing.files.items() if fnmatch.fnmatch(p, pattern)}
        if not matching:
            some = ", ".join(sorted(listing.files)[:8])
            raise InvalidInputError(
                f"No file of {listing.repo} matches {pattern!r}.", f"There are, among others: {some}."
            )
        found.update(matching)
    return _choice(list(found.values()), listing)


def _model(listing: Listing) -> Choice:
    top = {path: file for path, file in listing.files.items() if "/" not in path}
    chosen: Dict[str, HubFile] = {p: f for p, f in top.items() if any(fnmatch.fnmatch(p, n) for n in _NEEDED)}
    weights, notes = _weights(top)
    if not weights:
        others = sorted({path.rpartition(".")[2] for path in listing.files})[:8]
        raise InvalidInputError(
            f"{listing.repo} has no weights that training takes: neither *.safetensors nor pytorch_model*.bin.",
            f"It has files of the kinds {', '.join(others)}. Name files with --files, or choose the original model.",
        )
    chosen.update(weights)
    warnings = [] if "config.json" in top else [f"{listing.repo} has no config.json."]
    if not any(fnmatch.fnmatch(path, "tokenizer*") or path.endswith(".tiktoken") for path in chosen):
        warnings.append(f"{listing.repo} has no tokenizer: name another one in the profile.")
    return _choice(list(chosen.values()), listing, notes, tuple(warnings))


def _weights(files: Mapping[str, HubFile]) -> Tuple[Dict[str, HubFile], List[str]]:
    """Those of the first format that is there; parts of adapters and of optimizers are no weights."""
    notes: List[str] = []
    for title, patterns, indexes in _WEIGHTS:
        found = {
            path: file
            for path, file in files.items()
            if any(fnmatch.fnmatch(path, pattern) for pattern in patterns)
            and not path.startswith(("consolidated", "adapter_", "optimizer", "training_args"))
        }
        if found:
            found.update({path: files[path] for path in indexes if path in files})
            return found, [f"weights as {title}"]
        notes.append(f"no {title}")
    return {}, notes


def _choice(
    files: list[HubFile], listing: Listing, notes: Sequence[str] = (), warnings: Tuple[str, ...] = ()
) -> Choice:
    names = {file.path for file in files}
    left = [file for path, file in listing.files.items() if path not in names]
    told = [*notes]
    if left:
        told.append(f"left out: {len(left)} other files, {sum(file.size for file in left):,} bytes")
    return Choice(tuple(sorted(files, key=lambda file: file.path)), tuple(told), warnings)
