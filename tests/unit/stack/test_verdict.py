from __future__ import annotations

from datetime import date

import pytest

from sft_tui.core.facts import EnvironmentFacts
from sft_tui.stack.releases import RELEASES, find_release, version_key
from sft_tui.stack.verdict import judge


def facts(mindformers, **found):
    packages = {name: found.pop(name) for name in ("mindspore", "transformers") if name in found}
    release = find_release(mindformers)
    return EnvironmentFacts("/p", mindformers_version=mindformers, packages=packages, release=release, **found)


WHILE_ALL_WERE_SUPPORTED = date(2025, 1, 1)


def words(found):
    return {verdict.thing: verdict.word for verdict in judge(found, WHILE_ALL_WERE_SUPPORTED)}


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


@pytest.mark.parametrize(
    ("version", "today", "word", "reason"),
    [
        ("1.7.0", date(2026, 7, 26), "fits", ""),
        ("1.7.0", date(2026, 7, 27), "out of support", "2026-07-27; next: 1.8 with MindSpore 2.7.2 and CANN 8.5.0"),
        ("1.3.2", date(2026, 12, 1), "out of support", "2025-09-20; next: 1.9 with MindSpore 2.9 and CANN 9.0.0"),
        ("2.1.0", date(2030, 1, 1), "fits", ""),
    ],
)  # fmt: skip
def test_the_end_of_support_and_what_comes_next(version, today, word, reason):
    [verdict] = judge(facts(version), today)
    assert verdict.word == word and reason in verdict.reason


def test_an_older_mindformers_with_a_mindspore_that_it_trains_with_on_cpu_alone():
    [_, verdict] = judge(facts("1.3.2", mindspore="2.7.0"), WHILE_ALL_WERE_SUPPORTED)
    assert verdict.word == "untested" and "runs with MindSpore 2.4; this one was seen to train on CPU" in verdict.reason


@pytest.mark.parametrize(("found", "word"), [("5.3.0", "fits"), ("5.12.0", "fits"), ("4.57.1", "does not fit")])
def test_a_transformers_that_is_bounded_below(found, word):
    assert words(facts("2.1.0", transformers=found))["transformers"] == word


def test_the_oldest_python_of_a_release():
    assert words(facts("2.1.0", python_version="3.9.2"))["Python"] == "does not fit"
