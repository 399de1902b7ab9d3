"""Job files: what is written is read again, also by an earlier sft-tui."""

from __future__ import annotations

import math

from sft_tui.core.job import Event, JobSpec, JobState, initial_state
from sft_tui.core.plan import Plan, Step


def spec():
    steps = (
        Step(id="a", title="A", argv=("a b", "c"), cwd="/w", env={"X": "1 2"}),
        Step(id="b", title="B", argv=("b",), cwd="/w", not_needed="because"),
    )
    return JobSpec(id="j", plan=Plan(profile="p", steps=steps, rehearsal=True), submitted_at=1.0)


def test_spec_and_state_survive_the_disk():
    assert JobSpec.model_validate_json(spec().model_dump_json()) == spec()
    state = initial_state(spec())
    assert JobState.model_validate_json(state.model_dump_json()) == state


def test_a_step_that_is_not_needed_begins_as_such():
    state = initial_state(spec())
    assert [(s.status, s.reason) for s in state.steps] == [("todo", ""), ("not_needed", "because")]
    assert state.rehearsal and not state.finished and state.current_step is None


def test_a_later_version_may_know_more():
    data = initial_state(spec()).model_dump()
    data["devices"] = [0]
    data["steps"][0]["rank"] = 3
    assert JobState.model_validate(data) == initial_state(spec())


def test_a_number_that_is_none_survives_the_disk():
    event = Event(kind="training_step", time=1.0, data={"loss": float("nan"), "norm": float("inf")})
    again = Event.model_validate_json(event.model_dump_json())
    assert math.isnan(again.data["loss"]) and math.isinf(again.data["norm"])


def test_the_headline_and_the_step_to_look_at():
    state = initial_state(spec()).with_step("a", status="failed")
    state = state.model_copy(update={"lifecycle": "finished", "outcome": "failed", "reason": "disk full"})
    assert state.headline() == "failed: disk full"
    assert state.current_step == state.step("a")


def test_the_command_can_be_pasted():
    assert spec().plan.step("a").command == "env X='1 2' 'a b' c"
