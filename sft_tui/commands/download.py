"""download: a model or a data set from a hub into a folder, checked and resumable."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands._common.report import ProgressReport, print_json, say, warn
from sft_tui.core.terminal_text import short_duration, short_size
from sft_tui.errors import InvalidInputError, SftError

if TYPE_CHECKING:
    from sft_tui.hub.download import Found, Request
    from sft_tui.hub.listing import HubFile
    from sft_tui.hub.verify import Checked


class NotWholeError(SftError):
    """Files of a folder are missing, or are not what they should be."""


def download(arguments: argparse.Namespace) -> int:
    """`sft-tui download`."""
    if arguments.verify:
        return _verify(arguments)
    if not arguments.repo:
        raise InvalidInputError("Name what to download: ORG/NAME.", "For example Qwen/Qwen2.5-0.5B-Instruct.")
    from sft_tui.hub import download as hub

    request = _request(arguments)
    found = hub.find(request)
    if arguments.print_urls:
        _print_urls(found)
        return 0
    if arguments.dry_run:
        return _tell_plan(arguments, request, found)
    for note in (*found.choice.warnings, *_notes(found)):
        warn(f"note: {note}")
    with ProgressReport("download") as report:
        done = hub.download(request, found, report)
    shown = {**_described(found), "target": str(request.target), "fetched": done.fetched, "from_cache": done.from_cache,
             "kept": done.kept, "bytes_fetched": done.bytes_fetched, "seconds": round(done.seconds, 3)}  # fmt: skip
    if arguments.json:
        print_json(shown)
        return 0
    rate = f", {short_size(done.bytes_fetched / max(done.seconds, 1e-3))}/s" if done.bytes_fetched else ""
    counts = [
        (done.fetched, "fetched"),
        (done.from_cache, "from a cache of this machine"),
        (done.kept, "there already"),
    ]
    words = ", ".join(f"{count} {what}" for count, what in counts if count)
    whole = f"{len(done.files)} files, {short_size(found.choice.size)}"
    say(f"{request.target}: {whole}: {words} ({short_duration(done.seconds)}{rate})")
    say(f"from {found.listing.source}, {found.listing.pin}; every checksum is that of the listing")
    return 0


def _request(arguments: argparse.Namespace) -> Request:
    from sft_tui.hub.download import Request, check_repo
    from sft_tui.hub.network import Patience

    check_repo(arguments.repo)
    if arguments.stall <= 0 or arguments.timeout < 0:
        raise InvalidInputError("--stall and --timeout are seconds, above 0.", "Leave them out for the usual ones.")
    deadline = time.monotonic() + arguments.timeout if arguments.timeout else None
    patience = Patience(stall_seconds=arguments.stall, window_seconds=max(arguments.stall, 1.0), deadline=deadline)
    if arguments.tries:
        patience.tries = arguments.tries
    target = Path(arguments.to) if arguments.to else Path(arguments.repo.partition("/")[2])
    if arguments.from_folder and not Path(arguments.from_folder).is_dir():
        raise InvalidInputError(f"{arguments.from_folder} is no folder.", "Name the folder with what was brought.")
    return Request(
        arguments.repo, target, "dataset" if arguments.dataset else "model", arguments.source, arguments.revision,
        tuple(arguments.files or ()), arguments.token_env, arguments.force,
        Path(arguments.from_folder) if arguments.from_folder else None, patience,
    )  # fmt: skip


def _described(found: Found) -> dict[str, object]:
    listing = found.listing
    return {
        "repo": listing.repo, "kind": listing.kind, "source": listing.source, "revision": listing.revision,
        "pin": listing.pin, "licence": listing.licence, "page": listing.page, "size": found.choice.size,
        "files": [_file(file) for file in found.choice.files],
        "left_out": len(listing.files) - len(found.choice.files), "warnings": list(found.choice.warnings),
    }  # fmt: skip


def _file(file: HubFile) -> dict[str, object]:
    return {"path": file.path, "size": file.size, "sha256": file.sha256, "git_sha1": file.git_sha1}


def _notes(found: Found) -> list[str]:
    without = [file.path for file in found.choice.files if not file.digest]
    some = ", ".join(without[:3])
    return [f"{found.listing.source} gives no checksum of {some}: their size alone is checked."] if without else []


def _tell_plan(arguments: argparse.Namespace, request: Request, found: Found) -> int:
    """What would be fetched, and whether there is room for it and for what a training makes of it."""
    there = request.target
    while not there.exists():
        there = there.absolute().parent
    free = shutil.disk_usage(there).free
    # converted weights, and checkpoints of a training with the moments of its optimizer in float32
    weights = sum(file.size for file in found.choice.files if file.path.endswith((".safetensors", ".bin")))
    later = 2 * weights + 6 * weights if request.kind == "model" else 0
    if arguments.json:
        print_json({**_described(found), "target": str(request.target), "free": free, "later": later})
        return 0
    listing = found.listing
    say(f"{listing.repo} at {listing.source}, {listing.pin}")
    for file in found.choice.files:
        say(f"  {short_size(file.size):>10}  {file.path}{'' if file.digest else '  (no checksum)'}")
    for note in (*found.choice.left_out, *found.choice.warnings):
        say(f"  {note}")
    say(f"{len(found.choice.files)} files, {short_size(found.choice.size)}; {short_size(free)} are free at {there}")
    if later:
        say(f"conversion and the checkpoints of a full training take about {short_size(later)} more")
    if listing.licence:
        say(f"licence: {listing.licence} ({listing.page})")
    if free < found.choice.size:
        warn("warning: there is no room for it")
    return 0


def _print_urls(found: Found) -> None:
    """What aria2c -i takes; a token is not among it."""
    for file in found.choice.files:
        say(file.address)
        say(f"  out={file.path}")
        if file.sha256:
            say(f"  checksum=sha-256={file.sha256}")
        elif not file.digest:
            say(f"  # {file.size} bytes")


def _verify(arguments: argparse.Namespace) -> int:
    """A folder against what the download left in it, or against the hub where a repository is named."""
    from sft_tui.hub import download as hub
    from sft_tui.hub.manifest import NAME, load_listing
    from sft_tui.hub.verify import verify_folder

    if not arguments.to and not arguments.repo:
        raise InvalidInputError(
            "Name the folder to check: --verify --to DIR.", "With ORG/NAME it is asked for at the hub."
        )
    folder = Path(arguments.to) if arguments.to else Path(arguments.repo.partition("/")[2])
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is no folder.", "Name the folder of the download: --to DIR.")
    if arguments.repo:
        found = hub.find(_request(arguments))
        files, source = found.choice.files, found.listing.source
    elif (folder / NAME).is_file():
        listing = load_listing(folder)
        files, source = tuple(listing.files.values()), f"the listing of {listing.source} in it"
    else:
        raise InvalidInputError(
            f"{folder} has no listing of a download.", "Name what it should be: ORG/NAME --verify --to DIR."
        )
    with ProgressReport("verify") as report:
        checked = verify_folder(folder, files, report)
    bad = [item for item in checked if item.state in ("missing", "differs")]
    if arguments.json:
        print_json({"folder": str(folder), "ok": not bad, "files": [vars(item) for item in checked]})
        return 1 if bad else 0
    if bad:
        raise NotWholeError(f"{folder} is not whole: {_words(bad)}.", "Download it again: what is whole stays.")
    unchecked = sum(item.state == "not checked" for item in checked)
    more = f", {unchecked} by their size alone" if unchecked else ""
    say(f"{folder} is whole: {len(checked)} files as {source} has them{more}")
    return 0


def _words(bad: list[Checked]) -> str:
    words = [f"{item.path} {'is missing' if item.state == 'missing' else 'differs'}" for item in bad[:5]]
    return ", ".join([*words, f"{len(bad) - 5} more"] if len(bad) > 5 else words)
