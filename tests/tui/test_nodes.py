from __future__ import annotations

import threading

import pytest

from sft_tui.cluster import preflight
from sft_tui.cluster.node_checks import CHECKS, Finding
from sft_tui.cluster.preflight import Matrix

HOSTS = [{"host": f"node{rank}", "local_worker_num": 1} for rank in range(3)]


@pytest.fixture
def nodes(monkeypatch):
    """Nodes that answer when they are told to: node 1 has another version, node 2 is not reached."""
    may_answer = [threading.Event() for _ in HOSTS]

    def examine(launch, ssh=None):
        matrix = Matrix(launch)
        for part in launch.parts:
            may_answer[part.rank].wait(20)
            host = part.node.host
            if part.rank == 2:
                matrix.findings.append(Finding(2, host, "reach", "failed", "it did not answer", "Check that it is up."))
            else:
                bad = {"versions": "failed", "clock": "warning"} if part.rank == 1 else {}
                matrix.findings += [Finding(part.rank, host, c, bad.get(c, "ok"), "differs", "Do it.") for c in CHECKS]
            yield part, matrix

    monkeypatch.setattr(preflight, "examine_nodes", examine)
    return may_answer


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_nodes_are_shown_as_they_answer_and_the_screen_stays_awake(open_wizard, sound, nodes, size):
    sound(nodes__hosts=HOSTS)
    async with open_wizard(size=size) as wizard:
        await wizard.looked()
        await wizard.press("f6")
        assert wizard.footer["ctrl+g"] == "Look at nodes"
        found = wizard.app.screen.query_one("#found").visual.plain
        assert "rank host" in found and "node2" in found
        await wizard.press("ctrl+g")
        await wizard.until(lambda: "0 of 3 nodes have answered" in wizard.dialog, "none yet")
        await wizard.press("escape")
        await wizard.until(lambda: "0 of 3 nodes" not in wizard.text, "it closes while nodes are asked")

        for event in nodes[:2]:
            event.set()
        await wizard.press("ctrl+g")
        await wizard.until(lambda: "2 of 3 nodes have answered" in wizard.dialog, "two of them")
        assert "node 1 (node1), versions: differs. Do it." in wizard.dialog
        nodes[2].set()
        await wizard.until(lambda: "not fit: 2, training would not start" in wizard.dialog, "all")
        rows = wizard.app.screen.query_one("#matrix-rows").visual.plain.splitlines()
        assert [row.split()[1] for row in rows[1:4]] == ["node1", "node2", "node0"], "the worst first"
        assert rows[1].count("FAIL") == 1 and rows[1].count("!") == 1 and rows[3].split()[2:] == ["ok"] * len(CHECKS)
        await wizard.press("r")
        await wizard.until(lambda: "3 of 3 nodes have answered" in wizard.dialog, "again")


async def test_without_nodes_there_is_nothing_to_look_at(open_wizard, sound):
    sound()
    async with open_wizard() as wizard:
        await wizard.looked()
        await wizard.press("f6")
        assert "ctrl+g" not in wizard.footer
