"""Brings one file of a listing: resumed to the byte, checked while it is written, from another source where one fails.

A part lies in the work folder under a name with the digest that it must have, so that it is never gone on with for
another content. A connection that is cut, stalls or trickles begins again at the address of the listing, which may sign
anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, Sequence

import requests

from sft_tui.errors import EnvironmentNotFitError, SftError
from sft_tui.files.disk_room import tell_room
from sft_tui.hub.digest import Digest
from sft_tui.hub.listing import HubFile
from sft_tui.hub.network import MissingError, Network, NetworkError, RangeError, RefusedError, Token

WRONG_TRIES = 3
PROGRESS = 1 << 16  # bytes
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class WrongContentError(SftError):
    """What came is not what the listing promises, again and again."""


@dataclass(frozen=True)
class Offer:
    """One file as one source has it, and the token for that source."""

    file: HubFile
    source: str
    token: Token | None


class Transfer:
    """One file on its way into `work`. `tell` is called with the bytes that are here, also when they become fewer."""

    def __init__(self, offers: Sequence[Offer], work: Path, network: Network, tell: Callable[[int], None]) -> None:
        self._offers, self._network, self._tell = list(offers), network, tell
        self._file = offers[0].file
        self.part = part_path(work, self._file)
        self._digest = Digest(self._file)

    def run(self) -> Path:
        """The whole part, checked and on the disk. Raises SftError."""
        try:
            with self.part.open("ab+") as stream:
                self._resume(stream)
                self._fill(stream)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise disk_problem(self.part, error, self._file.size) from error
        return self.part

    def _resume(self, stream: BinaryIO) -> None:
        stream.seek(0)
        self._digest.add_stream(stream)
        if self._digest.count > self._file.size:
            self._restart(stream)
        self._tell(self._digest.count)

    def _restart(self, stream: BinaryIO) -> None:
        stream.truncate(0)
        stream.seek(0)
        self._digest.reset()
        self._tell(0)

    def _fill(self, stream: BinaryIO) -> None:
        patience = self._network.patience
        failures = wrong = at = 0
        was_resumed = self._digest.count > 0
        while True:
            offer, before = self._offers[at % len(self._offers)], self._digest.count
            try:
                if self._digest.count < self._file.size:
                    self._receive(offer, stream)
                if self._digest.matches():
                    return
                wrong += 1
                self._restart(stream)
                if wrong >= WRONG_TRIES:
                    raise WrongContentError(
                        f"{self._file.path}: what {offer.source} sends has not the checksum of its listing, "
                        f"{wrong} times.",
                        "Nothing of it was kept. Take it from another source: --from.",
                    )
                # a part that was there may have been damaged: the source has another chance
                if not was_resumed:
                    at += 1
                was_resumed = False
            except RangeError:
                self._restart(stream)
                failures += 1
                if failures >= patience.tries:
                    raise
            except (NetworkError, MissingError, RefusedError) as error:
                final = not isinstance(error, NetworkError)
                if final and len(self._offers) > 1:  # this source has it no longer: go on with the others
                    self._offers.remove(offer)
                    continue
                # a line that brings something on is no failure, however often it breaks
                failures = 1 if self._digest.count - before >= PROGRESS else failures + 1
                if final or failures >= patience.tries * len(self._offers):
                    raise
                at += failures > 1
                patience.pause(failures, getattr(error, "wait", None))

    def _receive(self, offer: Offer, stream: BinaryIO) -> None:
        start = self._digest.count
        with self._network.open(offer.file.address, offer.token, start=start) as answer:
            if start and answer.status_code != 206:
                self._restart(stream)  # it sends all of it again
                start = 0
            self._check_length(answer, start, offer)
            for piece in self._network.pieces(answer):
                left = self._file.size - self._digest.count
                if len(piece) > left:  # it has grown since it was listed
                    raise NetworkError(f"{offer.source} sends more of {self._file.path} than it lists.")
                stream.write(piece)
                self._digest.add(piece)
                self._tell(self._digest.count)
        if self._digest.count < self._file.size:
            raise NetworkError(f"{offer.source}: cut after {self._digest.count:,} of {self._file.size:,} bytes.")

    def _check_length(self, answer: requests.Response, start: int, offer: Offer) -> None:
        """Before anything is written: a login page has another length, and a wrong range another beginning."""
        if start:
            found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start or found[3] not in ("*", str(self._file.size)):
                raise RangeError(f"{offer.source} answers with other bytes of {self._file.path} than were asked for.")
        length = answer.headers.get("Content-Length", "")
        encoded = answer.headers.get("Content-Encoding", "identity") not in ("", "identity")
        if length.isdigit() and not encoded and int(length) != self._file.size - start:
            kind = answer.headers.get("Content-Type", "")
            page = ": a login page may stand between" if "html" in kind else ""
            raise NetworkError(
                f"{offer.source} sends {int(length):,} bytes for {self._file.path}, "
                f"where its listing says {self._file.size - start:,}{page}."
            )


def part_path(work: Path, file: HubFile) -> Path:
    """Where the part of a file lies: by its path, and by what it must become."""
    name = hashlib.sha256(file.path.encode()).hexdigest()[:12]
    wanted = (file.sha256 or file.git_sha1 or f"size{file.size}")[:24]
    return work / f"{name}-{wanted}.part"


def disk_problem(path: Path, error: OSError, needed: int) -> SftError:
    """An error of the disk, in words."""
    import errno
    import shutil

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return EnvironmentNotFitError(
            f"The disk of {path.parent.parent} is full: {tell_room(free, needed, 'this file')}.",
            "Free some room and start it again: it goes on where it was.",
        )
    return EnvironmentNotFitError(
        f"{path.parent.parent} cannot be written: {error.strerror or error}.", "Choose another folder: --to."
    )
