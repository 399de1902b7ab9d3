"""The digest of a file's content: sha256, or what git makes of it where the hub tells no other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Optional

from sft_tui.hub.listing import HubFile

CHUNK = 1 << 20


class Digest:
    """Grows with the content. `count` is its bytes so far."""

    def __init__(self, file: HubFile) -> None:
        self._file = file
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.count = 0
        git = self._file.git_sha1 and not self._file.sha256
        self._sum = hashlib.sha1(b"blob %d\0" % self._file.size) if git else hashlib.sha256()  # noqa: S324 - git's own

    def add(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        self.count += len(piece)
        self._sum.update(piece)

    def add_stream(self, stream: BinaryIO) -> None:
        """All that is left of a stream."""
        while piece := stream.read(CHUNK):
            self.add(piece)

    def hexdigest(self) -> str:
        """Of what was added."""
        return self._sum.hexdigest()

    def matches(self) -> bool:
        """Whether size and digest are those of the listing; without a digest there, the size alone."""
        wanted = self._file.sha256 or self._file.git_sha1
        return self.count == self._file.size and (not wanted or self.hexdigest() == wanted)


def is_same(path: Path, file: HubFile) -> Optional[bool]:
    """Whether a file on disk is that of the listing, by size and content; None: it is not there. Raises OSError."""
    try:
        if path.stat().st_size != file.size:
            return False
    except FileNotFoundError:
        return None
    digest = Digest(file)
    with path.open("rb") as stream:
        digest.add_stream(stream)
    return digest.matches()
