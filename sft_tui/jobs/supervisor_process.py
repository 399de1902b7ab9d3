"""A job's supervisor as a process: found without the job's record, and halted by a signal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from sft_tui.core.job import ProcessIdentity
from sft_tui.jobs.process import identify
from sft_tui.store.job_store import JobFolder


def find_supervisor(folder: JobFolder) -> Optional[ProcessIdentity]:
    """The process of this user that supervises the job by its command line; None where there is none here."""
    job = os.fsencode(str(folder.path))
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            is_ours = place.stat().st_uid == os.geteuid()
        except OSError:  # gone meanwhile
            continue
        if is_ours and b"_supervise" in words and job in words[words.index(b"_supervise") :]:
            return identify(int(place.name))
    return None


def is_halted(identity: Optional[ProcessIdentity]) -> bool:
    """That very process was stopped by SIGSTOP, or by a debugger, and does nothing until SIGCONT."""
    if identity is None:
        return False
    try:
        text = Path(f"/proc/{identity.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in ("T", "t") and identify(identity.pid) == identity
