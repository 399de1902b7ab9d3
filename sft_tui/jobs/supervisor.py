"""The supervisor: one process per job, sole writer of the job's folder, there until the job has ended."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import Optional

from sft_tui.core.job import Outcome
from sft_tui.core.plan import PlannedFile, Step
from sft_tui.files.whole_file import write_private
from sft_tui.jobs import completion, process, queue
from sft_tui.jobs.attempt import ORPHAN_GRACE_SECONDS, Attempt, JobStoppedError, StepFailedError, describe_os_error
from sft_tui.jobs.record import JobRecord, say
from sft_tui.jobs.requests import Requests
from sft_tui.jobs.resume import newest_of_interrupted
from sft_tui.jobs.stopping import describe_left
from sft_tui.metrics.points import Mark
from sft_tui.store.job_store import JobFolder

RETRY_SECONDS = 5.0  # to write on a full disk


class JobRefusedError(StepFailedError):
    """The job is not to be done as it was planned; the text is the reason."""


class Supervisor:
    """Waits for the job's turn, runs its steps in order, and records what happens."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.spec = folder.load_spec()
        self.record = JobRecord(folder)
        self.requests = Requests()
        self._forced = False

    def run(self) -> Outcome:
        """Run the job to its end; returns the outcome, which is on disk by then."""
        process.become_subreaper()
        self.record.update(supervisor=process.identify(os.getpid()))
        outcome, reason, hint = self._run_in_turn()
        left = process.end_descendants(min(ORPHAN_GRACE_SECONDS, self.spec.stop_grace_seconds))
        reason = "; ".join(filter(None, (reason, describe_left(left))))
        # the event first: who sees a finished job has seen all of its events
        self.record.emit("job_finished", data={"outcome": outcome, "reason": reason})
        self.record.update(
            lifecycle="finished", outcome=outcome, reason=reason, hint=hint, ended_at=time.time(), stop_by=None,
            waits_for=(), held=False,
        )  # fmt: skip
        self._write_what_is_left()
        return outcome

    def _write_what_is_left(self) -> None:
        """On a full disk wait for room, for the end of the job must not get lost; a request to stop ends that too."""
        self.requests.stop = False
        while self._is_worth_waiting():
            time.sleep(RETRY_SECONDS)
            self.record.catch_up()

    def _is_worth_waiting(self) -> bool:
        record = self.record
        return record.is_behind and not record.is_blocked and self.folder.path.is_dir() and not self.requests.stop

    def _run_in_turn(self) -> tuple[Outcome, str, str]:
        again = f"sft-tui run {self.record.state.profile}"
        try:
            self._wait_for_turn()
            self.record.emit("job_started")
            self._run_steps()
        except JobStoppedError as stopped:
            return "stopped", "stopped on request", str(stopped) or f"{again} goes on with what is not done"
        except JobRefusedError as error:
            return "failed", str(error), error.hint
        except StepFailedError as error:
            hint = f"{error.hint} " if error.hint else ""
            return "failed", str(error), f"{hint}sft-tui jobs log {self.folder.id} shows its log; then {again}"
        except OSError as error:
            reason = self._fail_running_step(describe_os_error(error))
            return "failed", reason, "Make room or change permissions, then run the profile again."
        except Exception:
            say(traceback.format_exc())
            reason = self._fail_running_step(f"sft-tui itself failed: see {self.folder.supervisor_log}")
            return "failed", reason, "Please report it with that file."
        return "succeeded", "", ""

    def _wait_for_turn(self) -> None:
        """Until no job before this one stands in its way."""
        jobs_dir = self.folder.path.parent
        told: Optional[queue.Wait] = None
        while not self.requests.stop:
            with queue.gate(jobs_dir):
                seen = queue.changed_at(jobs_dir)
                wait = queue.find_wait(self.folder, self.spec)
                if wait is None:
                    # still behind the gate: from here on the devices are ours
                    self.record.update(
                        lifecycle="running", started_at=time.time(), reason="", hint="", waits_for=(), held=False
                    )
                    return
            if wait != told:
                self.record.update(reason=wait.reason, hint=wait.hint, waits_for=wait.jobs, held=wait.held)
                self.record.emit("job_waits", data={"jobs": wait.jobs, "reason": wait.reason, "held": wait.held})
                told = wait
            queue.wait_for_change(jobs_dir, wait, seen, self._pause)
        raise JobStoppedError

    def _pause(self, seconds: float) -> bool:
        self.requests.sleep(seconds)
        self.record.catch_up()
        return self.requests.stop

    def _run_steps(self) -> None:
        plan, written = self.spec.plan, False
        for step in plan.steps:
            if self.requests.stop:
                raise JobStoppedError
            if not written and (not plan.run_folder or plan.enters_run_folder(step)):
                self._refuse_other_run(step)
                for file in plan.files:
                    _write_planned_file(file)
                written = True
                if self.requests.stop:  # a slow disk may have taken its time
                    raise JobStoppedError
            self._run_or_skip(step)
            if step.id == self.spec.until_step:
                return

    def _refuse_other_run(self, step: Step) -> None:
        """While this job waited, a job before it may have trained with other settings in the same folder."""
        is_part = self.spec.part_of is not None  # then the head has decided
        if self.spec.into or is_part or not self.spec.plan.run_folder:
            return
        from sft_tui.launch.plan.other_run import find_other_run  # most jobs are small, and start at once without it

        other = find_other_run(self.spec.plan)
        if other is None:
            return
        profile, now = self.spec.plan.profile, time.time()
        hint = f"Give this one another name (training.run_name), or write over it: sft-tui run {profile} --into."
        # a step that never began, for the next look; nothing of the other run is touched
        self.record.update(refused=True)
        self.record.update_step(step, status="failed", exit_code=2, started_at=now, ended_at=now, reason=other.message)
        self.record.emit("step_finished", step, {"status": "failed", "exit_code": 2, "reason": other.message})
        raise JobRefusedError(f"step {step.id}: {other.message}", hint)

    def _run_or_skip(self, step: Step) -> None:
        self._forced = self._forced or step.id == self.spec.from_step
        if step.not_needed:
            return
        done = None if self._forced else completion.find_record(completion.records_dir(step), step)
        if done is None:
            if step.resume and step.checkpoint_dir:  # without one it was decided elsewhere, on the head
                step = self._resumed(step)
            Attempt(step, self.record, self.requests, grace=self.spec.stop_grace_seconds).run()
            return
        reason = f"done by job {done.job}; command, inputs and outputs are unchanged"
        now = time.time()
        self.record.update_step(step, status="skipped", reason=reason, started_at=now, ended_at=now)
        self.record.emit("step_skipped", step, {"job": done.job})
        if "perplexity" in done.facts:
            self.record.measure([Mark("evaluation", 0, now, done.facts.get("loss"), done.facts["perplexity"])])
            self.record.emit("perplexity", step, {k: done.facts[k] for k in ("loss", "perplexity")})

    def _resumed(self, step: Step) -> Step:
        """The step with the newest checkpoint there is now: since it was planned, its data may have changed."""
        point = newest_of_interrupted(step)
        if point is None:
            self.record.note(f"{step.id} began anew: what it reads has changed, or its checkpoint is gone")
        return step.model_copy(update={"resume": point.arguments if point else ()})

    def _fail_running_step(self, reason: str) -> str:
        """No step may read as running in a job that has ended; the reason with the step's name."""
        for state in self.record.state.steps:
            if state.status == "running":
                step = self.spec.plan.step(state.id)
                self.record.update_step(step, status="failed", reason=reason, ended_at=time.time())
                self.record.emit("step_finished", step, {"status": "failed", "exit_code": None, "reason": reason})
                return f"step {state.id}: {reason}"
        return reason


def _write_planned_file(file: PlannedFile) -> None:
    path = Path(file.path)
    # the same text keeps its mtime, so that the steps that read it count as done
    if completion.has_text(path, file.text):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, file.text)


def supervise_command(arguments: list[str]) -> int:
    """`_supervise JOB_DIR LOCK_FD`: fork once more, so that nobody waits for us, then run the job."""
    job_dir, lock_descriptor = Path(arguments[0]), int(arguments[1])
    if os.fork() != 0:
        os._exit(0)
    # steps must not hold the lock: it tells whether this process lives
    os.set_inheritable(lock_descriptor, False)
    try:
        Supervisor(JobFolder(job_dir)).run()
    except BaseException:
        say(traceback.format_exc())
        # it cannot be written down any more, and nobody would watch over what runs on
        process.end_descendants(ORPHAN_GRACE_SECONDS)
        return 1
    return 0
