"""A stub npu-smi on PATH, in a runtime folder of this test alone."""

from __future__ import annotations

import pytest


@pytest.fixture
def npu_smi(tmp_path, monkeypatch):
    """Puts a shell script named npu-smi on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def write(script, first_line="#!/bin/sh"):
        path = folder / "npu-smi"
        path.write_text(f"{first_line}\n{script}\n")
        path.chmod(0o755)

    return write
