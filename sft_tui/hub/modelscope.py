"""Lists a repository of ModelScope, which has branches and tags, and no commits to pin."""

from __future__ import annotations

from typing import List, Optional
from urllib.parse import urlencode

from sft_tui.hub.listing import MAX_FILES, BadListingError, HubFile, Kind, Listing, gather, make_file
from sft_tui.hub.network import MissingError, Network, Token

PAGE = 200  # files of a data set that are asked for at a time


def list_modelscope(
    network: Network, base: str, repo: str, kind: Kind, revision: str, token: Optional[Token]
) -> Listing:
    """All files at a revision. Raises SftError."""
    wanted = revision or "master"
    files: List[HubFile] = []
    number = 1
    while True:
        found = _page(network, base, repo, kind, wanted, number, token)
        listed = [item for item in found if isinstance(item, dict) and item.get("Type") != "tree"]
        files += [_file(item, base, repo, kind, wanted) for item in listed]
        if kind == "model" or len(found) < PAGE:
            break
        if len(files) > MAX_FILES:
            raise BadListingError(f"{base} lists more than {MAX_FILES:,} files of {repo}.", "Is it a data set?")
        number += 1
    return Listing(base, repo, kind, wanted, gather(files, base, repo), "", f"{base}/{kind}s/{repo}")


def _page(
    network: Network, base: str, repo: str, kind: Kind, revision: str, number: int, token: Optional[Token]
) -> List[object]:
    words = {"Revision": revision, "Recursive": "True"}
    if kind == "dataset":
        words.update(PageNumber=str(number), PageSize=str(PAGE))
    what = "files" if kind == "model" else "tree"
    answer, _ = network.read_json(f"{base}/api/v1/{kind}s/{repo}/repo/{what}?{urlencode(words)}", token)
    if isinstance(answer, dict) and answer.get("Success") is False:
        raise MissingError(f"{base} has no {repo} at {revision}.", "Check name and revision.")
    data = answer.get("Data") if isinstance(answer, dict) else None
    found = data.get("Files") if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise BadListingError(f"{base} has no list of the files of {repo}.", "Take it from another source: --from.")
    return found


def _file(item: dict[str, object], base: str, repo: str, kind: Kind, revision: str) -> HubFile:
    path = item.get("Path")
    address = f"{base}/api/v1/{kind}s/{repo}/repo?{urlencode({'Revision': revision, 'FilePath': str(path)})}"
    return make_file(path, item.get("Size"), address, base, sha256=item.get("Sha256"))
