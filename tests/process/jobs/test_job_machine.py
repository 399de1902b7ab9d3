"""Any order of submitting, stopping, killing, waiting, removing and listing leaves files that are valid and true."""

from __future__ import annotations

import shutil
import signal
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sft_tui.core.job import JobState
from sft_tui.core.plan import Plan, Step
from sft_tui.errors import InvalidInputError
from sft_tui.jobs import client, process
from sft_tui.jobs.removal import remove_jobs
from sft_tui.store.job_store import JobFolder, job_number, list_jobs

SCRIPTS = {"quick": "exit 0", "bad": "exit 7", "long": "exec sleep 600", "deaf": "trap '' TERM; sleep 600 & wait; wait"}
ENDS = {"quick": {"succeeded"}, "bad": {"failed"}, "long": set(), "deaf": set()}


class JobMachine(RuleBasedStateMachine):
    """Drives real supervisors and keeps its own account of what must be true of them."""

    root = marked = None  # a folder, and what looks for processes of jobs; set by the test
    jobs = Bundle("jobs")

    def __init__(self):
        super().__init__()
        self.home = self.root / f"home-{time.monotonic_ns()}"
        self.jobs_dir = self.home / "jobs"
        self.account = {}  # id -> script, and what was done to the job: set of "stop", "kill"
        self.removed = set()

    @rule(target=jobs, script=st.sampled_from(sorted(SCRIPTS)), device=st.sampled_from(["", "npu:0"]))
    def submit(self, script, device):
        name = f"p{len(self.account) + len(self.removed)}"
        work = self.home / name
        step = Step(
            id="one", title="One", argv=("sh", "-c", f"echo ran >> ran; {SCRIPTS[script]}"), cwd=str(work),
            devices=(device,) if device else (),
        )  # fmt: skip
        folder = client.submit(self.jobs_dir, Plan(profile=name, steps=(step,)), stop_grace_seconds=0.2)
        assert job_number(folder.id) == len(self.account) + len(self.removed) + 1
        self.account[folder.id] = (script, work, set())
        return folder.id

    @rule(job=jobs)
    def submit_again_while_it_runs(self, job):
        if job not in self.account or self.state(job).finished:
            return
        spec = self.folder(job).load_spec()
        try:
            again = client.submit(self.jobs_dir, spec.plan, stop_grace_seconds=0.2)
        except InvalidInputError:
            return
        # it may have ended by itself in between; then the new one is as good as any
        assert self.state(job).finished
        self.account[again.id] = (self.account[job][0], self.account[job][1], {"again"})

    @rule(job=jobs, at_once=st.booleans())
    def stop(self, job, at_once):
        if job in self.account:
            stopped = client.stop(self.folder(job), at_once=at_once)
            self.account[job][2].update({"stop"} if stopped else ())

    @rule(job=jobs)
    def kill_supervisor(self, job):
        if job in self.account:
            killed = process.signal_process(self.folder(job).load_state().supervisor, signal.SIGKILL)
            self.account[job][2].update({"kill"} if killed else ())

    @rule(job=jobs)
    def wait(self, job):
        if job not in self.account:
            return
        script, _, done = self.account[job]
        if not (ENDS[script] or done):
            return  # it would take ten minutes
        if self.state(job).lifecycle == "queued" and not done:
            return  # behind one that takes ten minutes
        self.expect_end(job)

    @rule(job=jobs)
    def remove(self, job):
        if job not in self.account:
            return
        finished = self.state(job).finished
        try:
            remove_jobs(self.jobs_dir, [self.folder(job)])
        except InvalidInputError:
            assert not finished or "kill" in self.account[job][2]
            return
        assert not self.folder(job).path.exists()
        self.account.pop(job)
        self.removed.add(job)

    @invariant()
    def the_list_is_whole_and_true(self):
        assert {f.id for f in list_jobs(self.jobs_dir)} == set(self.account)
        for job, (script, work, done) in self.account.items():
            state = JobState.model_validate_json((self.folder(job).path / "state.json").read_bytes())
            true = self.state(job)
            assert state.id == true.id == job
            if true.finished:
                self.check_outcome(true, script, done)
            ran = (work / "ran").read_text().split() if (work / "ran").exists() else []
            assert len(ran) <= sum(1 for _, other, _ in self.account.values() if other == work) + len(self.removed)

    def check_outcome(self, state, script, done):
        allowed = set(ENDS[script])
        allowed |= {"stopped"} if "stop" in done else set()
        allowed |= {"lost"} if "kill" in done else set()
        assert state.outcome in allowed, (state, script, done)

    def expect_end(self, job):
        deadline = time.monotonic() + 20
        while not self.state(job).finished:
            assert time.monotonic() < deadline, self.state(job)
            time.sleep(0.02)

    def folder(self, job):
        return JobFolder(self.jobs_dir / job)

    def state(self, job):
        return client.read_state(self.folder(job))

    def teardown(self):
        for job in self.account:
            client.stop(self.folder(job), at_once=True)
        for job in self.account:
            self.account[job][2].add("stop")
            self.expect_end(job)
        left = self.marked(*map(self.folder, self.account))
        assert not left, f"processes that should not be: {left}"
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.mark.parametrize("examples", [4, pytest.param(150, marks=pytest.mark.nightly)])
def test_any_order_of_what_one_can_do_with_jobs(lab, examples):
    JobMachine.root, JobMachine.marked = lab.home / "machine", staticmethod(lab.marked)
    run_state_machine_as_test(
        JobMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
