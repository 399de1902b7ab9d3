"""Downloads a repository into a folder: lists, chooses, transfers several files at once, checks, writes a manifest."""

from __future__ import annotations

import difflib
import re
import stat
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, SftError
from sft_tui.families.catalogue import CATALOGUE
from sft_tui.files.disk_room import check_room, refuse_kernel_folder
from sft_tui.files.whole_file import check_replaceable, sync_folder
from sft_tui.hub.caches import find_cached, take
from sft_tui.hub.choose import Choice, choose_files
from sft_tui.hub.digest import is_same
from sft_tui.hub.folder_lock import folder_lock
from sft_tui.hub.listing import HubFile, Kind, Listing
from sft_tui.hub.manifest import NAME, load_listing, save_listing
from sft_tui.hub.network import MissingError, Network, NetworkError, NoNetError, Patience, RefusedError, Token
from sft_tui.hub.sources import AUTO, Source, find_sources
from sft_tui.hub.transfer import Offer, Transfer, disk_problem, part_path

WORK = ".sft-tui-download"
AT_ONCE = 4
_TOLD_SECONDS = 0.2
_LISTING_TRIES = 3
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPO = re.compile(f"{_PART}/{_PART}")


@dataclass(frozen=True)
class Request:
    """What is wanted. `files` are patterns; empty: what training needs. `token_env` names a variable with the token.

    `brought` is a folder with files that came another way, and perhaps with the listing of a download.
    """

    repo: str
    target: Path
    kind: Kind = "model"
    source: str = AUTO
    revision: str = ""
    files: Tuple[str, ...] = ()
    token_env: str = ""
    force: bool = False
    brought: Optional[Path] = None
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Found:
    """What the sources have: the listing that counts, those that may stand in, and what is fetched of it."""

    listing: Listing
    choice: Choice
    tokens: Dict[str, Optional[Token]]
    others: Tuple[Listing, ...] = ()

    def offers(self, file: HubFile) -> List[Offer]:
        """The file itself, and the same content at other sources: only equal sha256 says that it is the same."""
        offers = [Offer(file, self.listing.source, self.tokens.get(self.listing.source))]
        for other in self.others:
            same = other.files.get(file.path)
            if same and file.sha256 and (same.sha256, same.size) == (file.sha256, file.size):
                offers.append(Offer(same, other.source, self.tokens.get(other.source)))
        return offers


@dataclass(frozen=True)
class Downloaded:
    """What was done: files that came from the net, from a cache of this machine, and that were there."""

    listing: Listing
    files: Tuple[HubFile, ...]
    fetched: int
    from_cache: int
    kept: int
    bytes_fetched: int
    seconds: float


def find(request: Request) -> Found:
    """Ask the sources and choose the files. Raises SftError; nothing is written."""
    check_repo(request.repo)
    if request.brought is not None and (request.brought / NAME).is_file():
        return _brought(request, request.brought)
    sources = find_sources(request.source)
    tokens = {source.base: source.find_token(request.token_env if len(sources) == 1 else "") for source in sources}
    patience = replace(request.patience, tries=min(request.patience.tries, _LISTING_TRIES))
    with ThreadPoolExecutor(max_workers=len(sources)) as pool:
        asked = [pool.submit(_list, source, tokens[source.base], request, patience) for source in sources]
    listings: List[Listing] = []
    errors: List[SftError] = []
    for future in asked:
        error = future.exception()
        if isinstance(error, SftError):
            errors.append(error)
        elif error is not None:
            raise error
        else:
            listings.append(future.result())
    if not listings:
        raise _nothing_found(request, sources, errors)
    return Found(listings[0], choose_files(listings[0], request.files), tokens, tuple(listings[1:]))


def _brought(request: Request, folder: Path) -> Found:
    """By the listing that a download elsewhere has left; nobody is asked. Raises InvalidInputError."""
    listing = load_listing(folder)
    if (listing.repo, listing.kind) != (request.repo, request.kind):
        raise InvalidInputError(f"{folder} has the {listing.kind} {listing.repo}.", "Name that one, or another folder.")
    if not request.files:  # what was chosen there
        return Found(listing, Choice(tuple(sorted(listing.files.values(), key=lambda file: file.path))), {})
    return Found(listing, choose_files(listing, request.files), {})


def check_repo(repo: str) -> None:
    """Raise InvalidInputError for what is no ORG/NAME."""
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise InvalidInputError(
            f"{repo!r} is no name of a repository.", f"Give ORG/NAME, as on the model's page.{_near(repo)}"
        )


def _list(source: Source, token: Optional[Token], request: Request, patience: Patience) -> Listing:
    network = Network(patience)
    try:
        return source.list_files(network, source.base, request.repo, request.kind, request.revision, token)
    finally:
        network.close()


