"""Checkpoint folders to convert: the golden model, and small ones made to measure."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import pytest

from sft_tui.checkpoint.formats.ckpt_read import load_ckpt_entries

GOLDEN = Path(__file__).parents[1] / "golden"
Tensors = Dict[str, Tuple[str, Sequence[int], bytes]]


@pytest.fixture
def golden() -> Path:
    return GOLDEN


def _maker(script: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs a script of tests/golden once for the same words; a test that changes the folder makes a copy."""
    made: Dict[Tuple[str, ...], Path] = {}

    def make(*arguments: str) -> Path:
        if arguments not in made:
            made[arguments] = tmp_path_factory.mktemp("hf")
            subprocess.run([sys.executable, str(GOLDEN / script), str(made[arguments]), *arguments], check=True)
        return made[arguments]

    return make


@pytest.fixture(scope="session")
def make_hf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_hf("--dtype", "bf16", ...) gives a folder that make_hf_llama.py wrote; to change it, ask for `hf_dir`."""
    return _maker("make_hf_llama.py", tmp_path_factory)


@pytest.fixture(scope="session")
def make_hf_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_hf_family("gpt2", "--prefix") gives a folder that make_hf_family.py wrote."""
    return _maker("make_hf_family.py", tmp_path_factory)


@pytest.fixture
def described() -> Callable[[Path], List[Dict[str, object]]]:
    """described(ckpt) gives the parameters of a `.ckpt` as the golden files list them."""

    def describe(path: Path) -> List[Dict[str, object]]:
        data = path.read_bytes()
        return [
            {
                "name": entry.name,
                "dims": list(entry.dims),
                "tensor_type": entry.tensor_type,
                "sha256": hashlib.sha256(
                    b"".join(data[part.offset : part.offset + part.nbytes] for part in entry.segments)
                ).hexdigest(),
            }
            for entry in load_ckpt_entries(path)
        ]

    return describe


@pytest.fixture
def hf_dir(make_hf: Callable[..., Path], tmp_path: Path) -> Path:
    """A two-shard fp16 Llama of the test's own."""
    folder = tmp_path / "hf"
    folder.mkdir()
    for file in make_hf("--shards", "2").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def write_safetensors() -> Callable[..., Path]:
    """write_safetensors(path, {name: (dtype, shape, bytes)}, header={...}) writes a file, by default a sound one."""

    def write(path: Path, tensors: Tensors, header: Optional[Dict[str, object]] = None, length: int = -1) -> Path:
        described: Dict[str, object] = {}
        at = 0
        for name, (dtype, shape, data) in tensors.items():
            described[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
            at += len(data)
        raw = json.dumps(described if header is None else header).encode()
        body = b"".join(data for _, _, data in tensors.values())
        path.write_bytes(struct.pack("<Q", len(raw) if length < 0 else length) + raw + body)
        return path

    return write


@pytest.fixture
def read_tensors() -> Callable[[Path], Tensors]:
    """read_tensors(folder) gives what write_safetensors takes, in the order of the file model.safetensors."""

    def read(folder: Path) -> Tensors:
        data = (folder / "model.safetensors").read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        return {
            name: (
                item["dtype"],
                item["shape"],
                data[start + item["data_offsets"][0] : start + item["data_offsets"][1]],
            )
            for name, item in header.items()
        }

    return read


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """edit_json(path, key=value, ...) sets keys of a JSON file; None removes a key."""

    def edit(path: Path, **changes: object) -> None:
        data = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))

    return edit


@pytest.fixture
def as_bin() -> Callable[..., Path]:
    """as_bin(safetensors_folder, new_folder, shards=2) writes the same model as PyTorch `.bin`."""

    def write(folder: Path, out: Path, shards: int = 1) -> Path:
        command = [sys.executable, str(GOLDEN / "make_bin.py"), str(folder), str(out), "--shards", str(shards)]
        subprocess.run(command, check=True)
        return out

    return write


@pytest.fixture
def fake_stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A Python whose installed distributions have the given versions (metadata only), with an msrun beside it."""

    def make(**versions: str) -> Path:
        folder = tmp_path_factory.mktemp("stack")
        for name, version in {
            "sentencepiece": "0.2",
            "numpy": "1.26",
            **versions,
        }.items():
            information = folder / f"{name}-{version}.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "msrun").touch()
        path = folder / "python"
        path.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} -S "$@"\n')
        path.chmod(0o755)
        return path

    return make
