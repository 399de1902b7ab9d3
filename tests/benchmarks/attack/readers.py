"""Readers of models, tokenizers and data: files that are spoilt, cut, swapped, or no files at all."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

from sft_tui.cli import run_command
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from tests.benchmarks.attack.frame import Frame

GOLDEN = Path(__file__).parents[2] / "golden"
SECONDS = 20.0
COMMANDS = {
    "inspect": ("inspect", "{model}"),
    "convert-weight": ("convert-weight", "--model", "llama", "--input_path", "{model}", "--output_path", "{out}.ckpt"),
    "convert-alpaca": ("convert-alpaca", "--data_path", "{model}/data.json", "--output_path", "{out}.json"),
    "audit": ("audit", "{model}/data.json", "--model_file", "{model}", "--template", "chat", "--seq_length", "64"),
}


def attack(frame: Frame) -> None:
    sound = frame.folder / "sound"
    write_toy_qwen3(sound, tied=True)
    shutil.copy(GOLDEN / "alpaca_tricky.json", sound / "data.json")
    names = sorted(path.name for path in sound.iterdir())
    for number in range(frame.rounds):
        model = frame.folder / f"model-{number}"
        shutil.copytree(sound, model)
        name = frame.chance.choice(names)
        how = _spoil(frame, model / name, model / frame.chance.choice(names))
        for command, words in COMMANDS.items():
            argv = [word.format(model=model, out=frame.folder / "out") for word in words]
            with frame.trial(command, SECONDS, f"{name} {how}"):
                said = io.StringIO()
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                    code = run_command(argv)
                assert code in (0, 2, 4), (code, said.getvalue()[-300:])
                assert "unexpected" not in said.getvalue(), said.getvalue()[-300:]
        shutil.rmtree(model)


def _spoil(frame: Frame, path: Path, other: Path) -> str:
    """Spoil a file; how."""
    chance, data = frame.chance, bytearray(path.read_bytes())
    how = chance.choice(("bytes", "cut", "another's", "FIFO", "device", "folder", "huge", "empty", "a number"))
    path.unlink()
    if how == "FIFO":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "folder":
        path.mkdir()
    elif how == "huge":
        with path.open("wb") as stream:
            stream.write(data)
            stream.truncate(5 * 2**30)
    elif how == "another's":
        shutil.copy(other, path) if other != path else path.touch()
    else:
        if how == "bytes":
            for _ in range(20):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif how == "cut":
            del data[chance.randrange(len(data)) :]
        elif how == "empty":
            data.clear()
        else:  # one that a text states: 10^9 in its place
            digits = [place for place, byte in enumerate(data[:5000]) if chr(byte).isdigit()]
            if digits:
                place = chance.choice(digits)
                data[place : place + 1] = b"1000000000"
        path.write_bytes(data)
    return how
