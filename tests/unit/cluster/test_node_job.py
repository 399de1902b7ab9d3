"""The head takes every message of its nodes, however many there are at once."""

from __future__ import annotations

import json
import queue
from types import SimpleNamespace

import pytest

from sft_tui.cluster import node_job
from sft_tui.cluster.node_job import MESSAGES_AT_MOST, NodesJob
from sft_tui.core.job import PartOf
from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Plan, Step


@pytest.fixture
def head(monkeypatch):
    """The head's step for two nodes, with nobody started."""
    monkeypatch.setattr(node_job, "POLL_SECONDS", 0.01)
    plan = Plan(profile="p", steps=(Step(id="train", title="t", argv=("true",), cwd="/w"),))
    parts = tuple(NodePart(rank=n, node=Node(host=f"n{n}"), python="/p", work_dir="/w", plan=plan) for n in (0, 1))
    launch = Launch(
        step="train", master_addr="n0", master_port=1, worker_num=600, device="CPU", package_dir="/x", python="/p",
        mindformers_home="", work_dir="/w", inputs=(), parts=parts,
    )  # fmt: skip
    answer = SimpleNamespace(skew=0.0, facts={"sft_tui": {"command": ["x"]}})
    return NodesJob(launch, SimpleNamespace(answers=[answer, answer]), PartOf(id="1-p", submitted_at=0.0), [])


def test_no_message_is_lost_in_a_flood(head):
    sent = range(2 * MESSAGES_AT_MOST + 3)
    head.messages = queue.Queue()  # as if one came whenever one was taken
    for number in sent:
        head.messages.put((1, {"ranks": [number]}))
    head._listen()
    assert head.standings[1].ranks == set(range(MESSAGES_AT_MOST)), "then the others, and a stop, have their turn"
    while not head.messages.empty():
        head._listen()
    assert head.standings[1].ranks == set(sent)


def test_the_end_of_a_part_right_after_a_flood_is_heard(head):
    follower = head.followers[0]
    for number in range(MESSAGES_AT_MOST):
        head.messages.put((0, {"ranks": [number]}))
    failures = head._listen()
    follower._pass_on(json.dumps({"state": "finished", "outcome": "failed", "reason": "r", "time": 1.0}).encode())
    failures += head._listen()
    assert [failure.reason for failure in failures] == ["r"] and head.standings[0].ended


def test_what_cannot_be_read_is_counted_and_named_once(head, capsys):
    follower = head.followers[1]
    for line in (b"Last login: today\n", b'{"log": "torn by a lost conn', b'{"state": "odd"}\n', b'{"died": 5}\n'):
        follower._pass_on(line)
    head._listen()
    head._listen()
    assert follower.unread == 2
    assert capsys.readouterr().out.count("node 1 (n1) said what could not be read") == 1
