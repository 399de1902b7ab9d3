"""What a hub says of a repository: its files with sizes and digests, pinned to one state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Dict, Literal, Mapping, Optional

from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import SftError

Kind = Literal["model", "dataset"]
MAX_FILES = 100_000
MAX_NAME = 1024


@dataclass(frozen=True)
class HubFile:
    """One file. `size` in bytes; `sha256`, or the sha1 that git gives it (`git_sha1`), in lower-case hexadecimal.

    `address` is where it is asked for; what answers may redirect to another host.
    """

    path: str
    size: int
    sha256: str
    git_sha1: str
    address: str

    @property
    def digest(self) -> str:
        """What the content must have: `sha256:...` or `git-sha1:...`; empty where the hub tells none."""
        return f"sha256:{self.sha256}" if self.sha256 else f"git-sha1:{self.git_sha1}" if self.git_sha1 else ""


@dataclass(frozen=True)
class Listing:
    """A repository as one source has it. `revision` is the commit, or what was asked for where there are none."""

    source: str
    repo: str
    kind: Kind
    revision: str
    files: Mapping[str, HubFile]
    licence: str = ""
    page: str = ""

    @property
    def pin(self) -> str:
        """The commit, or a digest of all digests where the hub has no commits."""
        if len(self.revision) == 40 and all(letter in "0123456789abcdef" for letter in self.revision):
            return self.revision
        lines = sorted(f"{file.digest} {file.size} {file.path}\n" for file in self.files.values())
        return "set-sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


class BadListingError(SftError):
    """A hub answered with something that is no listing, or one that names a file outside of its folder."""


def check_path(path: object, source: str) -> str:
    """The path of a file below the target folder. Raises BadListingError for any that leads elsewhere."""
    parts = path.split("/") if isinstance(path, str) else []
    bad = not isinstance(path, str) or len(path) > MAX_NAME or any(part in ("", ".", "..") for part in parts)
    if bad or any(letter in str(path) for letter in '\\\0:*?"<>|') or any(ord(letter) < 32 for letter in str(path)):
        raise BadListingError(
            f"{source} lists a file that no folder can hold: {neutralise(str(path))[:80]!r}.",
            "Nothing was downloaded. Take the model from another source: --from.",
        )
    assert isinstance(path, str)
    return path


def make_file(
    path: object, size: object, address: str, source: str, *, sha256: object = "", git: object = ""
) -> HubFile:
    """A file of a listing, checked. Raises BadListingError."""
    name = check_path(path, source)
    if type(size) is not int or not 0 <= size < 2**50:
        raise BadListingError(
            f"{source} gives no size of {neutralise(name)[:80]}.", "Take it from another source: --from."
        )
    return HubFile(name, size, hexadecimal(sha256, 64), hexadecimal(git, 40), address)


def hexadecimal(value: object, digits: int) -> str:
    """The digest in lower case, or an empty string for what is none."""
    text = value.lower() if isinstance(value, str) else ""
    return text if len(text) == digits and all(letter in "0123456789abcdef" for letter in text) else ""


def gather(files: list[HubFile], source: str, repo: str) -> Dict[str, HubFile]:
    """By path. Raises BadListingError where there is none, or one path twice, also by upper and lower case."""
    found: Dict[str, HubFile] = {}
    folded: Dict[str, str] = {}
    for file in files:
        other: Optional[str] = folded.setdefault(file.path.casefold(), file.path)
        if file.path in found or other != file.path:
            raise BadListingError(
                f"{source} lists {neutralise(file.path)[:80]} of {repo} twice.", "Take it from another source."
            )
        found[file.path] = file
    for path in found:
        parents = path.split("/")[:-1]
        if any("/".join(parents[: count + 1]) in found for count in range(len(parents))):
            raise BadListingError(
                f"{source} lists {neutralise(path)[:80]} below a file.", "Take it from another source."
            )
    if not found:
        raise BadListingError(f"{source} has no file in {repo}.", "Take it from another source: --from.")
    return found
