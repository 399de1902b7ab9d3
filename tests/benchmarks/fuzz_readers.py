"""Feeds the readers of weights and of data with spoilt files and counts what is not a clear refusal.

    python -m tests.benchmarks.fuzz_readers [--inputs 350000] [--seed 1] [--only .csv,.parquet]

Sound files are truncated, bytes and numbers in them changed, their headers and pickles put together from the words of
the format, values in JSON replaced by odd ones. A reader may give tensors that lie inside the file, records and
BadRecords, or raise InvalidInputError; all else is a traceback. Exit code 1 if there is one, or if reading one kind
ever took more than 200 MB. The inputs are shared out evenly among the kinds of file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries
from sft_tui.checkpoint.formats.ckpt_write import plan_tensor
from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.checkpoint.formats.torch_bin import load_bin
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from tests.unit.dataset.fuzz_data import DATA, read_data

GOLDEN = Path(__file__).parents[1] / "golden"
MEMORY_LIMIT_MB = 200
INTERESTING = (0, 1, 2, 7, 8, *(2**bits + more for bits in (7, 8, 15, 16, 31, 32, 62, 63) for more in (-1, 0)))
PICKLE_WORDS = [
    *(bytes([code]) for code in (*b"(.]}NKXMJQRbstuahqrj)0123FGILSTUVcdeilop", *range(0x80, 0x99))),
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"cos\nsystem\n",
    b"ctorch\nHalfStorage\n", b"X\x07\x00\x00\x00storage", b"X\x03\x00\x00\x00cpu", b"X\x01\x00\x00\x000", b"K\x04",
    b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff", b"I99999999999999999999\n", b"X\xff\xff\xff\x7f",
    b"\x8d" + b"\xff" * 8,
]  # fmt: skip
Make = Callable[[random.Random], bytes]


def spoil(chance: random.Random, data: bytes) -> bytes:
    """Some bytes or numbers changed, a stretch doubled or dropped, or the end cut off."""
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(spoilt) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            spoilt[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            width = chance.choice((1, 2, 4, 8))
            spoilt[at : at + width] = (chance.choice(INTERESTING) % 256**width).to_bytes(width, "little")
        elif kind == 2:
            spoilt[at : at + chance.randrange(20)] = b""
        elif kind == 3:
            spoilt[at:at] = spoilt[at : at + chance.randrange(40)]
        elif chance.random() < 0.3:
            del spoilt[at:]
        if not spoilt:
            break
    return bytes(spoilt)


def any_json(chance: random.Random, depth: int = 0) -> object:
    """A value out of the words of a safetensors header."""
    plain = [None, True, -1, 1.5, 1e300, "F16", "F32", "BF16", "w", "\0", "é", [0, 4], [4, 0], [], {}]
    kind = chance.randrange(4 if depth < 3 else 1)
    if kind == 0:
        return chance.choice([*plain, *INTERESTING])
    if kind == 1:
        return [any_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = ["dtype", "shape", "data_offsets", "__metadata__", "a", "b"]
    return {chance.choice(names): any_json(chance, depth + 1) for _ in range(chance.randrange(4))}


def safetensors(chance: random.Random) -> bytes:
    header: Dict[str, object] = {
        "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [12, 20]},
    }
    kind = chance.randrange(4)
    if kind == 0:
        described = dict(header["a"])  # type: ignore[call-overload]
        described[chance.choice(["dtype", "shape", "data_offsets"])] = any_json(chance)
        header[chance.choice(["a", "b", "c"])] = described
    elif kind == 1:
        header[chance.choice(["a", "__metadata__", "x" * 300])] = any_json(chance)
    raw = json.dumps(header).encode()
    if kind == 2:
        raw = spoil(chance, raw)
    data = struct.pack("<Q", len(raw)) + raw + bytes(20)
    return spoil(chance, data) if kind == 3 else data


def zipped(chance: random.Random, payload: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(chance.choice(["a/data.pkl", "a/data.pkl", "data.pkl"]), payload)
        archive.writestr("a/data/0", bytes(192))
        if chance.random() < 0.2:
            archive.writestr("a/byteorder", chance.choice([b"little", b"big", b""]))
    return out.getvalue()


def torch_bin(chance: random.Random, sound: bytes, pickled: bytes) -> bytes:
    kind = chance.randrange(3)
    if kind == 0:
        return spoil(chance, sound)
    if kind == 1:
        return zipped(chance, spoil(chance, pickled))
    words = [chance.choice(PICKLE_WORDS) for _ in range(chance.randrange(60))]
    return zipped(chance, b"\x80\x02" + b"".join(words) + chance.choice([b".", b""]))


def ckpt(chance: random.Random) -> bytes:
    raw = b""
    for name, dims, kind, size in (("w", (2, 3), "Float16", 12), ("global_step", (), "Int32", 4)):
        for plan in plan_tensor(name, dims, kind, size, 0):
            raw += plan.header + bytes(plan.nbytes)
    return spoil(chance, raw)


def peak_mb() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def forget_peak() -> None:
    """Let the peak count anew; where the system does not allow it, peaks are those since the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def all_readers() -> List[Tuple[str, Make, Callable[[Path], List[object]]]]:
    sound = (GOLDEN / "torch_2.13.bin").read_bytes()
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        pickled = archive.read("torch_2.13/data.pkl")
    readers: List[Tuple[str, Make, Callable[[Path], List[object]]]] = [
        (".safetensors", safetensors, load_header),  # type: ignore[list-item]
        (".bin", lambda chance: torch_bin(chance, sound, pickled), load_bin),  # type: ignore[list-item]
        (".ckpt", ckpt, load_ckpt_entries),  # type: ignore[list-item]
    ]
    readers += [(name, lambda chance, make=make: make(chance, spoil), read_data) for name, make in DATA]  # type: ignore[misc]
    return readers


