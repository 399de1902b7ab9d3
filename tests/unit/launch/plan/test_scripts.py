"""Scripts that run where sft-tui does not: tried with a stub msrun and a stub ssh, and looked at by shellcheck."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from sft_tui.core.nodes import parse_hosts
from sft_tui.launch.plan.nodes import launches
from sft_tui.launch.plan.scripts import build_scripts
from sft_tui.launch.plan.steps import build_plan

ODD = "a 'b' \"c\" $(touch pwned) `touch pwned` ; é"
TWO = [*parse_hosts("n0*2"), {"host": "other-host", "user": "me", "port": 2200, "local_worker_num": 2}]


@pytest.fixture
def stubs(tmp_path):
    """Programs that note their words, each on a line of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name, text='printf "%s\\n" "$(basename "$0")" "$@" >> "$NOTES"'):
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def written(tmp_path, make_profile, make_facts, stubs):
    """Writes the scripts of a plan whose names are odd, and returns their folder."""

    def write(hosts=(), name=ODD, **changes):
        work = tmp_path / name
        work.mkdir()
        facts = make_facts()
        environment = replace(facts.environment, python=stubs("python"), msrun=stubs("msrun"))
        ours = (stubs("sft-tui"),)
        facts = replace(facts, environment=environment, own_command=ours, training_command=ours)
        nodes = {"nodes__hosts": hosts} if hosts else {"nodes__worker_num": 2}
        plan = build_plan(make_profile(environment__work_dir=str(work), **nodes, **changes), facts)
        folder = tmp_path / "scripts of ours"
        (folder / "launch").mkdir(parents=True)
        for file_name, text in build_scripts(plan, facts.package_dir, launches(plan)).items():
            (folder / file_name).write_text(text)
        return folder

    return write


def run(folder, name, tmp_path, **env):
    notes = tmp_path / "notes"
    done = subprocess.run(
        ["bash", folder / name], env={**os.environ, "NOTES": str(notes), **env}, capture_output=True, text=True,
        cwd=tmp_path, timeout=60,
    )  # fmt: skip
    return done, notes.read_text().splitlines() if notes.exists() else []


@pytest.mark.parametrize(("name", "level"), [("work", "style"), (ODD, "warning")])
def test_shellcheck_has_nothing_to_say(written, name, level):
    """Of a name with `$(...)` in quotes it notes that it will not be expanded: quite so."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    folder = written(TWO, name)
    files = sorted([*folder.glob("*.sh"), *folder.glob("*.sbatch")])
    assert len(files) == 5
    done = subprocess.run(["shellcheck", f"--severity={level}", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_all_of_it_runs_in_order_and_no_name_is_obeyed(written, tmp_path):
    folder = written()
    done, said = run(folder, "run_all.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    order = [word for word in said if word in ("inspect", "convert-weight", "preprocess", "msrun", "summary")]
    assert order == ["inspect", "convert-weight", "preprocess", "preprocess", "msrun", "summary"]
    assert said[said.index("msrun") + 1] == "--worker_num=2"
    assert any(ODD in word for word in said)
    assert not list(tmp_path.rglob("pwned"))
    assert (tmp_path / ODD / "runs" / "run1" / "train.yaml").is_file()
    assert f"{folder}/launch/runtime/runner.py" in said


def test_nodes_have_their_rank_and_the_environment_can_say_another(written, tmp_path):
    folder = written(TWO)
    done, said = run(folder, "node_1.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("--worker_num=4", "--local_worker_num=2", "--master_addr=n0", "--node_rank=1", "--join=True"):
        assert word in said
    done, said = run(folder, "node_1.sh", tmp_path, NODE_RANK="7", MASTER_ADDR="node a")
    assert "--node_rank=7" in said and "--master_addr=node a" in said


def test_the_other_nodes_are_reached_by_ssh_and_a_failure_ends_all(written, stubs, tmp_path):
    folder = written(TWO)
    stubs("ssh", 'printf "%s\\n" ssh "$@" >> "$NOTES"; eval "${@: -1}"')
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done, said = run(folder, "run_all.sh", tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    assert {"--node_rank=0", "--node_rank=1", "me@other-host", "2200"} <= set(said)
    stubs("ssh", "exit 255")
    stubs("msrun", "sleep 30")
    (tmp_path / "notes").unlink()
    done, said = run(folder, "run_all.sh", tmp_path, PATH=path)
    assert done.returncode == 1
    assert "summary" not in said
