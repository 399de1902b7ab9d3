"""Nodes: answers and messages of another form, and talk without an end."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from sft_tui.cluster.node_checks import NodeAnswer, judge
from sft_tui.cluster.node_messages import read_facts, read_message
from sft_tui.cluster.part_state import PartState
from sft_tui.cluster.ssh import Ssh, SshError
from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Plan
from tests.benchmarks.attack.frame import Frame

FACTS: dict[str, Any] = {
    "hostname": "n", "machine": "m", "python_missing": False, "python_version": "3.11.7", "packages": {"numpy": "1"},
    "cann": "", "sft_tui": {"command": ["x"], "package_dir": "/x", "version": "1", "checksum": "c"},
    "mindformers": "", "files": {"/a": [1, "x"], "/b": None}, "marker": "", "disk_free": 1, "cores": 1, "npus": 0,
    "npu_users": [], "port": "ok", "time": 1.0,
}  # fmt: skip
MESSAGES: list[dict[str, Any]] = [
    {"ranks": [0]}, {"died": "killed", "rank": 1, "signal": "SIGKILL", "time": 1.0}, {"tail": ["a"]},
    {"state": "finished", "outcome": "failed", "reason": "r", "time": 1.0}, {"log": "a\n", "offset": 2}, {"beat": 1.0},
]  # fmt: skip
ODD = [None, True, 0, -1, 1e300, 10**400, "", "x" * 10_000, "\x1b]0;x\x07", [], [[]], {}, {"a": {}}, [None], [1e300]]
FLOODS = {
    "on stderr": "import sys\nfor _ in range(300): sys.stderr.write('x' * 1000000)\nsys.exit(1)",
    "on stdout": "import sys\nwhile True: sys.stdout.write('x' * 1000000)",
    "on both": "import sys\nwhile True: sys.stdout.write('x' * 9999); sys.stderr.write('x' * 9999)",
    "silence": "import time\ntime.sleep(600)",
}


def _mutate(frame: Frame, value: Any) -> Any:
    if isinstance(value, dict) and value and frame.chance.random() < 0.8:
        key = frame.chance.choice(sorted(value))
        rest = {name: item for name, item in value.items() if name != key}
        return rest if frame.chance.random() < 0.2 else {**rest, key: _mutate(frame, value[key])}
    return frame.chance.choice(ODD)


def attack(frame: Frame) -> None:
    part = NodePart(rank=0, node=Node(host="n0"), python="/x", work_dir="/w", plan=Plan(profile="p", steps=()))
    launch = Launch(
        step="s", master_addr="n0", master_port=1, worker_num=1, device="CPU", package_dir="/x", python="/x",
        mindformers_home="", work_dir="/w", inputs=("/a", "/b"), parts=(part,),
    )  # fmt: skip
    head = NodeAnswer(read_facts(json.dumps(FACTS)), 0.0, 0.1)
    for _ in range(50 * frame.rounds):
        with frame.trial("an answer of another form costs that node", within=1.0):
            facts = FACTS
            with contextlib.suppress(ValueError):
                facts = read_facts(json.dumps(_mutate(frame, FACTS)))
            judge(launch, part, NodeAnswer(facts, facts["time"], 0.1), head, "")
        with frame.trial("a message of another form is none", within=1.0):
            message = read_message(json.dumps(_mutate(frame, frame.chance.choice(MESSAGES))).encode())
            if message is not None:
                PartState(part).take(message)
    for name, script in FLOODS.items():
        with frame.trial(f"a flood {name} is cut off", within=8.0):
            try:
                Ssh().run(Node(host="localhost"), [sys.executable, "-c", script], timeout=4)
            except SshError:
                continue
            raise AssertionError("it was taken for an answer")
