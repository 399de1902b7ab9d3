"""A hub with a toy of three shards, and a user whose caches and tokens are empty."""

from __future__ import annotations

import json
import random

import pytest

from sft_tui.hub.download import Request
from sft_tui.hub.network import Patience
from tests.unit.hub.hub_server import REPO, HubServer

VARIABLES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_CACHE", "MODELSCOPE_CACHE",
    "MODELSCOPE_API_TOKEN", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy",
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip


def toy_files():
    """Three shards of a megabyte, what goes with them, and what training does not need."""
    noise = random.Random(5)
    shards = {f"model-0000{n}-of-00003.safetensors": noise.randbytes((1 << 20) + n) for n in (1, 2, 3)}
    return {
        **shards,
        "model.safetensors.index.json": json.dumps({"weight_map": {}}).encode(),
        "config.json": b'{"model_type": "llama"}', "tokenizer.json": noise.randbytes(5000), "README.md": b"# Toy",
        "tokenizer_config.json": b"{}", "pytorch_model.bin": noise.randbytes(4000), "onnx/model.onnx": b"o" * 2000,
        "model.gguf": b"g" * 3000,
    }  # fmt: skip


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with HubServer(toy_files()) as server:
        yield server


@pytest.fixture
def request_for(hub, tmp_path):
    """request_for(kind="hf", **fields): for the toy of that server, impatient."""

    def make(kind="hf", target=tmp_path / "toy", **fields):
        patience = fields.pop("patience", None) or Patience(
            stall_seconds=0.4, least_rate=2000.0, window_seconds=0.4, tries=4, first_pause=0.01
        )
        return Request(REPO, target, source=f"{kind}={hub.base}", patience=patience, **fields)

    return make
