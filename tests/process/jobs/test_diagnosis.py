"""A failed step gets its verdict by itself."""

from __future__ import annotations

import json

from sft_tui.cli import run_command
from sft_tui.commands._common.follow import describe_event


def test_a_failed_step_says_its_first_cause_and_what_to_do(lab, capsys):
    folder, state = lab.run(lab.step("train", "echo 'OSError: [Errno 98] Address already in use' >&2; exit 1"))
    events = [event for event in folder.read_events()[0] if event.kind == "diagnosis"]
    assert [event.data["category"] for event in events] == ["port_in_use"]
    assert events[0].data["sure"] and events[0].step == "train"
    assert describe_event(events[0], state) == "first cause: a port is in use (train.log:1)"
    assert "ss -ltnp" in state.hint and f"sft-tui jobs log {folder.id}" in state.hint
    assert run_command(["diagnose", folder.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["category"] == "port_in_use"


def test_where_the_logs_do_not_tell_nothing_is_claimed(lab):
    folder, state = lab.run(lab.step("train", "echo working; exit 3"))
    assert [event for event in folder.read_events()[0] if event.kind == "diagnosis"] == []
    assert state.hint.startswith("sft-tui jobs log")


def test_what_the_machine_knows_stands_before_the_logs(lab):
    _, state = lab.run(lab.step("train", "kill -9 $$"))
    assert state.outcome == "failed" and "SIGKILL" in state.reason
    assert "first cause" not in state.reason
