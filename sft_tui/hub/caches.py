"""Finds files of a listing that the hubs' own tools have downloaded before.

Hugging Face and openMind keep contents by digest below `models--ORG--NAME/blobs`; ModelScope keeps plain folders, in
two layouts (`.` of a name is `___` in the older one).
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Iterator, Optional

from sft_tui.hub.digest import is_same
from sft_tui.hub.listing import HubFile, Kind
from sft_tui.paths import variable

_LINKED = (".safetensors", ".bin")
_LINKED_FROM = 10 << 20  # bytes


def find_cached(file: HubFile, repo: str, kind: Kind) -> Optional[Path]:
    """A local file with the very size and digest; None where there is none, or the hub tells no digest."""
    if not file.digest:
        return None
    for root in _roots(repo, kind):
        for path in _candidates(root, file):
            try:
                real = path.resolve(strict=True)
                if stat.S_ISREG(real.stat().st_mode) and is_same(real, file):
                    return real
            except (OSError, RuntimeError):
                continue
    return None


def take(source: Path, part: Path) -> str:
    """Bring a cached file to `part`: "link" or "copy". Weights are linked on one disk; no link leads there by name.

    Raises OSError.
    """
    part.unlink(missing_ok=True)
    if source.suffix in _LINKED and source.stat().st_size >= _LINKED_FROM:
        try:
            os.link(source, part)
            return "link"
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copyfile(source, part)
    return "copy"


def _roots(repo: str, kind: Kind) -> Iterator[Path]:
    owner, _, name = repo.partition("/")
    flat = f"{kind}s--{owner}--{name}"
    cache = Path(variable("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(variable("HF_HOME") or str(cache / "huggingface")).expanduser()
    yield Path(variable("HF_HUB_CACHE") or variable("HUGGINGFACE_HUB_CACHE") or str(home / "hub")).expanduser() / flat
    yield cache / "openmind" / "hub" / flat
    scope = Path(variable("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()
    yield scope / f"{kind}s" / f"{owner}--{name}"
    for top in (scope, scope / "hub"):
        yield top / f"{kind}s" / owner / name.replace(".", "___")
        yield top / f"{kind}s" / owner / name
        yield top / owner / name.replace(".", "___")


def _candidates(root: Path, file: HubFile) -> Iterator[Path]:
    if not root.is_dir():
        return
    yield root / "blobs" / (file.sha256 or file.git_sha1)
    snapshots = root / "snapshots"
    if snapshots.is_dir():
        for snapshot in sorted(snapshots.iterdir()):
            yield snapshot / file.path
    yield root / file.path
