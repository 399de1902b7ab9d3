"""convert-weight as a process: signals, full disks, memory; what it leaves, and how it exits."""

from __future__ import annotations

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries

GOLDEN = Path(__file__).parents[2] / "golden"
SLOWLY = """
import signal, sys, time
from sft_tui.checkpoint.copy import copy_tensors
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
copy_piece = copy_tensors._copy_piece
def slowly(*arguments):
    time.sleep(0.2)
    return copy_piece(*arguments)
copy_tensors._copy_piece = slowly
from sft_tui.cli import run_command
sys.exit(run_command(sys.argv[1:]))
"""
# getrusage would tell the peak of this process too, from before the exec
PEAK = """
import json, re, sys
from sft_tui.cli import run_command
code = run_command(sys.argv[1:])
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
print(json.dumps({"code": code, "peak": peak}))
"""


@pytest.fixture
def hf_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "hf"
    subprocess.run([sys.executable, str(GOLDEN / "make_hf_llama.py"), str(folder), "--shards", "2"], check=True)
    return folder


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start a slow conversion and wait until its hidden file is there."""
    command = [sys.executable, "-c", SLOWLY, "convert-weight", *map(str, arguments)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stderr is not None
    while "progress:" not in (line := child.stderr.readline()):
        assert line, "ended before it began to write"
    return child


def left(folder: Path) -> List[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_leaves_nothing_and_exits_with_3(hf_dir, tmp_path, number):
    child = begin("--input_path", hf_dir, "--output_path", tmp_path / "to" / "out.ckpt")
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 3
    assert "sft-tui: error: Stopped." in errors and "Traceback" not in errors
    assert left(tmp_path / "to") == []


def test_killed_it_leaves_a_hidden_file_that_the_next_run_removes(hf_dir, tmp_path, sft):
    output = tmp_path / "to" / "out.ckpt"
    child = begin("--input_path", hf_dir, "--output_path", output)
    child.kill()
    child.communicate()
    assert len(left(output.parent)) == 2 and all(name.endswith(".partial") for name in left(output.parent))
    result = sft("convert-weight", "--input_path", hf_dir, "--output_path", output, "--verify")
    assert result.returncode == 0, result.stderr
    assert left(output.parent) == ["out.ckpt", "out.ckpt.json"]


def test_two_at_once_do_not_harm_each_other(hf_dir, tmp_path, sft):
    output = tmp_path / "to" / "out.ckpt"
    child = begin("--input_path", hf_dir, "--output_path", output)
    assert sft("convert-weight", "--input_path", hf_dir, "--output_path", output).returncode == 0
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert left(output.parent) == ["out.ckpt", "out.ckpt.json"]
    assert len(load_ckpt_entries(output)) == 21


def test_killed_on_the_way_back_it_leaves_a_hidden_folder_that_the_next_run_removes(hf_dir, tmp_path, sft):
    ckpt, back = tmp_path / "a.ckpt", tmp_path / "to" / "back"
    assert sft("convert-weight", "--input_path", hf_dir, "--output_path", ckpt).returncode == 0
    child = begin("--reversed", "--input_path", ckpt, "--output_path", back)
    child.kill()
    child.communicate()
    assert [name.endswith(".partial") for name in left(back.parent)] == [True]
    result = sft("convert-weight", "--reversed", "--input_path", ckpt, "--output_path", back, "--verify")
    assert result.returncode == 0, result.stderr
    assert left(back.parent) == ["back"]


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_half_way_names_file_and_tensor(hf_dir, small_disk):
    child = begin("--input_path", hf_dir, "--output_path", small_disk / "out.ckpt", "--dtype", "fp32")
    with pytest.raises(OSError, match="No space"), open(small_disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert f"{small_disk / 'out.ckpt'} could not be written: No space left" in errors
    assert "Stopped in tensor 'model." in errors
    assert left(small_disk) == ["filler"]


def test_a_disk_that_is_too_small_is_noticed_before(hf_dir, small_disk, sft):
    (small_disk / "filler").write_bytes(bytes(900_000))
    result = sft("convert-weight", "--input_path", hf_dir, "--output_path", small_disk / "out.ckpt")
    assert result.returncode == 4
    assert "kB free; out.ckpt needs about 922.1 kB" in result.stderr
    assert left(small_disk) == ["filler"]


def peak_of(*arguments: object) -> int:
    """Peak memory in bytes of a command that must succeed or refuse its input."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["code"] in (0, 2), result.stderr
    return int(report["peak"])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders `hf` and `bin` of a model with tensors of 123 MB as fp32 and of 61 MB as fp16."""
    made: Dict[str, Path] = {}
    words = ["--hidden", "1024", "--intermediate", "2816", "--layers", "1", "--vocab", "30000", "--dtype"]

    def make(dtype: str) -> Path:
        if dtype not in made:
            folder = made[dtype] = tmp_path_factory.mktemp(dtype)
            source, bins = str(folder / "hf"), str(folder / "bin")
            subprocess.run([sys.executable, str(GOLDEN / "make_hf_llama.py"), source, *words, dtype], check=True)
            subprocess.run([sys.executable, str(GOLDEN / "make_bin.py"), source, bins], check=True)
        return made[dtype]

    return make


# from, kind of folder, to: each kind of each type, to a wider type, to another one and as it is
ALWAYS = {("fp32", "hf", "bf16"), ("fp32", "bin", "keep"), ("fp16", "hf", "fp32"), ("fp16", "bin", "fp32")}
CASTS = [
    pytest.param(*cast, marks=() if cast in ALWAYS else pytest.mark.nightly)
    for cast in itertools.product(("fp32", "fp16"), ("hf", "bin"), ("keep", "fp32", "fp16", "bf16"))
]


@pytest.mark.parametrize(("dtype", "kind", "target"), CASTS)
def test_memory_stays_below_100_mb_for_every_input_and_cast(large, tmp_path, dtype, kind, target):
    words = ["convert-weight", "--input_path", large(dtype) / kind, "--output_path", tmp_path / "out.ckpt"]
    assert peak_of(*words, "--dtype", target, "--verify") < 100_000_000


@pytest.mark.parametrize("dtype", ["fp32", pytest.param("fp16", marks=pytest.mark.nightly)])
def test_memory_stays_below_100_mb_on_the_way_back(large, tmp_path, dtype):
    words = ["convert-weight", "--input_path", large(dtype) / "hf", "--output_path", tmp_path / "out.ckpt"]
    assert peak_of(*words, "--dtype", "keep") < 100_000_000
    words = ["convert-weight", "--reversed", "--input_path", tmp_path / "out.ckpt", "--output_path", tmp_path / "b"]
    assert peak_of(*words, "--verify") < 100_000_000


def test_memory_stays_flat_for_turned_matrices(tmp_path):
    config = {"model_type": "gpt2", "n_embd": 2048, "n_layer": 1, "n_head": 16, "n_positions": 16, "vocab_size": 16}
    shapes = {"wte.weight": [16, 2048], "wpe.weight": [16, 2048], "ln_f.weight": [2048], "ln_f.bias": [2048]}
    for name, shape in (
        ("ln_1", [2048]),
        ("ln_2", [2048]),
        ("attn.c_attn", [2048, 6144]),
        ("attn.c_proj", [2048, 2048]),
        ("mlp.c_fc", [2048, 8192]),
        ("mlp.c_proj", [8192, 2048]),
    ):
        shapes[f"h.0.{name}.weight"], shapes[f"h.0.{name}.bias"] = shape, shape[-1:]
    source, at, header = tmp_path / "hf", 0, {}
    source.mkdir()
    (source / "config.json").write_text(json.dumps(config))
    for name, shape in shapes.items():
        end = at + 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with (source / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + at)
    ckpt = tmp_path / "out.ckpt"
    words = ["convert-weight", "--model", "gpt2", "--verify", "--force"]
    assert peak_of(*words, "--input_path", source, "--output_path", ckpt) < 100_000_000
    assert peak_of(*words, "--reversed", "--input_path", ckpt, "--output_path", tmp_path / "back") < 100_000_000


def test_a_header_of_100_mb_takes_little_memory(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    for header in (b" " * 100_000_000, b'{"a":[' + b"[]," * 5_000_000 + b"[]]}", b'{"a":"' + b"x" * 15_900_000 + b'"}'):
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        assert peak_of("inspect", folder) < 200_000_000


def test_a_pipe_a_device_and_a_folder_are_no_inputs(hf_dir, tmp_path, sft):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "nowhere"):
        started = time.monotonic()
        result = sft("convert-weight", "--reversed", "--input_path", path, "--output_path", tmp_path / "b")
        assert (result.returncode, time.monotonic() - started < 20) == (2, True)
    result = sft("convert-weight", "--reversed", "--input_path", hf_dir, "--output_path", tmp_path / "b")
    assert result.returncode == 2 and "Name the .ckpt file in it" in result.stderr