def _nothing_found(request: Request, sources: Sequence[Source], errors: Sequence[SftError]) -> SftError:
    """One error of all: a refusal tells most, then what is missing, then the net."""
    for kind in (RefusedError, MissingError):
        found = next((error for error in errors if isinstance(error, kind)), None)
        if isinstance(found, RefusedError):
            page = f"{sources[0].base}/{'datasets/' if request.kind == 'dataset' else ''}{request.repo}"
            hint = (
                f"{found.hint} Accept the terms on {page} and give a token (HF_TOKEN, or --token-env NAME); some hubs "
                "answer so for a name that does not exist as well."
            )
            return RefusedError(found.message, hint)
        if found is not None:
            names = ", ".join(source.title for source in sources)
            at = f" at revision {request.revision}" if request.revision else ""
            return MissingError(
                f"{names}: there is no {request.kind} {request.repo}{at}.", f"Check the name.{_near(request.repo)}"
            )
    if len(errors) > 1 and all(isinstance(error, NetworkError) for error in errors):
        return NoNetError(
            f"No hub answers: {' '.join(error.message for error in errors)}",
            "Check the network; where there is a proxy, set HTTPS_PROXY. Or --print-urls on a machine that has a net.",
        )
    first = errors[0]
    return NoNetError(first.message, first.hint) if isinstance(first, NetworkError) else first


def _near(repo: str) -> str:
    known = [model.repo for _family, model in CATALOGUE]
    near = difflib.get_close_matches(repo, known, 3, 0.6)
    return f" Near to it: {', '.join(near)}." if near else ""


def download(request: Request, found: Found, progress: ProgressCallback = no_progress) -> Downloaded:
    """Fetch what was chosen. Raises SftError; what has come stays, and the next call goes on with it."""
    started, target = time.monotonic(), request.target
    refuse_kernel_folder(target)
    work = target / WORK
    try:
        if target.exists() and not target.is_dir():
            raise InvalidInputError(f"{target} is a file.", "Name a folder: --to.")
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_problem(work / "x", error, found.choice.size) from error
    with folder_lock(work, target):
        missing = [file for file in found.choice.files if not _is_there(target, file, force=request.force)]
        here = sum(min(file.size, _size(part_path(work, file))) for file in missing)
        check_room(target, sum(file.size for file in missing) - here, "the download")
        count = _Counter(found.choice, {file.path for file in missing}, progress)
        cached = _fetch_all(request, found, missing, work, count)
        save_listing(target, found.listing, found.choice.files)
        for left in work.glob("*.part"):
            left.unlink()
    _remove_empty(work)
    fetched = len(missing) - cached
    return Downloaded(
        found.listing, found.choice.files, fetched, cached, len(found.choice.files) - len(missing), count.received,
        time.monotonic() - started,
    )  # fmt: skip


def _is_there(target: Path, file: HubFile, *, force: bool) -> bool:
    """Raises InvalidInputError where something else has that name."""
    path = target / file.path
    top = target.resolve()
    parent = path.parent.resolve()
    if parent != top and top not in parent.parents:
        raise InvalidInputError(f"{path.parent} leads out of {target} by a link.", "Choose another folder: --to.")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EnvironmentNotFitError(
            f"{path} cannot be looked at: {error.strerror}.", "Choose another folder."
        ) from error
    if stat.S_ISREG(mode) and is_same(path, file):
        return True
    check_replaceable(path)
    if not force:
        raise InvalidInputError(
            f"{path} is there already, and is not that of the hub.", "Choose another folder, or replace it: --force."
        )
    return False


def _fetch_all(request: Request, found: Found, files: Sequence[HubFile], work: Path, count: _Counter) -> int:
    """How many came from a cache. Several at once, the largest first; the first error stops the others."""
    patience = request.patience
    cached = 0
    todo = sorted(files, key=lambda file: -file.size)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running: set[Future[bool]] = {pool.submit(_fetch, request, found, file, work, count) for file in todo}
        try:
            while running:
                done, running = wait(running, timeout=_TOLD_SECONDS, return_when=FIRST_COMPLETED)
                count.tell()
                cached += sum(future.result() for future in done)
        except BaseException:
            patience.stop.set()
            for future in running:
                future.cancel()
            raise
    return cached


def _fetch(request: Request, found: Found, file: HubFile, work: Path, count: _Counter) -> bool:
    request.patience.check()
    part, target = part_path(work, file), request.target / file.path
    source = _find_here(request, file)
    try:
        if source is not None:
            take(source, part)
            count.set(file.path, file.size, received=False)
        else:
            network = Network(request.patience)
            try:
                Transfer(found.offers(file), work, network, lambda done: count.set(file.path, done)).run()
            finally:
                network.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise disk_problem(part, error, file.size) from error
    return source is not None


def _find_here(request: Request, file: HubFile) -> Optional[Path]:
    if request.brought is not None:
        path = request.brought / file.path
        try:
            if path.is_file() and is_same(path, file):
                return path
        except OSError:
            return None
    return find_cached(file, request.repo, request.kind)


class _Counter:
    """Bytes that are here, of all files together."""

    def __init__(self, choice: Choice, missing: set[str], progress: ProgressCallback) -> None:
        self._done = {file.path: 0 if file.path in missing else file.size for file in choice.files}
        self._total, self._progress, self._lock = choice.size, progress, threading.Lock()
        self._files = len(self._done)
        self._sizes = {file.path: file.size for file in choice.files}
        self.received = 0

    def set(self, path: str, done: int, *, received: bool = True) -> None:
        with self._lock:
            grown = done - self._done[path]
            # what a resumed part brings at once did not come now
            if received and 0 < grown <= 1 << 20:
                self.received += grown
            self._done[path] = done

    def tell(self) -> None:
        with self._lock:
            whole = sum(1 for path, done in self._done.items() if done == self._sizes[path])
            done = sum(self._done.values())
        self._progress(Progress(done, self._total, "bytes", f"{whole} of {self._files} files"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove_empty(work: Path) -> None:
    try:
        work.rmdir()
    except OSError:  # another process has begun
        return
