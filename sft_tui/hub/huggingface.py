"""Lists a repository of Hugging Face, or of a mirror that speaks its words."""

from __future__ import annotations

from typing import List, Mapping, Optional
from urllib.parse import quote, urljoin

from sft_tui.hub.listing import MAX_FILES, BadListingError, HubFile, Kind, Listing, gather, make_file
from sft_tui.hub.network import Network, Token


def list_hugging_face(
    network: Network, base: str, repo: str, kind: Kind, revision: str, token: Optional[Token]
) -> Listing:
    """All files at the commit that the revision is now. Raises SftError."""
    wanted = revision or "main"
    about, _ = network.read_json(f"{base}/api/{kind}s/{repo}/revision/{quote(wanted, safe='')}", token)
    commit = about.get("sha") if isinstance(about, dict) else None
    if not isinstance(about, dict) or not isinstance(commit, str) or not commit:
        raise BadListingError(
            f"{base} does not say which commit of {repo} it has.", "Take it from another source: --from."
        )
    prefix = "" if kind == "model" else "datasets/"
    files: List[HubFile] = []
    address = f"{base}/api/{kind}s/{repo}/tree/{quote(commit, safe='')}?recursive=true"
    while address:
        page, headers = network.read_json(address, token)
        if not isinstance(page, list):
            raise BadListingError(f"{base} has no list of the files of {repo}.", "Take it from another source: --from.")
        resolve = f"{base}/{prefix}{repo}/resolve/{quote(commit, safe='')}"
        files += [_file(i, resolve, base) for i in page if isinstance(i, dict) and i.get("type") == "file"]
        if len(files) > MAX_FILES:
            raise BadListingError(f"{base} lists more than {MAX_FILES:,} files of {repo}.", "Is it a model?")
        address = _next_page(address, headers.get("Link", ""))
    return Listing(base, repo, kind, commit, gather(files, base, repo), _licence(about), f"{base}/{prefix}{repo}")


def _file(item: Mapping[str, object], resolve: str, base: str) -> HubFile:
    lfs = item.get("lfs")
    large = lfs if isinstance(lfs, dict) else {}
    path = item.get("path")
    address = f"{resolve}/{quote(str(path))}"
    # the digest of a large file is its content's; that of a small one is what git makes of it
    git = "" if large else item.get("oid")
    return make_file(path, large.get("size", item.get("size")), address, base, sha256=large.get("oid"), git=git)


def _next_page(address: str, link: str) -> str:
    """`<address>; rel="next"` of the header, at the same host."""
    for part in link.split(","):
        target, _, words = part.partition(";")
        if 'rel="next"' in words:
            return urljoin(address, target.strip().strip("<>"))
    return ""


def _licence(about: Mapping[str, object]) -> str:
    card = about.get("cardData")
    licence = card.get("license") if isinstance(card, dict) else None
    return licence if isinstance(licence, str) else ""
