"""Writes the workspace of the rehearsal: a toy model, a data set, and the profile of that rehearsal."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from sft_tui.core.profile import default_data
from sft_tui.demo.records import Record, build_records
from sft_tui.errors import InvalidInputError

PROFILE_NAMES = {"llama": "demo", "qwen3": "demo-qwen3"}  # family of the toy model -> profile
# rate and passes from which a toy of that family learns within seconds
_LEARNING = {"llama": (3e-3, 3), "qwen3": (3e-3, 3)}
HELD_OUT_EVERY = 10
MARKER = ".sft-tui-demo"


def write_workspace(folder: Path, *, workers: int = 1, family: str = "llama") -> dict[str, Any]:
    """Write what is not there yet; returns the data of the profile. Raises InvalidInputError for a foreign folder.

    Files that are there stay as they are, so that steps done before need not run again.
    """
    folder = folder.absolute()
    _claim(folder)
    records = build_records()
    held_out = records[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    train = [record for index, record in enumerate(records) if index % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    data_dir, model_dir = folder / "data", folder / f"toy-{family}"
    data_dir.mkdir(exist_ok=True)
    for path, part in ((data_dir / "alpaca_train.json", train), (data_dir / "alpaca_held_out.json", held_out)):
        if not path.is_file():
            path.write_text(json.dumps(part, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _write_model(model_dir, family, train)
    return _profile_data(folder, workers, family)


def _write_model(folder: Path, family: str, train: list[Record]) -> None:
    if family == "qwen3":
        if not (folder / "generation_config.json").is_file():  # the last that is written
            from sft_tui.demo.toy_qwen3 import write_toy_qwen3

            write_toy_qwen3(folder, texts=[f"{r['instruction']}\n{r['input']}\n{r['output']}" for r in train])
    elif not (folder / "tokenizer.model").is_file():
        from sft_tui.demo.toy_model import write_toy_model

        write_toy_model(folder, tokenizer_texts(train))


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
    from sft_tui.dataset.alpaca import AlpacaRecord
    from sft_tui.dataset.conversation import build_conversation
    from sft_tui.dataset.prompt import build_prompt

    conversations = (
        build_conversation(AlpacaRecord(number, r["instruction"], r["input"], r["output"]))
        for number, r in enumerate(records, 1)
    )
    return [line for c in conversations for line in build_prompt(c, "vicuna_v1.1").splitlines() if line.strip()]


def _profile_data(folder: Path, workers: int, family: str) -> dict[str, Any]:
    work = "work" if family == "llama" else f"work-{family}"
    data = default_data(PROFILE_NAMES[family], work_dir=str(folder / work), python=sys.executable, device_target="CPU")
    data["rehearsal"] = True
    data["model"].update(hf_dir=str(folder / f"toy-{family}"), family=family)
    data["dataset"].update(
        train_path=str(folder / "data" / "alpaca_train.json"),
        eval_path=str(folder / "data" / "alpaca_held_out.json"),
        seq_length=192,
    )
    rate, epochs = _LEARNING[family]
    data["training"].update(epochs=epochs, batch_size=4, learning_rate=rate, run_name=f"rehearsal-{workers}")
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
