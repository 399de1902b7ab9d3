"""A training on two hosts, each with its own sshd and home: what ends it, what does not, and who is named."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sft_tui.metrics.points import MetricPoint
from sft_tui.metrics.store import iterate_metrics
from tests.process.nodes.two_hosts import HEAD, OTHER, PORT, Hosts, Work, run


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("network namespaces want root")
    for program in ("ip", "ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here (Debian: iproute2, openssh-client)")
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("there is no sshd here (Debian: openssh-server)")
    probe = subprocess.run(["ip", "netns", "add", "sft-probe"], check=False, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"network namespaces cannot be made here: {probe.stderr.strip()}")
    run("ip", "netns", "del", "sft-probe")
    separation = Path("/run/sshd")
    made = not separation.exists()
    if made:
        separation.mkdir(mode=0o755)
    found = Hosts(tmp_path_factory.mktemp("n"))
    (found.folder / "run").mkdir()
    try:
        found.set_up()
        yield found
    finally:
        found.tear_down()
        if made:
            shutil.rmtree(separation, ignore_errors=True)


@pytest.fixture
def work(hosts, tmp_path, eventually):
    folder = tmp_path / "a $(touch pwned) 'name\" ö;"
    folder.mkdir()
    made = Work(hosts, folder, eventually)
    yield made
    hosts.trust("host_key")
    hosts.link("up")
    hosts.await_connection()
    made.go()
    assert not list(hosts.folder.rglob("pwned")) and not Path("/pwned").exists()


def test_both_train_and_the_head_follows(work):
    work.start()
    work.go()
    job = work.end()
    assert job["outcome"] == "succeeded", job
    assert {p.name for p in (work.folder / "checkpoint").iterdir()} == {"rank_0", "rank_1"}
    assert [
        len([f for f in work.hosts.jobs(host) if f.id.startswith(f"{work.job}@")]) for host in ("head", "other")
    ] == [1, 1]
    assert "[1] INFO - { Epoch:[  1/  1], step:[  100/  100]" in work.log()
    assert work.hosts.sft("jobs", "wait", work.job.partition("-")[0]).returncode == 0


@pytest.mark.parametrize("rank", [0, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_worker_that_is_killed_ends_all_and_is_named(work, rank):
    work.workers = 2
    work.start()
    os.kill(work.pid(rank), signal.SIGKILL)
    job = work.end()
    host = (HEAD, OTHER)[rank // 2]
    assert f"node {rank // 2} ({host}), rank {rank}, failed first: its worker was killed by SIGKILL" in job["reason"]
    assert job["outcome"] == "failed" and work.is_over()


def test_an_error_of_a_worker_is_told_with_its_cause(work):
    work.start()
    (work.folder / "fail_1").touch()
    job = work.end()
    assert (
        f"node 1 ({OTHER}), rank 1, failed first:" in job["reason"] and "nothing is left of the loss" in job["reason"]
    )
    assert work.is_over()


def test_a_stop_is_for_all(work):
    work.start()
    result = work.hosts.sft("jobs", "stop", work.job)
    assert "stopped" in result.stdout and work.is_over()
    assert [f.load_state().outcome for h in ("head", "other") for f in work.hosts.jobs(h)[-1:]] == [
        "stopped",
        "stopped",
    ]


@pytest.mark.parametrize("seconds", [0.0, pytest.param(1.0, marks=pytest.mark.nightly), 1.6])
def test_a_stop_that_comes_early_leaves_nothing(work, seconds):
    result = work.submit()
    assert result.returncode == 0, result.stderr
    time.sleep(seconds)
    stopped = work.hosts.sft("jobs", "stop", result.stdout.strip())
    assert "stopped" in stopped.stdout, stopped.stdout + stopped.stderr
    left = [
        p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if str(work.folder) in (p.info["cmdline"] or ())
    ]
    assert left == []


def test_a_kill_is_for_all(work):
    work.start()
    assert "stopped" in work.hosts.sft("jobs", "stop", "--now", work.job).stdout
    assert work.is_over()


@pytest.mark.parametrize("what", ["sshd", "link"])
def test_a_lost_connection_is_no_dead_job_and_is_found_again(work, what):
    work.start()
    work.hosts.kill_sshd() if what == "sshd" else work.hosts.link("down")
    work.says(f"node 1 ({OTHER}) is not reachable since ")
    assert psutil.pid_exists(work.pid(1))
    work.hosts.start_sshd() if what == "sshd" else work.hosts.link("up")
    work.eventually(lambda: "not reachable" not in work.show()["reason"], "it is found again", 90.0)
    work.go()
    assert work.end()["outcome"] == "succeeded"
    lines = [line for line in work.log().splitlines() if "step:[  100/" in line]
    assert len(lines) == 1, "nothing is told twice"


def test_a_node_that_is_lost_when_another_fails_is_told_with_what_to_do(work):
    work.start()
    work.hosts.link("down")
    work.says(f"node 1 ({OTHER}) is not reachable since ")
    os.kill(work.pid(0), signal.SIGKILL)
    job = work.end()
    assert f"node 0 ({HEAD}), rank 0, failed first" in job["reason"]
    assert f"node 1 ({OTHER}) is not reachable since " in job["reason"]
    assert f"there sft-tui jobs stop {work.job}@train-node1 ends its part" in work.log()


def refused(work, *words):
    before = len(work.hosts.jobs("head"))
    result = work.submit()
    assert result.returncode == 4, result.stdout + result.stderr
    assert f"1  {OTHER}" in result.stderr, "the table is shown"
    for word in words:
        assert word in result.stderr
    assert len(work.hosts.jobs("head")) == before


def test_a_link_that_is_cut_at_start_is_told(work):
    work.hosts.link("down")
    refused(work, f"node 1 ({OTHER}), reach")


def test_another_host_key_is_never_accepted(work, hosts):
    shutil.rmtree(hosts.folder / "run")
    (hosts.folder / "run").mkdir()  # no connection of before is left
    hosts.trust("other_key")
    refused(work, "its host key is not the one that is known", "ssh-keygen -R")


def test_other_data_on_one_node_is_found(work, tmp_path):
    work.other_dir = tmp_path / "theirs"
    work.other_dir.mkdir()
    (work.other_dir / "data").write_text("ROWS")
    refused(work, f"{work.other_dir}/data is another file")


def test_a_port_that_is_taken_is_told(work, hosts):
    listen = (
        f"import socket, time; s = socket.create_server(('{HEAD}', {PORT})); print('.', flush=True); time.sleep(60)"
    )
    words = ["ip", "netns", "exec", hosts.head_space, sys.executable, "-c", listen]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        try:
            refused(work, f"{HEAD} port {PORT} is in use")
        finally:
            holder.kill()


@pytest.mark.parametrize(
    ("offset", "says"), [("+10m", "ahead"), pytest.param("-10m", "behind", marks=pytest.mark.nightly)]
)
def test_a_clock_that_is_ten_minutes_off_is_told(work, tmp_path, offset, says):
    library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("there is no libfaketime here (Debian: libfaketime)")
    work.other_python = tmp_path / "python"
    fake = f"LD_PRELOAD={library} FAKETIME={offset} DONT_FAKE_MONOTONIC=1"
    work.other_python.write_text(f'#!/bin/sh\n{fake} exec {sys.executable} "$@"\n')
    work.other_python.chmod(0o755)
    refused(work, f"node 1 ({OTHER}), clock: its clock is", f" {says}. Set it by NTP")


REHEARSE = """
import sys
from pathlib import Path
from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

