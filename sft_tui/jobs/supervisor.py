"""The supervisor: one process per job, sole writer of the job's folder, there until the job has ended."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from sft_tui.core.job import Event, EventKind, Outcome
from sft_tui.core.plan import PlannedFile, Step
from sft_tui.jobs import completion, process
from sft_tui.jobs.step_watch import StepWatch
from sft_tui.store.atomic import make_private_dir, write_atomic
from sft_tui.store.job_store import JobFolder

POLL_SECONDS = 0.5
STOP_GRACE_SECONDS = 30.0


class StepFailedError(Exception):
    """A step ended without success; the text is the reason."""


class JobStoppedError(Exception):
    """The user asked the job to stop."""


class Supervisor:
    """Runs the steps of one job in order and records what happens."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.spec = folder.load_spec()
        self.state = folder.load_state()
        self._unsaved = False
        self._stop_asked = False
        self._forced = False
        self._wakeup_read, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> Outcome:
        """Run the job to its end; returns the outcome, which is on disk by then."""
        self._install_signals()
        process.become_subreaper()
        self._update(lifecycle="running", started_at=time.time(), supervisor=process.identify(os.getpid()))
        self._emit("job_started")
        outcome, reason, hint = self._run_steps()
        process.end_descendants(grace=5.0)
        self._update(lifecycle="finished", outcome=outcome, reason=reason, hint=hint, ended_at=time.time())
        self._emit("job_finished", data={"outcome": outcome, "reason": reason})
        while self._unsaved:  # a full disk: the end of the job must not get lost
            time.sleep(POLL_SECONDS * 10)
            self._save()
        return outcome

    def _run_steps(self) -> tuple[Outcome, str, str]:
        try:
            for file in self.spec.plan.files:
                _write_planned_file(file)
            for step in self.spec.plan.steps:
                if self._stop_asked:
                    raise JobStoppedError
                self._run_or_skip(step)
                if step.id == self.spec.until_step:
                    break
        except JobStoppedError:
            return (
                "stopped",
                "stopped on request",
                f"sft-tui run {self.state.profile} goes on from where it was stopped",
            )
        except StepFailedError as error:
            return (
                "failed",
                str(error),
                f"sft-tui jobs log {self.folder.id} shows its log; then sft-tui run {self.state.profile}",
            )
        except OSError as error:
            return "failed", _describe_os_error(error), "Make room or change permissions, then run the profile again."
        except Exception:
            traceback.print_exc()  # into supervisor.log
            return (
                "failed",
                f"sft-tui itself failed: see {self.folder.supervisor_log}",
                "Please report it with that file.",
            )
        return "succeeded", "", ""

    def _run_or_skip(self, step: Step) -> None:
        if step.not_needed:
            return
        self._forced = self._forced or step.id == self.spec.from_step
        record = None if self._forced else completion.find_record(_records_dir(step), step)
        if record is None:
            self._run_step(step)
            return
        reason = f"done by job {record.job}; command, inputs and outputs are unchanged"
        now = time.time()
        self._step_update(step, status="skipped", reason=reason, started_at=now, ended_at=now)
        self._emit("step_skipped", step, {"job": record.job})
        if "perplexity" in record.facts:
            self._emit("perplexity", step, {k: record.facts[k] for k in ("loss", "perplexity")})

    def _run_step(self, step: Step) -> None:
        log = self.folder.step_log(step.id)
        since = time.time()
        Path(step.cwd).mkdir(parents=True, exist_ok=True)
        self._step_update(step, status="running", started_at=since)
        self._emit("step_started", step, {"command": step.command})
        watch = StepWatch(step, log)
        try:
            child = process.start_step(step.argv, step.cwd, step.env, log)
        except OSError as error:
            self._end_step(step, "failed", None, f"{step.argv[0]} could not be started: {error.strerror}")
        self._step_update(step, process=process.identify(child.pid))
        while child.poll() is None:
            if self._stop_asked:
                self._stop(step, child)
            self._sleep()
            self._forward(step, watch)
            if self._unsaved:
                self._save()
        # msrun ends before its helpers; data workers outlive a killed parent
        process.end_descendants(grace=5.0)
        self._forward(step, watch)
        self._judge(step, child.returncode, watch.facts, since, log)

    def _judge(self, step: Step, code: int, facts: dict[str, Any], since: float, log: Path) -> None:
        if self._stop_asked:
            self._step_update(step, status="stopped", exit_code=code, ended_at=time.time(), reason="stopped on request")
            self._emit("step_finished", step, {"status": "stopped", "exit_code": code})
            raise JobStoppedError
        if code != 0:
            why = completion.first_error(step, log)
            self._end_step(
                step, "failed", code, f"{process.describe_exit(code)}: {why}" if why else process.describe_exit(code)
            )
        missing = completion.missing_output(step, facts, since)
        if missing:
            self._end_step(step, "failed", code, f"exit code 0, but {missing}")
        completion.save_record(_records_dir(step), step, self.folder.id, facts)
        self._end_step(step, "done", code, "")

    def _end_step(self, step: Step, status: str, code: int | None, reason: str) -> None:
        self._step_update(step, status=status, exit_code=code, ended_at=time.time(), reason=reason)
        self._emit("step_finished", step, {"status": status, "exit_code": code, "reason": reason})
        if status == "failed":
            raise StepFailedError(f"step {step.id}: {reason}")

    def _forward(self, step: Step, watch: StepWatch) -> None:
        for kind, data in watch.read():
            self._emit(kind, step, data)

    def _stop(self, step: Step, child: subprocess.Popen[bytes]) -> None:
        self._update(lifecycle="stopping")
        self._emit("stop_asked", step, {"grace_seconds": STOP_GRACE_SECONDS})
        process.signal_descendants(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            self._sleep()
        if child.poll() is None:
            process.signal_descendants(signal.SIGKILL)
            child.wait()

    def _install_signals(self) -> None:
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        # handlers, not SIG_IGN: a step must not inherit that these are ignored
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, lambda _number, _frame: None)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked = True

    def _sleep(self) -> None:
        """Until the poll interval is over or a signal (a child's end, a request to stop) has come."""
        readable, _, _ = select.select([self._wakeup_read], [], [], POLL_SECONDS)
        if readable:
            try:
                os.read(self._wakeup_read, 4096)
            except BlockingIOError:
                return

    def _update(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        self._save()

    def _step_update(self, step: Step, **changes: Any) -> None:
        self.state = self.state.with_step(step.id, **changes)
        self._save()

    def _save(self) -> None:
        try:
            self.folder.save_state(self.state)
            self._unsaved = False
        except OSError as error:
            if not self._unsaved:
                print(f"state not saved: {error}", flush=True)
            self._unsaved = True

    def _emit(self, kind: EventKind, step: Step | None = None, data: dict[str, Any] | None = None) -> None:
        event = Event(kind=kind, time=time.time(), step=step.id if step else "", data=data or {})
        try:
            self.folder.append_event(event)
        except OSError as error:
            print(f"event {kind} not written: {error}", flush=True)


def _records_dir(step: Step) -> Path:
    return Path(step.cwd) / ".sft-tui"


def _write_planned_file(file: PlannedFile) -> None:
    path = Path(file.path)
    # the same text keeps its mtime, so that the steps that read it count as done
    if path.is_file() and path.read_text(encoding="utf-8") == file.text:
        return
    make_private_dir(path.parent)
    write_atomic(path, file.text)


def _describe_os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}"
    return f"{error.strerror or error}{where}"


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
        traceback.print_exc()
        sys.stdout.flush()
        return 1
    return 0
