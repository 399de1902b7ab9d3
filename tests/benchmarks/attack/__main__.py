"""Attacks at random moments: `python -m tests.benchmarks.attack [PART ...] [--seed N] [--rounds N]`.

Each module beside this one, but for `frame`, is a part: it has `attack(frame)`. A table tells what was tried, and how
often it held; the exit code is 1 where something did not.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from pathlib import Path

from tests.benchmarks.attack.frame import Frame


def find_parts() -> list[str]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    return [name for name in names if name not in ("frame", "wizard_in_pty", "__main__", "__init__")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attack", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(find_parts())} (default: all)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rounds", type=int, default=20, help="of each part")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(find_parts()):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    print(f"seed {arguments.seed}, {arguments.rounds} rounds", flush=True)
    held = True
    for name in arguments.parts or find_parts():
        with Frame(name, arguments.seed, arguments.rounds) as frame:
            importlib.import_module(f"tests.benchmarks.attack.{name}").attack(frame)
        print(frame.table(), flush=True)
        held = held and frame.all_held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
