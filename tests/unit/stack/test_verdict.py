from __future__ import annotations

import pytest

from sft_tui.core.facts import EnvironmentFacts
from sft_tui.stack.releases import RELEASES, find_release, version_key
from sft_tui.stack.verdict import judge


def facts(mindformers, **found):
    packages = {name: found.pop(name) for name in ("mindspore", "transformers") if name in found}
    release = find_release(mindformers)
    return EnvironmentFacts("/p", mindformers_version=mindformers, packages=packages, release=release, **found)


def words(found):
    return {verdict.thing: verdict.word for verdict in judge(found)}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.mindformers)
def test_every_release_fits_what_it_came_out_with(release):
    found = facts(
        f"{release.mindformers}.0",
        mindspore=f"{find_release(release.mindformers).mindspore[0]}",
        cann=release.cann,
        driver=release.driver,
        python_version="3.10.12",
    )
    assert set(words(found).values()) == {"fits"}
    assert len(words(found)) == 5


@pytest.mark.parametrize(
    ("mindformers", "found", "expected"),
    [
        ("1.7.0", {"mindspore": "2.7.0"}, {"MindSpore": "does not fit"}),
        ("1.7.0", {"mindspore": "2.9.0"}, {"MindSpore": "does not fit"}),
        ("1.9.0", {"mindspore": "2.7.2"}, {"MindSpore": "does not fit"}),
        ("1.7.0", {"cann": "8.2.RC1"}, {"CANN": "does not fit"}),
        ("1.7.0", {"cann": "8.3.RC2"}, {"CANN": "untested"}),
        ("1.7.0", {"cann": "8.5.0"}, {"CANN": "untested"}),
        ("1.7.0", {"driver": "25.2.0"}, {"Ascend driver": "does not fit"}),
        ("1.7.0", {"driver": "25.5.0"}, {"Ascend driver": "untested"}),
        ("1.2.0", {"python_version": "3.11.4"}, {"Python": "does not fit"}),
        ("1.7.0", {"python_version": "3.12.1"}, {"Python": "does not fit"}),
        ("1.7.0", {"cann": "unknown version"}, {"CANN": "untested"}),
        ("1.7.0", {"transformers": "4.51.3"}, {"transformers": "fits"}),
        ("1.7.0", {"transformers": "4.57.1"}, {"transformers": "does not fit"}),
        ("1.9.0", {"transformers": "4.51.3"}, {"transformers": "does not fit"}),
    ],
)
def test_verdicts(mindformers, found, expected):
    assert {**words(facts(mindformers, **found))} == {"MindFormers": "fits", **expected}


def test_a_reason_names_what_is_wanted():
    [_, verdict] = judge(facts("1.9.0", mindspore="2.7.2"))
    assert str(verdict) == "MindSpore 2.7.2: does not fit, because MindFormers 1.9 runs with MindSpore 2.9"


def test_an_unknown_release_is_untested_and_a_missing_one_not_judged():
    assert words(facts("3.0.0", mindspore="9.9")) == {"MindFormers": "untested"}
    assert judge(facts("")) == ()
    assert find_release("1.70.0") is None


def test_versions_are_ordered():
    ordered = ["8.0.RC2", "8.0.RC3", "8.0.0", "8.1.RC1", "8.2.RC1", "8.3.RC1", "8.3.RC2", "8.3.0", "8.5.0", "9.0.0"]
    assert sorted(ordered, key=version_key) == ordered
    assert version_key("8.0.RC2.beta1") == version_key("8.0.RC2")
    assert version_key("nothing") == ()