data = write_workspace(Path(sys.argv[1]))
data["rehearsal"] = False
data["training"].update(run_name="nodes", evaluate=False, epochs=int(sys.argv[2]))
data["nodes"]["hosts"] = [{"host": host, "local_worker_num": 1} for host in sys.argv[3:]]
save_profile_data(profiles_dir(), "demo", data)
"""


class RealTraining:
    """The toy model of the rehearsal, one worker on each host."""

    def __init__(self, hosts, folder, eventually):
        self.hosts, self.eventually, self.run_dir = hosts, eventually, folder / "demo/work/runs/nodes"
        made = hosts.command("-c", REHEARSE, folder / "demo", 1, HEAD, OTHER)
        assert made.returncode == 0, made.stderr

    def start(self, *flags):
        started = self.hosts.sft("run", "demo", "--detach", *flags)
        assert started.returncode == 0, started.stderr
        self.job = started.stdout.strip()
        ended = "finished"
        self.eventually(lambda: self.steps() or self.show()["lifecycle"] == ended, "it trains", 120.0)
        assert self.show()["reason"] == "all 2 ranks on 2 nodes have started", self.show()

    def show(self):
        return json.loads(self.hosts.sft("jobs", "show", self.job, "--json").stdout)

    def steps(self):
        [head] = [f for f in self.hosts.jobs("head") if f.id == self.job]
        return [row.step for row in iterate_metrics(head.metrics) if isinstance(row, MetricPoint)]

    def worker(self):
        """The process of rank 1, on the other host."""
        listed = subprocess.run(["ip", "netns", "pids", self.hosts.other_space], capture_output=True, check=True)
        for pid in map(int, listed.stdout.split()):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                marked = b"RANK_ID=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
                if marked and "runner.py" in " ".join(psutil.Process(pid).cmdline()):
                    return pid
        pytest.fail("rank 1 does not run")


@pytest.mark.real
@pytest.mark.nightly
@pytest.mark.parametrize("killed_before", [False, True])
def test_mindformers_trains_on_both_hosts(hosts, tmp_path_factory, eventually, killed_before):
    """A training is stopped, saves on both hosts, and goes on from there; before it one had a worker killed."""
    real = RealTraining(hosts, tmp_path_factory.mktemp("real"), eventually)
    doctor = hosts.sft("doctor", "--profile", "demo")
    assert doctor.returncode == 0 and f"1  {OTHER}" in doctor.stdout, doctor.stdout + doctor.stderr
    plan = hosts.sft("plan", "demo").stdout
    assert f"on node 1 ({OTHER}): " in plan and "--node_rank=1" in plan

    if killed_before:
        real.start()
        os.kill(real.worker(), signal.SIGKILL)
        eventually(lambda: real.show()["lifecycle"] == "finished", "all has stopped", 60.0)
        assert f"node 1 ({OTHER}), rank 1, failed first: its worker was killed by SIGKILL" in real.show()["reason"]

    real.start()
    assert hosts.sft("jobs", "stop", real.job).returncode == 0
    assert real.show()["outcome"] == "stopped"
    again = hosts.sft("run", "demo", timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Going on from" in again.stderr and f"step {real.steps()[-1] + 1}/" in again.stderr
    assert {p.name for p in (real.run_dir / "checkpoint").iterdir()} == {"rank_0", "rank_1"}
    summary = json.loads((real.run_dir / "summary.json").read_text())
    assert summary["last_loss"] < summary["first_loss"] - 2
