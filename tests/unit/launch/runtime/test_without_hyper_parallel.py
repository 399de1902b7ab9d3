"""What stands in for hyper_parallel: every import works, every use is an error that names it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sft_tui.launch.runtime.cpu.without_hyper_parallel import install

SCRIPT = """
from sft_tui.launch.runtime.cpu.without_hyper_parallel import install
install()
from hyper_parallel import DTensor, SkipDTensorDispatch
from hyper_parallel.core.dtensor.placement_types import Shard
import hyper_parallel.core.fully_shard.api as api
class Ours(DTensor): pass
from hyper_parallel.platform import get_platform
platform = get_platform()
print(isinstance(1, Shard), api.__name__)
try:
    platform.all_to_all(1)
except NotImplementedError as error:
    print(error)
try:
    import no_such_package
except ModuleNotFoundError as error:
    print(error)
"""


def test_it_can_be_imported_and_not_be_used():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False hyper_parallel.core.fully_shard.api",
        "hyper_parallel.platform.get_platform.all_to_all: hyper_parallel is not installed",
        "No module named 'no_such_package'",
    ]


def test_one_that_is_installed_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "hyper_parallel").mkdir()
    (tmp_path / "hyper_parallel" / "__init__.py").write_text("REAL = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before
    pytest.importorskip("hyper_parallel")
