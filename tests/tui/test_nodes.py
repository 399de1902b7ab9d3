from __future__ import annotations

import threading

import pytest

from sft_tui.cluster import node_matrix
from sft_tui.cluster.node_checks import CHECKS, NodeFinding
from sft_tui.cluster.node_matrix import NodeMatrix

HOSTS = [{"host": f"node{rank}", "local_worker_num": 1} for rank in range(3)]


@pytest.fixture
def nodes(monkeypatch):
    """Nodes that answer when they are told to: node 1 has another version, node 2 is not reached."""
    may_answer = [threading.Event() for _ in HOSTS]

    def examine(launch, ssh=None):
        matrix = NodeMatrix(launch)
        for part in launch.parts:
            may_answer[part.rank].wait(20)
            host = part.node.host
            if part.rank == 2:
                matrix.findings.append(
                    NodeFinding(2, host, "reach", "failed", "it did not answer", "Check that it is up.")
                )
            else:
                bad = {"versions": "failed", "clock": "warning"} if part.rank == 1 else {}
                matrix.findings += [
                    NodeFinding(part.rank, host, c, bad.get(c, "ok"), "differs", "Do it.") for c in CHECKS
                ]
            yield part, matrix

    monkeypatch.setattr(node_matrix, "examine_nodes", examine)
    return may_answer


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
async def test_nodes_are_shown_as_they_answer_and_the_screen_stays_awake(open_wizard, sound, nodes, size):
    sound(nodes__hosts=HOSTS)
    async with open_wizard(size=size) as wizard:
        await wizard.looked()
        await wizard.press("f6")
        await wizard.until(lambda: wizard.footer["ctrl+g"] == "Look at nodes", "what can be done")
        found = wizard.app.screen.query_one("#found").visual.plain
        assert "3 workers, started over SSH." in found and "node2" in wizard.text
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


async def _named(wizard, host, *, workers=""):
    """Type a host, and the number of its workers, into the dialog of a node, and take it."""
    await wizard.until(lambda: wizard.app.screen.query("#field-node-host"), "the dialog")
    await wizard.until(lambda: wizard.field("node.host").has_focus_within, "its first field")
    wizard.field("node.host").set_value(host)
    if workers:
        wizard.field("node.local_worker_num").set_value(workers)
    await wizard.pilot.pause()
    await wizard.press("enter")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 50), marks=pytest.mark.nightly)])
async def test_nodes_are_added_edited_moved_and_removed_by_keys(open_wizard, sound, saved, size):
    sound()
    async with open_wizard(size=size) as wizard:
        await wizard.press("f6")
        table = wizard.app.screen.query_one("#nodes-table")
        table.focus()
        await wizard.until(lambda: "a" in wizard.footer, "what can be done is in the footer")
        assert {"Edit", "Remove", "Earlier", "Later"}.isdisjoint(wizard.footer.values()), "nothing to edit yet"
        await wizard.press("a")
        await wizard.until(lambda: wizard.app.screen.query("#field-node-host"), "the dialog")
        assert wizard.field("node.host").value == "", "nothing is named yet"
        await wizard.until(lambda: "Add" not in wizard.footer.values(), "the keys below the dialog do nothing")
        await _named(wizard, "train-7", workers="8")
        await wizard.press("a")
        await wizard.until(lambda: wizard.app.screen.query("#field-node-host"), "the dialog")
        assert wizard.field("node.local_worker_num").value == "8", "like the node before"
        await _named(wizard, "fd00::5")
        await wizard.until(lambda: table.row_count == 2, "two nodes")
        assert wizard.field("nodes.hosts").value == "train-7*8, [fd00::5]*8"
        assert {"Edit", "Remove", "Earlier"} <= set(wizard.footer.values()) and "Later" not in wizard.footer.values()

        await wizard.press("enter")
        await wizard.until(lambda: wizard.app.screen.query("#field-node-options"), "the dialog")
        wizard.field("node.options").set_value("ProxyJump=gate ProxyCommand=sh")
        await _named(wizard, "fd00::5")
        await wizard.until(lambda: "not one of the harmless" in wizard.dialog, "a refusal under the field")
        assert wizard.field("node.options").has_focus_within
        wizard.field("node.options").set_value("ProxyJump=gate ConnectTimeout=5")
        await wizard.pilot.pause()
        await wizard.press("enter")
        await wizard.until(lambda: "ProxyJump=gate" in wizard.text, "it is taken")
        await wizard.press("K")
        await wizard.until(lambda: wizard.field("nodes.hosts").value == "[fd00::5]*8, train-7*8", "the ranks change")
        assert table.cursor_row == 0
        await wizard.press("enter")
        await wizard.until(lambda: wizard.app.screen.query("#field-node-host"), "the dialog")
        await wizard.press("escape")
        await wizard.press("J", "up", "d")
        await wizard.until(lambda: table.row_count == 1, "one is removed")
    [node] = saved()["nodes"]["hosts"]
    assert node["host"] == "fd00::5" and node["options"] == ["ProxyJump=gate", "ConnectTimeout=5"]
    assert node["local_worker_num"] == 8 and node["port"] == 0


async def test_a_line_of_nodes_fills_the_table_and_keeps_what_it_has_no_place_for(open_wizard, sound, saved):
    sound(nodes__hosts=[{"host": "a", "local_worker_num": 4, "work_dir": "/w"}, {"host": "b", "local_worker_num": 4}])
    async with open_wizard(size=(120, 40)) as wizard:
        await wizard.press("f6")
        table = wizard.app.screen.query_one("#nodes-table")
        await wizard.until(lambda: table.row_count == 2 and "/w" in wizard.text, "both")
        await wizard.type("nodes.hosts", "b*4, me@a:22*4, c*4")
        await wizard.until(lambda: table.row_count == 3, "three")
        await wizard.type("nodes.hosts", "b*4, a b")
        await wizard.until(lambda: table.row_count == 0, "what is no node is not drawn")
        assert "'a b' is not a node" in wizard.under("nodes.hosts")
        await wizard.type("nodes.hosts", "b*4, me@a:22*4")
        await wizard.until(lambda: table.row_count == 2, "two")
        await wizard.until(lambda: isinstance(saved()["nodes"]["hosts"], list), "what was typed is saved as nodes")
    assert saved()["nodes"]["hosts"][1]["user"] == "me"
