"""A small share of what tests/benchmarks/fuzz_readers feeds to the readers of data."""

from __future__ import annotations

import random

import pytest

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from tests.benchmarks.fuzz_readers import spoil
from tests.unit.dataset.fuzz_data import DATA, read_data


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(("suffix", "make"), DATA, ids=[name for name, _ in DATA])
def test_a_spoilt_file_is_read_or_refused(tmp_path, suffix, make, count):
    chance, path, read = random.Random(5), tmp_path / f"in{suffix}", 0
    for _ in range(count):
        path.write_bytes(make(chance, spoil))
        try:
            read_data(path)
            read += 1
        except (InvalidInputError, EnvironmentNotFitError) as error:  # the latter: pyarrow 19.0.0 is to blame
            error.message.encode("utf-8")
            assert str(path) in error.message
    assert 0.03 < read / count < 0.97
