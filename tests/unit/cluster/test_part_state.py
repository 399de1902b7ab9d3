"""Which of several failures was the first, and what the head makes of what nodes say."""

from sft_tui.cluster.part_state import PartState
from sft_tui.core.nodes import Node, NodePart
from sft_tui.core.plan import Plan
from sft_tui.diagnosis.first_part import Failure, first_failure

PART = NodePart(rank=1, node=Node(host="n1"), python="/p", work_dir="/w", plan=Plan(profile="p", steps=()))


def ended(outcome, reason, at=100.0):
    return {"state": "finished", "outcome": outcome, "reason": reason, "time": at}


def test_a_killed_worker_comes_before_those_that_miss_it_even_if_they_were_louder_and_earlier():
    loud = Failure(0, 99.0, "RuntimeError: Distribute connection to rank 1 timed out")
    killed = Failure(1, 100.0, "its worker was killed by SIGKILL", 3, "SIGKILL")
    assert first_failure([loud, killed]) is killed
    assert killed.describe(PART) == "node 1 (n1), rank 3, failed first: its worker was killed by SIGKILL"


def test_an_error_of_its_own_comes_before_one_about_others():
    broken = Failure(0, 99.0, "its worker was killed by SIGABRT", 0, "SIGABRT")
    own = Failure(1, 100.0, "ValueError: the shape of wq.weight does not fit")
    assert first_failure([broken, own]) is own


def test_of_two_alike_the_earlier_by_one_clock():
    ahead, exact = PartState(PART, skew=60.0), PartState(PART)
    late = ahead.take(ended("failed", "ValueError: b", 155.0))
    assert late.at == 95.0
    assert first_failure([exact.take(ended("failed", "ValueError: a", 100.0)), late]) is late


def test_a_part_fails_once():
    standing = PartState(PART)
    assert standing.take({"died": "killed by SIGKILL", "rank": 3, "signal": "SIGKILL", "time": 1.0}).worker == 3
    assert not standing.ended
    assert standing.take(ended("failed", "exit code 1")) is None
    assert standing.ended


def test_a_lost_connection_is_no_end_and_is_forgotten_with_the_next_word():
    standing = PartState(PART)
    assert standing.take({"lost": "no route"}) is None
    since = standing.lost_since
    standing.take({"lost": "no route"})
    assert since and standing.lost_since == since and not standing.ended
    standing.take({"beat": 1.0})
    assert standing.lost_since == ""


def test_what_it_waits_for_and_which_ranks_have_started():
    standing = PartState(PART)
    standing.take({"state": "queued", "outcome": "", "reason": "waits for job 7-x, which uses NPU 0", "time": 0.0})
    assert "waits for job 7-x" in standing.waits
    standing.take({"state": "running", "outcome": "", "reason": "", "time": 0.0})
    standing.take({"ranks": [2]})
    standing.take({"ranks": [2, 3]})
    assert (standing.waits, standing.ranks) == ("", {2, 3})
    assert standing.take(ended("succeeded", "")) is None and standing.ended


def test_one_that_was_stopped_there_or_lost_its_supervisor_has_failed():
    assert "stopped there" in PartState(PART).take(ended("stopped", "stopped on request")).reason
    assert PartState(PART).take(ended("lost", "its supervisor is gone")).reason == "its supervisor is gone"
    assert PartState(PART).take({"refused": "profile p runs already"}).reason == "profile p runs already"
