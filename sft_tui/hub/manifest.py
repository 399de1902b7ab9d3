"""The listing that a folder was downloaded by, kept in it: to check the folder later, without a net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Iterable

from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_object
from sft_tui.files.whole_file import write_text
from sft_tui.hub.listing import HubFile, Kind, Listing, gather, make_file

NAME = ".sft-tui-download.json"
MAX_BYTES = 64 << 20
_SCHEMA = 1


def save_listing(folder: Path, listing: Listing, files: Iterable[HubFile]) -> None:
    """Beside the files. Raises OSError."""
    data = {
        "schema_version": _SCHEMA, "source": listing.source, "repo": listing.repo, "kind": listing.kind,
        "revision": listing.revision, "pin": listing.pin, "licence": listing.licence, "page": listing.page,
        "files": {
            file.path: {"size": file.size, "sha256": file.sha256, "git_sha1": file.git_sha1, "address": file.address}
            for file in files
        },
    }  # fmt: skip
    write_text(folder / NAME, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def load_listing(folder: Path) -> Listing:
    """What `save_listing` wrote. Raises InvalidInputError, OSError."""
    data = read_small_object(folder / NAME, MAX_BYTES)
    entries = data.get("files")
    if data.get("schema_version") != _SCHEMA or not isinstance(entries, dict):
        raise InvalidInputError(
            f"{folder / NAME} is no listing of a download.", "Name the repository: --verify --to DIR ORG/NAME."
        )
    files = [
        make_file(
            path,
            item.get("size"),
            str(item.get("address", "")),
            str(folder / NAME),
            sha256=item.get("sha256"),
            git=item.get("git_sha1"),
        )
        for path, item in entries.items()
        if isinstance(item, dict)
    ]
    kind: Kind = "dataset" if data.get("kind") == "dataset" else "model"
    words: Dict[str, str] = {
        name: str(data.get(name, "")) for name in ("source", "repo", "revision", "licence", "page")
    }
    return Listing(
        words["source"], words["repo"], kind, words["revision"], gather(files, str(folder / NAME), words["repo"]),
        words["licence"], words["page"],
    )  # fmt: skip
