"""Parts of a plan."""

from __future__ import annotations

import pytest

from sft_tui.core.plan import Plan, Step

PLAN = Plan(profile="p", steps=tuple(Step(id=name, title=name, argv=("x",), cwd="/w") for name in "abcde"))


@pytest.mark.parametrize(
    ("wanted", "first"), [("ade", "d"), ("de", "d"), ("e", "e"), ("abcde", "a"), ("ab", ""), ("", "")]
)
def test_wanted_steps_are_run_anew_without_those_between_them(wanted, first):
    assert PLAN.last_stretch(tuple(wanted)) == first
