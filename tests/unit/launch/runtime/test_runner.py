"""What the runner does before MindFormers takes over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sft_tui.launch.runtime import runner
from sft_tui.paths import PACKAGE_DIR
from tests.unit.saved_training import SavingTraining


def test_one_worker_gets_the_last_state_of_rank_0_alone(tmp_path):
    for rank, end in ((0, 10), (1, 12)):
        SavingTraining(tmp_path, epoch=20, every=4, rank=rank).train(0, end)
    for _ in range(2):  # a link of an earlier run is no obstacle
        alone = runner._weights_of_rank_0(tmp_path / "checkpoint_network", tmp_path / "out")
        assert os.listdir(alone) == ["model.safetensors"]
        linked = (tmp_path / "out" / "weights" / "model.safetensors").resolve()
        assert linked.name == "sft_rank_0-network-1_10.safetensors"


def test_several_workers_get_the_last_state_that_all_have_and_no_other(tmp_path):
    for rank in (0, 1):
        training = SavingTraining(tmp_path, epoch=20, every=4, rank=rank)
        training.train(0, 10)
        training.train(8, 16 if rank == 0 else 12)
    for _ in range(2):  # each of them makes the links
        alone = Path(runner._last_of_all_ranks(tmp_path / "checkpoint_network", tmp_path / "out"))
    found = {str(path.relative_to(alone)): path.resolve().name for path in alone.rglob("*") if path.is_file()}
    assert found == {f"rank_{r}/model.safetensors": f"sft_rank_{r}_1-network-1_4.safetensors" for r in (0, 1)}
    model = tmp_path / "checkpoint"  # as a Hugging Face folder: it has no folder of a rank
    (model / "rank_0").rename(tmp_path / "away")
    (model / "rank_1").rename(model / "part")
    assert runner._last_of_all_ranks(model, tmp_path / "other") == str(model)


def test_one_worker_goes_on_from_a_file_out_of_the_folder_of_its_rank(tmp_path, monkeypatch):
    """From such a folder MindFormers loads with several workers alone."""
    monkeypatch.chdir(tmp_path)
    Path("rank_0").mkdir()
    Path("rank_0/s.safetensors").write_text("w")
    folder = Path(runner._link_alone(Path("rank_0/s.safetensors"), Path("out"), "hyper_param.safetensors"))
    runner._link_alone(Path("rank_0/s.safetensors"), folder)
    runner._link_alone(Path("rank_0/s.safetensors"), folder, "hyper_param.safetensors")
    assert os.listdir(folder) == ["hyper_param.safetensors"] and not folder.name.startswith("rank_")
    assert (folder / "hyper_param.safetensors").read_text() == "w"


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
print(importlib.import_module("sft_tui.files.saved_states").__file__)
try:
    importlib.import_module("pip_of_the_neighbour")
except ModuleNotFoundError:
    print("nothing else")
"""


@pytest.mark.parametrize("copied", [False, True])
def test_our_package_is_found_from_the_runner_and_nothing_beside_it(tmp_path, copied):
    """Also where `plan --script` has put the folder of the runner alone."""
    package = PACKAGE_DIR
    if copied:
        package = tmp_path / "scripts"
        for name in ("launch/runtime/runner.py", "files/saved_states.py"):
            (package / name).parent.mkdir(parents=True)
            (package / name).write_text((PACKAGE_DIR / name).read_text())
        (package.parent / "pip_of_the_neighbour.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(folder=str(package / "launch/runtime"))],
        cwd="/", capture_output=True, text=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == [str(package / "files/saved_states.py"), "nothing else"], done.stderr
