from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import pytest

from sft_tui.dataset.template import layouts
from tests.unit.dataset.template.derive_layouts import derive_all

FROZEN = Path(layouts.__file__).with_name("layouts.json")


def test_the_layouts_are_what_fastchat_writes():
    pytest.importorskip("fastchat.conversation", reason="needs FastChat: pip install 'sft-tui[test]'")
    text = json.dumps(derive_all(), ensure_ascii=False, indent=1) + "\n"
    if os.environ.get("SFT_TUI_WRITE_GOLDEN"):
        FROZEN.write_text(text, encoding="utf-8")
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))
    if metadata.version("fschat") != frozen["fschat"]:
        pytest.skip(f"the layouts are of FastChat {frozen['fschat']}, and another is installed")
    assert FROZEN.read_text(encoding="utf-8") == text
