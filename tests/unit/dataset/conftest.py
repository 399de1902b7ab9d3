from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from sft_tui.dataset.tokenizer.load import Tokenizer, load_tokenizer

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def model_file() -> Path:
    return GOLDEN / "tokenizer.model"


@pytest.fixture(scope="session")
def tokenizer(model_file: Path) -> Tokenizer:
    return load_tokenizer(model_file)


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object, name: str = "in.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return path

    return write
