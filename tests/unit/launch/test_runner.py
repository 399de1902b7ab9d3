"""What the runner does before MindFormers takes over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sft_tui.launch import runner
from sft_tui.paths import PACKAGE_DIR


def test_one_worker_gets_the_newest_checkpoint_of_rank_0_alone(tmp_path):
    folder = tmp_path / "checkpoint_network"
    for rank, name, time in ((0, "sft-1_9", 10), (0, "sft-1_10", 30), (0, "sft-1_8", 20), (1, "sft-1_12", 40)):
        path = folder / f"rank_{rank}" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{rank} {name}")
        os.utime(path, (time, time))
    for _ in range(2):  # a link of an earlier run is no obstacle
        alone = runner._weights_of_rank_0(folder, tmp_path / "out")
        assert os.listdir(alone) == ["model.safetensors"]
        assert (tmp_path / "out" / "weights" / "model.safetensors").read_text() == "0 sft-1_10"


def test_a_hugging_face_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "model.safetensors").write_text("w")
    assert runner._weights_of_rank_0(tmp_path, tmp_path / "out") == str(tmp_path)
    assert not (tmp_path / "out").exists()


PROBE = """
import importlib, sys
sys.path.pop(0)
sys.path.insert(0, {folder!r})
runner = importlib.import_module("runner")
runner._make_importable()
print(importlib.import_module("sft_tui.launch.overlay").__file__)
try:
    importlib.import_module("pip_of_the_neighbour")
except ModuleNotFoundError:
    print("nothing else")
"""


@pytest.mark.parametrize("copied", [False, True])
def test_our_package_is_found_from_the_runner_and_nothing_beside_it(tmp_path, copied):
    """Also where `plan --script` has put the launch folder alone."""
    launch = PACKAGE_DIR / "launch"
    if copied:
        launch = tmp_path / "launch"
        launch.mkdir()
        for name in ("runner.py", "overlay.py", "base_yaml.py"):
            (launch / name).write_text((PACKAGE_DIR / "launch" / name).read_text())
        for name in ("core/memory_estimate.py", "core/layout.py", "core/__init__.py", "errors.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text((PACKAGE_DIR / name).read_text())
    (launch.parent.parent / "pip_of_the_neighbour.py").write_text("") if copied else None
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(folder=str(launch))], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == [str(launch / "overlay.py"), "nothing else"], done.stderr
