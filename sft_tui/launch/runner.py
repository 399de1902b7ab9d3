"""Where the runner lay once: jobs that were submitted to an earlier version and still wait name it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.argv = [str(here / "runtime" / "cpu") if word == str(here / "cpu") else word for word in sys.argv]
    runpy.run_path(str(here / "runtime" / "runner.py"), run_name="__main__")
