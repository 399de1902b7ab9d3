"""Writes the workspace of the rehearsal: a toy model, a data set, and the profile of that rehearsal."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from sft_tui.core.profile import default_data
from sft_tui.demo.records import Record, build_records
from sft_tui.errors import InvalidInputError

HELD_OUT_EVERY = 10
MARKER = ".sft-tui-demo"


def write_workspace(
    folder: Path, *, workers: int = 1, family: str = "llama", python: str = sys.executable
) -> dict[str, Any]:
    """Write what is not there yet; returns the data of the profile. Raises InvalidInputError for a foreign folder.

    Files that are there stay as they are, so that steps done before need not run again.
    """
    folder = folder.absolute()
    _claim(folder)
    records = build_records()
    held_out = records[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    train = [record for index, record in enumerate(records) if index % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    toy, data_dir, model_dir = TOYS[family], folder / "data", folder / f"toy-{family}"
    data_dir.mkdir(exist_ok=True)
    for path, part in ((data_dir / "alpaca_train.json", train), (data_dir / "alpaca_held_out.json", held_out)):
        if not path.is_file():
            path.write_text(json.dumps(part, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if not (model_dir / toy.last_file).is_file():
        toy.write(model_dir, train)
    return _profile_data(folder, workers, family, python)


def _claim(folder: Path) -> None:
    marker = folder / MARKER
    if folder.exists() and not marker.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError(
            f"{folder} is there already and is no rehearsal.", "Name another folder: sft-tui demo DIR"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("written by sft-tui demo\n", encoding="utf-8")


def tokenizer_texts(records: list[Record]) -> list[str]:
    """What the tokenizer is trained on: the prompts as training will see them."""
    from sft_tui.dataset.encode.prompt import build_prompt
    from sft_tui.dataset.read.alpaca import AlpacaRecord
    from sft_tui.dataset.read.conversation import build_conversation

    conversations = (
        build_conversation(AlpacaRecord(number, r["instruction"], r["input"], r["output"]))
        for number, r in enumerate(records, 1)
    )
    return [line for c in conversations for line in build_prompt(c, "vicuna_v1.1").splitlines() if line.strip()]


def _profile_data(folder: Path, workers: int, family: str, python: str) -> dict[str, Any]:
    toy = TOYS[family]
    work_dir = str(folder / toy.work)
    data = default_data(toy.profile, work_dir=work_dir, python=python, device_target="CPU")
    data["rehearsal"] = True
    data["model"].update(hf_dir=str(folder / f"toy-{family}"), family=toy.family or family)
    data["dataset"].update(
        train_path=str(folder / "data" / "alpaca_train.json"),
        eval_path=str(folder / "data" / "alpaca_held_out.json"),
        seq_length=192,
    )
    data["dataset"].update(toy.dataset)
    data["training"].update(epochs=3, batch_size=4, learning_rate=3e-3, run_name=f"rehearsal-{workers}")
    data["nodes"].update(worker_num=workers, master_port=_free_port(data["nodes"]["master_port"]))
    return data


def _free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on: a rehearsal must not fail beside another msrun."""
    for port in range(first, first + 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return first


def _write_llama(folder: Path, train: list[Record]) -> None:
    from sft_tui.demo.toy_model import write_toy_model

    write_toy_model(folder, tokenizer_texts(train))


def _write_qwen3(folder: Path, train: list[Record]) -> None:
    from sft_tui.demo.toy_qwen3 import write_toy_qwen3

    write_toy_qwen3(folder, texts=_texts(train))


def _write_gpt2(folder: Path, train: list[Record]) -> None:
    from sft_tui.demo.toy_gpt2 import write_toy_gpt2

    write_toy_gpt2(folder, texts=_texts(train))


def _write_llama3(folder: Path, train: list[Record]) -> None:
    from sft_tui.demo.toy_llama3 import write_toy_llama3

    write_toy_llama3(folder, texts=_texts(train))


def _write_qwen2(folder: Path, train: list[Record]) -> None:
    from sft_tui.demo.toy_qwen2 import write_toy_qwen2

    write_toy_qwen2(folder, texts=_texts(train))


def _texts(records: list[Record]) -> list[str]:
    return [f"{r['instruction']}\n{r['input']}\n{r['output']}" for r in records]


@dataclass(frozen=True)
class Toy:
    """A rehearsal: its profile, the working folder, and what writes the model; `last_file` is written last.

    `about` says what is rehearsed, `family` is the model's where it has another name, `dataset` is what differs of that
    section of the profile.
    """

    about: str
    profile: str
    work: str
    last_file: str
    write: Callable[[Path, list[Record]], None]
    family: str = ""
    dataset: Mapping[str, object] = field(default_factory=dict)


# what `sft-tui demo --model` is told -> that rehearsal
TOYS = {
    "llama": Toy("Llama, by way of a .ckpt", "demo", "work", "tokenizer.model", _write_llama),
    "qwen3": Toy(
        "Qwen3, from its Hugging Face folder and back",
        "demo-qwen3",
        "work-qwen3",
        "generation_config.json",
        _write_qwen3,
    ),
    "qwen2": Toy(
        "Qwen2.5, by way of a .ckpt",
        "demo-qwen2",
        "work-qwen2",
        "generation_config.json",
        _write_qwen2,
        dataset={"template": "chat"},
    ),
    "llama3": Toy(
        "Llama 3.1, by way of a .ckpt",
        "demo-llama3",
        "work-llama3",
        "generation_config.json",
        _write_llama3,
        "llama",
        {"template": "chat"},
    ),
    "gpt2": Toy(
        "GPT-2, with MindFormers 1.3",
        "demo-gpt2",
        "work-gpt2",
        "generation_config.json",
        _write_gpt2,
        dataset={"template": "gpt2"},
    ),
}
