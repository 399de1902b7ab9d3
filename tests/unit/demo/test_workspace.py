"""Both rehearsals can share a folder: what they write has names of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_tui.core.profile_problems import validate_profile
from sft_tui.demo.workspace import TOYS, write_workspace


@pytest.mark.parametrize("family", TOYS)
def test_the_profile_names_what_was_written(tmp_path, family):
    profile, problems = validate_profile(write_workspace(tmp_path / "demo", workers=2, family=family))
    assert profile is not None and problems == []
    assert (profile.rehearsal, profile.model.family, profile.nodes.worker_num) == (
        True,
        TOYS[family].family or family,
        2,
    )
    assert (Path(profile.model.hf_dir) / "config.json").is_file() and Path(profile.dataset.eval_path).is_file()


def test_what_is_there_stays_as_it_is(tmp_path):
    first = [write_workspace(tmp_path, family=family) for family in TOYS]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    second = [write_workspace(tmp_path, family=family) for family in TOYS]
    assert {path: path.stat().st_mtime_ns for path in before if path.name != ".sft-tui-demo"}.items() <= before.items()
    assert [d["environment"]["work_dir"] for d in first] == [d["environment"]["work_dir"] for d in second]
    assert len({d["environment"]["work_dir"] for d in first}) == len({d["name"] for d in first}) == len(TOYS)
