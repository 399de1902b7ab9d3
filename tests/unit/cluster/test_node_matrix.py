"""The matrix of nodes and checks, with a stub `ssh` behind which every node says what a test wants it to say."""

import ast
import json
import os
import sys
import time
from pathlib import Path

import pytest

from sft_tui.cluster import node_facts
from sft_tui.cluster.node_matrix import examine_nodes, examine_whole, table_lines
from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Plan
from sft_tui.paths import PACKAGE_DIR

# the answer of a node is that of this host, with what its file changes
STUB = """#!{python}
import json, pathlib, subprocess, sys, time
host, folder = sys.argv[-2], pathlib.Path({folder!r})
changes = json.loads((folder / (host + ".json")).read_text())
if "said" in changes:
    print(changes["said"], file=sys.stderr)
    sys.exit(255)
time.sleep(changes.pop("seconds", 0))
script = sys.stdin.read()
out = subprocess.run(["sh", "-c", sys.argv[-1]], input=script, capture_output=True, text=True)
facts = json.loads(out.stdout.splitlines()[-1])
facts["machine"] = host
facts["time"] += changes.pop("skew", 0)
facts.update(changes)
print(json.dumps(facts))
"""


class Nodes:
    def __init__(self, tmp_path, monkeypatch):
        self.folder, self.work = tmp_path / "nodes", tmp_path / "work $(touch pwned) 'é"
        self.folder.mkdir()
        self.work.mkdir()
        (self.work / "data").write_text("rows")
        stub = self.folder / "ssh"
        stub.write_text(STUB.format(python=sys.executable, folder=str(self.folder)))
        stub.chmod(0o755)
        monkeypatch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")

    def launch(self, *answers, work_dirs=(), device="CPU"):
        """A launch on as many nodes as there are answers."""
        parts = []
        for rank, answer in enumerate(answers):
            (self.folder / f"n{rank}.json").write_text(json.dumps(answer))
            work_dir = work_dirs[rank] if work_dirs else str(self.work)
            node = Node(host=f"n{rank}", local_worker_num=2)
            parts.append(
                NodePart(
                    rank=rank, node=node, python=sys.executable, work_dir=work_dir, plan=Plan(profile="p", steps=())
                )
            )
        return Launch(
            step="train", master_addr="127.0.0.1", master_port=58118, worker_num=2 * len(parts), device=device,
            package_dir=str(PACKAGE_DIR), python=sys.executable, mindformers_home="", work_dir=str(self.work),
            inputs=(str(self.work / "data"),), parts=tuple(parts),
        )  # fmt: skip

    def wrong(self, *answers, **options):
        """What is not right, as (rank, check, verdict)."""
        self.matrix = examine_whole(self.launch(*answers, **options))
        return sorted((f.rank, f.check, f.verdict) for f in self.matrix.findings if f.verdict != "ok")

    def text(self):
        return "\n".join(table_lines(self.matrix))


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    return Nodes(tmp_path, monkeypatch)


def test_nodes_that_are_alike_and_share_the_disk_fit(nodes):
    assert nodes.wrong({}, {}) == []
    assert nodes.matrix.fits and "FAILED" not in nodes.text()
    assert os.listdir(nodes.work) == ["data"], "the marker is removed"


# what a node may answer, the check that this concerns, and what is told
WRONG = [
    ({"said": "ssh: connect to host n1 port 22: No route to host"}, "reach", "no route"),
    ({"said": "Host key verification failed."}, "reach", "ssh n2 once"),
    ({"said": "x: Permission denied (publickey)."}, "reach", "ssh-copy-id n3"),
    ({"skew": 605}, "clock", "its clock is 10 min"),
    ({"skew": -4000}, "clock", "behind"),
    ({"sft_tui": None}, "sft-tui", "pip install sft-tui"),
    ({"sft_tui": {"version": "0.0.1", "checksum": "x", "package_dir": "/x", "command": []}}, "sft-tui", "differs"),
    ({"python_missing": True}, "versions", "is not there"),
    ({"packages": {"mindspore": "2.6.0"}}, "versions", "2.6.0"),
    ({"cann": "8.1"}, "versions", "CANN 8.1"),
    ({"mindformers": "abc"}, "code", "another"),
    ({"disk_free": 1000}, "disk", "1.0 kB are free"),
    ({"port": "filtered"}, "port", "firewall"),
    ({"port": "in use"}, "port", "nodes.master_port"),
    ({"port": "unknown name"}, "port", "nodes.master_addr"),
]


