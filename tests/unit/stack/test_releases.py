"""The table of versions."""

from __future__ import annotations

import pytest

from sft_tui.stack.releases import KNOWN, RELEASES, find_release, fits


@pytest.mark.parametrize(
    "version, known",
    [("1.7.0", "1.7"), ("1.7", "1.7"), ("1.7.0rc1", "1.7"), ("1.7rc1", "1.7"), ("1.6.0", "1.6"), ("1.3.2", "1.3"),
     ("1.8.0", "1.8"), ("1.9.0", "1.9"), ("1.70.0", None), ("2.0.0", "2.0"),
     ("2.10.0", None), ("", None), ("11.7", None)],
)  # fmt: skip
def test_a_version_is_known_or_not(version, known):
    release = find_release(version)
    assert (release.mindformers if release else None) == known


@pytest.mark.parametrize(
    "mindformers, mindspore, fit",
    [("1.7.0", "2.7.2", True), ("1.7.0", "2.7.1", True), ("1.7.0", "2.7.0", False), ("1.7.0", "2.7.20", False),
     ("1.6.0", "2.7.0", True), ("1.6.0", "2.9.0", False), ("1.6.0", "", False), ("1.2.0", "2.3.1", True)],
)  # fmt: skip
def test_which_mindspore_fits(mindformers, mindspore, fit):
    assert fits(find_release(mindformers), mindspore) is fit


def test_the_optimizer_is_told_its_betas_as_its_version_wants_them():
    assert {(t.optimizer, t.betas_as_list) for t in RELEASES} == {("FP32StateAdamWeightDecay", False), ("AdamW", True)}


def test_every_version_is_in_the_message():
    assert all(t.mindformers in KNOWN for t in RELEASES)
