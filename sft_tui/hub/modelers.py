"""Lists a repository of Modelers (openMind), a folder at a time."""

from __future__ import annotations

from typing import List, Optional
from urllib.parse import quote, urlencode

from sft_tui.hub.listing import MAX_FILES, BadListingError, HubFile, Kind, Listing, check_path, gather, make_file
from sft_tui.hub.network import Network, Token

MAX_FOLDERS = 1000


def list_modelers(network: Network, base: str, repo: str, kind: Kind, revision: str, token: Optional[Token]) -> Listing:
    """All files at a revision. Raises SftError."""
    wanted = revision or "main"
    files: List[HubFile] = []
    waiting, asked = [""], set()
    while waiting:
        folder = waiting.pop()
        asked.add(folder)
        if len(asked) > MAX_FOLDERS or len(files) > MAX_FILES:
            raise BadListingError(
                f"{base} lists folders of {repo} without end.", "Take it from another source: --from."
            )
        answer, _ = network.read_json(f"{base}/api/v1/file/{repo}?{urlencode({'path': folder, 'ref': wanted})}", token)
        data = answer.get("data") if isinstance(answer, dict) else None
        tree = data.get("tree") if isinstance(data, dict) else None
        if not isinstance(tree, list):
            raise BadListingError(f"{base} has no list of the files of {repo}.", "Take it from another source: --from.")
        for item in tree:
            if not isinstance(item, dict):
                continue
            if item.get("type") == "dir":
                name = check_path(item.get("path"), base)
                if name not in asked:
                    waiting.append(name)
            else:
                files.append(_file(item, base, repo, wanted))
    return Listing(base, repo, kind, wanted, gather(files, base, repo), "", f"{base}/{kind}s/{repo}")


def _file(item: dict[str, object], base: str, repo: str, revision: str) -> HubFile:
    path, etag = item.get("path"), item.get("etag")
    address = f"{base}/api/v1/file/{repo}/{quote(revision, safe='')}/media/{quote(str(path))}"
    large = item.get("is_lfs") is True
    return make_file(path, item.get("size"), address, base, sha256=etag if large else "", git="" if large else etag)