def test_what_is_wrong_with_each_node_is_told_with_what_to_do(nodes):
    found = nodes.wrong({}, *(answer for answer, _, _ in WRONG))
    assert found == [(rank, check, "failed") for rank, (_, check, _) in enumerate(WRONG, 1)]
    assert not nodes.matrix.fits
    lines = nodes.text().splitlines()
    for rank, (_, check, words) in enumerate(WRONG, 1):
        told = [line for line in lines if line.startswith(f"node {rank} (n{rank}), {check}: ")]
        assert len(told) == 1 and words in told[0], (rank, lines)


def test_a_small_skew_of_the_clock_is_a_warning(nodes):
    assert nodes.wrong({}, {"skew": 60}) == [(1, "clock", "warning")]
    assert nodes.matrix.fits


def test_npus_are_counted_and_must_be_free(nodes):
    answers = ({"npus": 8}, {"npus": 1}, {"npus": 8, "npu_users": ["77"]})
    assert nodes.wrong(*answers, device="Ascend") == [(1, "devices", "failed"), (2, "devices", "failed")]
    assert "process 77" in nodes.text()


def test_the_master_has_to_come_first(nodes):
    assert nodes.wrong({"port": "not here"}, {}) == [(0, "rank", "failed")]


def test_two_names_of_one_host_are_found_out(nodes):
    assert nodes.wrong({"machine": "same"}, {"machine": "same"}) == [(0, "rank", "failed"), (1, "rank", "failed")]


def test_where_the_disk_is_not_shared_the_files_are_compared(nodes, tmp_path):
    other = tmp_path / "other"
    work_dirs = (str(nodes.work), str(other))
    assert nodes.wrong({}, {}, work_dirs=work_dirs) == [(1, "files", "failed")]
    assert f"{other}/data is missing" in nodes.text() and "rsync -a" in nodes.text()
    other.mkdir()
    (other / "data").write_text("ROWS")
    assert nodes.wrong({}, {}, work_dirs=work_dirs) == [(1, "files", "failed")]
    assert "is another file" in nodes.text()
    (other / "data").write_text("rows")
    assert nodes.wrong({}, {}, work_dirs=work_dirs) == []
    (nodes.work / "data").unlink()
    assert nodes.wrong({}, {}, work_dirs=work_dirs) == [(1, "files", "failed")]
    assert "--until preprocess-train" in nodes.text()


def test_answers_are_told_as_they_come(nodes):
    launch = nodes.launch({"seconds": 3}, {}, {"said": "Connection refused"})
    begin, seen = time.monotonic(), []
    for part, _ in examine_nodes(launch):
        seen.append((part.rank, time.monotonic() - begin))
    ranks = [rank for rank, _ in seen]
    assert sorted(ranks) == [0, 1, 2] and ranks[-1] == 0
    assert seen[1][1] < seen[2][1] - 0.5


def test_a_large_file_is_told_from_another_of_its_size(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for path, last in ((one, b"x"), (other, b"y")):
        with path.open("wb") as file:
            file.truncate(node_facts.WHOLE + 4_000_000)
            file.seek(-1, os.SEEK_END)
            file.write(last)
    first, second = node_facts.fingerprint(one), node_facts.fingerprint(other)
    assert first[0] == second[0] and first[1] != second[1]


def test_a_process_that_holds_an_npu_and_one_that_is_gone(tmp_path):
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "0").symlink_to("/dev/null")
    assert not node_facts.holds_npu(tmp_path / "fd")
    (tmp_path / "fd" / "1").symlink_to("/dev/davinci3")
    assert node_facts.holds_npu(tmp_path / "fd")
    assert not node_facts.holds_npu(tmp_path / "gone" / "fd")


def test_the_questions_need_nothing_but_a_python(tmp_path):
    tree = ast.parse(Path(node_facts.__file__).read_text(), feature_version=(3, 7))
    modules = {n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)}
    modules |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    known = {
        "errno",
        "hashlib",
        "importlib",
        "json",
        "os",
        "pathlib",
        "platform",
        "shutil",
        "socket",
        "sys",
        "time",
        "typing",
    }
    assert modules <= known