def feed(
    file: Path, make: Make, read: Callable[[Path], List[object]], chance: random.Random, count: int
) -> Tuple[int, int, float]:
    """How many of `count` inputs were read, how many ended in a traceback, and the seconds that the slowest took."""
    accepted, broken, slowest = 0, 0, 0.0
    for _ in range(count):
        data = make(chance)
        file.write_bytes(data)
        begun = time.monotonic()
        try:
            entries = read(file)
            if any(end > len(data) for end in ends(entries)):
                raise AssertionError("a tensor outside the file")
            accepted += 1
        except (InvalidInputError, EnvironmentNotFitError):  # the latter: pyarrow 19.0.0 is to blame
            pass
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            broken += 1
            traceback.print_exc()
            print(repr(data), file=sys.stderr)
        slowest = max(slowest, time.monotonic() - begun)
    return accepted, broken, slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=350_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="KIND,...")
    arguments = parser.parse_args()
    only = arguments.only.split(",") if arguments.only else []
    readers = [reader for reader in all_readers() if not only or reader[0] in only]
    count, all_broken, highest = arguments.inputs // max(1, len(readers)), 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, make, read in readers:
            forget_peak()
            started = time.monotonic()
            # each kind sees the same inputs, whichever others run
            chance = random.Random(f"{arguments.seed} {name}")
            accepted, broken, slowest = feed(Path(folder) / f"fuzz{name}", make, read, chance, count)
            peak = peak_mb()
            print(
                f"{name}: {count:,} inputs, {accepted:,} read, {count - accepted - broken:,} refused, "
                f"{time.monotonic() - started:.0f} s, slowest {slowest:.2f} s, peak memory {peak:.0f} MB",
                flush=True,
            )
            all_broken, highest = all_broken + broken, max(highest, peak)
    print(f"tracebacks: {all_broken}, peak memory {highest:.0f} MB")
    return 1 if all_broken or highest > MEMORY_LIMIT_MB else 0


def ends(entries: List[object]) -> List[int]:
    """Where tensors end in the file."""
    found = []
    for entry in entries:
        for part in getattr(entry, "segments", (entry,)):
            found.append(part.offset + part.nbytes)
    return found


if __name__ == "__main__":
    sys.exit(main())
