"""What converting weights takes, against `cp` of the same bytes to the same disk, and against MindFormers' converter.

    python -m tests.benchmarks.convert [--gigabytes 0.5 2 6] [--runs 3] [--folder DIR] [--mindformers PYTHON]

Models are made by tests/golden/make_hf_llama.py (fp16; hidden 2048, 4 of 32 heads for keys and values, intermediate
5632, vocabulary 32000; 22 layers are the 2 GB, others by the number of layers). Timed is the whole command, from its
start to its end: `sft-tui convert-weight`, which syncs what it writes, and `cp FILE COPY && sync COPY`, each writing a
new file, in turn, with the source in the page cache; the median of the runs is shown. `of cp`: the time of cp for as
many bytes as the command writes (for --verify: as the .ckpt has), divided by the time of the command; `of cp, source`:
the same with cp of the source. Peak memory is the VmHWM of the process. `--mindformers` is a Python with MindFormers
and torch: its convert_pt_to_ms makes the same fp16 .ckpt of the 2 GB, sync follows, and both results are compared.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from sft_tui.checkpoint.manifest import load_manifest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
BYTES_OF_EMBEDDINGS, BYTES_OF_A_LAYER = 262_148_096, 88_088_576
WORDS = ("--hidden", "2048", "--heads", "32", "--kv-heads", "4", "--intermediate", "5632", "--vocab", "32000")
WITH_PEAK = """
import sys
code = 0
{run}
with open("/proc/self/status") as status:
    print("peak", next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""
OURS = "from sft_tui.cli import run_command\ncode = run_command(sys.argv[1:])"
THEIRS = """
import mindspore
from mindformers.models.llama.convert_weight import convert_pt_to_ms
convert_pt_to_ms(sys.argv[1], sys.argv[2], dtype=mindspore.float16)
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of a command, and its peak memory in bytes."""

    seconds: float
    peak: int


def run_python(python: str, run: str, *arguments: object, sync: Optional[Path] = None) -> Measured:
    """Run Python code in a process of its own, and sync a file after it; what it prints is shown only when it fails."""
    command = [python, "-c", WITH_PEAK.format(run=run), *map(str, arguments)]
    started = time.monotonic()
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if sync and sync.exists():
        subprocess.run(["sync", str(sync)], check=True)
    seconds = time.monotonic() - started
    peak = re.search(r"^peak (\d+)$", result.stderr, re.MULTILINE)
    if result.returncode != 0 or peak is None:
        raise SystemExit(f"{command[3:]} failed:\n{result.stdout}{result.stderr}")
    return Measured(seconds, int(peak[1]) * 1024)


def sft(*arguments: object) -> Measured:
    return run_python(sys.executable, OURS, "convert-weight", *arguments)


def copy_file(source: Path, target: Path) -> float:
    """Seconds of cp and sync, to a new file that is then removed."""
    started = time.monotonic()
    subprocess.run(["cp", str(source), str(target)], check=True)
    subprocess.run(["sync", str(target)], check=True)
    seconds = time.monotonic() - started
    target.unlink()
    return seconds


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_model(folder: Path, gigabytes: float) -> Path:
    layers = max(1, round((gigabytes * 1.1e9 - BYTES_OF_EMBEDDINGS) / BYTES_OF_A_LAYER))
    command = [sys.executable, str(GOLDEN / "make_hf_llama.py"), str(folder), *WORDS, "--layers", str(layers)]
    subprocess.run(command, check=True)
    return folder


def median_run(runs: List[Measured]) -> Measured:
    """The median of the seconds, and the worst of the peaks."""
    return Measured(statistics.median(run.seconds for run in runs), max(run.peak for run in runs))


def measure_size(work: Path, hf_dir: Path, runs: int) -> List[Tuple[str, float, float, float, Measured]]:
    """Rows: name, gigabytes written, seconds of cp for them, seconds of cp for the source, the command."""
    source, kept, output, back = hf_dir / "model.safetensors", work / "kept.ckpt", work / "out.ckpt", work / "back"
    bins = work / "bin"
    subprocess.run([sys.executable, str(GOLDEN / "make_bin.py"), str(hf_dir), str(bins)], check=True)
    sft("--input_path", hf_dir, "--output_path", kept, "--dtype", "keep")
    same = ("--input_path", hf_dir, "--output_path", kept, "--dtype", "keep", "--reuse", "--verify")
    convert: Dict[str, Callable[[], Measured]] = {
        "keep": lambda: sft("--input_path", hf_dir, "--output_path", output, "--dtype", "keep"),
        "fp32": lambda: sft("--input_path", hf_dir, "--output_path", output, "--dtype", "fp32"),
        "bf16": lambda: sft("--input_path", hf_dir, "--output_path", output, "--dtype", "bf16"),
        ".bin, keep": lambda: sft("--input_path", bins, "--output_path", output, "--dtype", "keep"),
        "--reversed": lambda: sft("--reversed", "--input_path", kept, "--output_path", back),
        "--verify alone": lambda: sft(*same),
    }
    rows = []
    for name, command in convert.items():
        copies, originals, commands, size = [], [], [], kept.stat().st_size
        for _ in range(runs):
            commands.append(command())
            originals.append(copy_file(source, work / "copy"))
            if output.exists() and output.stat().st_size > 1.5 * source.stat().st_size:
                size = output.stat().st_size
                copies.append(copy_file(output, work / "copy"))
            else:
                copies.append(originals[-1])
            remove(output)
            remove(back)
        row = (statistics.median(copies), statistics.median(originals), median_run(commands))
        rows.append((name, size / 1e9, *row))
    return rows


def show(gigabytes: float, rows: List[Tuple[str, float, float, float, Measured]]) -> None:
    print(f"\n{gigabytes:.2f} GB of fp16 weights")
    print("| | GB written | seconds | cp | of cp | of cp, source | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for name, written, copy, original, measured in rows:
        print(
            f"| {name} | {written:.2f} | {measured.seconds:.2f} | {copy:.2f} | {copy / measured.seconds:.2f} "
            f"| {original / measured.seconds:.2f} | {measured.peak / 1e6:.0f} MB |",
            flush=True,
        )


def compare_with_mindformers(python: str, work: Path, hf_dir: Path, runs: int) -> None:
    """Convert with both in turn, and see that the results are the same tensors."""
    ours, theirs = work / "ours.ckpt", work / "theirs.ckpt"
    all_mine, all_others = [], []
    for _ in range(runs):
        remove(ours)
        remove(theirs)
        all_others.append(run_python(python, THEIRS, hf_dir, theirs, sync=theirs))
        all_mine.append(sft("--input_path", hf_dir, "--output_path", ours, "--dtype", "fp16"))
    mine, other = median_run(all_mine), median_run(all_others)
    shutil.copy(f"{ours}.json", f"{theirs}.json")
    check = (
        "from pathlib import Path\nfrom sft_tui.checkpoint.verify import verify_weight\n"
        "code = 0 if verify_weight(Path(sys.argv[1]), Path(sys.argv[2]), family='llama', dtype='fp16').ok else 1"
    )
    run_python(sys.executable, check, hf_dir, theirs)
    count = len(json.loads(json.dumps(load_manifest(ours)))["tensors"])
    print(
        f"\nMindFormers' convert_pt_to_ms, fp16: {other.seconds:.1f} s, {other.peak / 1e6:,.0f} MB; sft-tui: "
        f"{mine.seconds:.1f} s, {mine.peak / 1e6:.0f} MB; {other.seconds / mine.seconds:.1f} times faster, "
        f"{other.peak / mine.peak:.0f} times less memory; the same {count} tensors, bit for bit"
    )
    remove(ours)
    remove(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 2, 6])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    parser.add_argument("--mindformers", default="", metavar="PYTHON")
    arguments = parser.parse_args()
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            work = Path(folder)
            hf_dir = make_model(work / "hf", gigabytes)
            show((hf_dir / "model.safetensors").stat().st_size / 1e9, measure_size(work, hf_dir, arguments.runs))
            if arguments.mindformers and 1.5 < gigabytes < 4:
                compare_with_mindformers(arguments.mindformers, work, hf_dir, arguments.runs)


if __name__ == "__main__":
    main()
