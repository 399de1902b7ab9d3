"""Tracebacks go to a file; the user gets a sentence that names it."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path


def note_traceback(error: BaseException) -> Path:
    """Append the traceback of a defect of ours to the error log; returns the file."""
    try:
        from sft_tui.paths import error_log

        path = error_log()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except (OSError, ImportError):  # no home to write to, or a training interpreter without what tells where it is
        path = Path(tempfile.mkstemp(prefix="sft-tui-", suffix=".log")[1])
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    fields = {"msg": f"in {sys.argv[1:]}", "exc_info": (type(error), error, error.__traceback__)}
    handler.handle(logging.makeLogRecord(fields))
    handler.close()
    return path
