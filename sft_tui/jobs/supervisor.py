"""The supervisor: one process per job, sole writer of the job's folder, there until the job has ended."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
import traceback
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sft_tui.core.job import Event, EventKind, Outcome, StepStatus
from sft_tui.core.plan import PlannedFile, Step
from sft_tui.jobs import completion, process
from sft_tui.jobs.step_watch import StepWatch
from sft_tui.store.atomic import write_atomic
from sft_tui.store.job_store import JobFolder

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0  # to write on a full disk
ORPHAN_GRACE_SECONDS = 5.0
MAX_UNWRITTEN_EVENTS = 10_000


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
        self._unwritten: deque[Event] = deque(maxlen=MAX_UNWRITTEN_EVENTS)
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
        self._end_descendants()
        # the event first: who sees a finished job has seen all of its events
        self._emit("job_finished", data={"outcome": outcome, "reason": reason})
        self._update(lifecycle="finished", outcome=outcome, reason=reason, hint=hint, ended_at=time.time())
        self._write_what_is_left()
        return outcome

    def _write_what_is_left(self) -> None:
        """On a full disk wait for room, for the end of the job must not get lost; a request to stop ends that too."""
        self._stop_asked = False
        while self._is_behind() and self.folder.path.is_dir() and not self._stop_asked:
            time.sleep(RETRY_SECONDS)
            self._catch_up()

    def _run_steps(self) -> tuple[Outcome, str, str]:
        again = f"sft-tui run {self.state.profile}"
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
                f"{again} begins the stopped step again and goes on",
            )
        except StepFailedError as error:
            return "failed", str(error), f"sft-tui jobs log {self.folder.id} shows its log; then {again}"
        except OSError as error:
            reason = self._fail_running_step(_describe_os_error(error))
            return "failed", reason, "Make room or change permissions, then run the profile again."
        except Exception:
            _say(traceback.format_exc())
            reason = self._fail_running_step(f"sft-tui itself failed: see {self.folder.supervisor_log}")
            return "failed", reason, "Please report it with that file."
        return "succeeded", "", ""

    def _run_or_skip(self, step: Step) -> None:
        self._forced = self._forced or step.id == self.spec.from_step
        if step.not_needed:
            return
        record = None if self._forced else completion.find_record(completion.records_dir(step), step)
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
        self._step_update(step, status="running", started_at=time.time())
        completion.forget_record(completion.records_dir(step), step)
        self._emit("step_started", step, {"command": step.command})
        Path(step.cwd).mkdir(parents=True, exist_ok=True)
        inputs, before = completion.sign_inputs(step), completion.sign_outputs(step)
        watch = StepWatch(step, log)
        try:
            child = process.start_step(step, log, self.folder.path)
        except OSError as error:
            self._fail(step, None, f"{step.argv[0]} could not be started: {_describe_os_error(error)}")
        self._step_update(step, process=process.identify(child.pid))
        stopped = self._wait_for(step, child, watch)
        # msrun ends before its helpers; data workers outlive a killed parent
        self._end_descendants()
        self._forward(step, watch, to_the_end=not stopped)
        watch.close()
        if stopped:
            self._end_step(step, "stopped", child.returncode, "stopped on request")
            raise JobStoppedError
        self._judge(step, child.returncode, watch.facts, before)
        self._remember(step, watch.facts, inputs)

    def _wait_for(self, step: Step, child: process.Child, watch: StepWatch) -> bool:
        """Forward what the step says until it has ended; whether it was stopped."""
        deadline: float | None = None
        killed = False
        while child.poll() is None:
            if self._stop_asked and deadline is None:
                deadline = time.monotonic() + self.spec.stop_grace_seconds
                self._update(lifecycle="stopping")
                self._emit("stop_asked", step, {"grace_seconds": self.spec.stop_grace_seconds})
                process.signal_descendants(signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline and not killed:
                killed = True
                process.signal_descendants(signal.SIGKILL)
            self._sleep()
            process.reap_orphans(spare=child.pid)
            self._forward(step, watch)
            self._catch_up()
        return deadline is not None

    def _judge(self, step: Step, code: int, facts: dict[str, Any], before: completion.Signatures) -> None:
        if code != 0:
            how, why = process.describe_exit(code), completion.first_error(step, self.folder.step_log(step.id))
            self._fail(step, code, f"{how}: {why}" if why else how)
        completion.note_other_workers(step, facts)
        missing = completion.missing_output(step, facts, before)
        if missing:
            self._fail(step, code, f"exit code 0, but {missing}")

    def _remember(self, step: Step, facts: dict[str, Any], inputs: completion.Signatures) -> None:
        reason = ""
        try:
            completion.save_record(completion.records_dir(step), step, self.folder.id, facts, inputs)
        except OSError as error:  # the work is done all the same
            reason = f"no record of it could be kept ({_describe_os_error(error)}): a later run does it again"
        self._end_step(step, "done", 0, reason)

    def _end_step(self, step: Step, status: StepStatus, code: int | None, reason: str) -> None:
        self._step_update(step, status=status, exit_code=code, ended_at=time.time(), reason=reason)
        self._emit("step_finished", step, {"status": status, "exit_code": code, "reason": reason})

    def _fail(self, step: Step, code: int | None, reason: str) -> NoReturn:
        self._end_step(step, "failed", code, reason)
        raise StepFailedError(f"step {step.id}: {reason}")

    def _fail_running_step(self, reason: str) -> str:
        """No step may read as running in a job that has ended; the reason with the step's name."""
        for state in self.state.steps:
            if state.status == "running":
                self._end_step(self.spec.plan.step(state.id), "failed", None, reason)
                return f"step {state.id}: {reason}"
        return reason

    def _end_descendants(self) -> None:
        left = process.end_descendants(grace=min(ORPHAN_GRACE_SECONDS, self.spec.stop_grace_seconds))
        if left:
            _say(f"processes that SIGKILL did not end: {left}")

    def _forward(self, step: Step, watch: StepWatch, *, to_the_end: bool = False) -> None:
        for kind, data in watch.read(to_the_end=to_the_end):
            self._emit(kind, step, data)

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

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of JobState
        self.state = self.state.model_copy(update=changes)
        self._save()

    def _step_update(self, step: Step, **changes: Any) -> None:  # noqa: ANN401 - fields of StepState
        self.state = self.state.with_step(step.id, **changes)
        self._save()

    def _save(self) -> None:
        try:
            self.folder.save_state(self.state)
            self._unsaved = False
        except OSError as error:
            if not self._unsaved:
                _say(f"state not saved: {error}")
            self._unsaved = True

    def _emit(self, kind: EventKind, step: Step | None = None, data: dict[str, Any] | None = None) -> None:
        self._unwritten.append(Event(kind=kind, time=time.time(), step=step.id if step else "", data=data or {}))
        self._write_events()

    def _write_events(self) -> None:
        while self._unwritten:
            try:
                self.folder.append_event(self._unwritten[0])
            except OSError as error:
                if len(self._unwritten) == 1:
                    _say(f"event not written: {error}")
                return
            self._unwritten.popleft()

    def _is_behind(self) -> bool:
        return self._unsaved or bool(self._unwritten)

    def _catch_up(self) -> None:
        """Write again what a full disk had no room for."""
        self._write_events()
        if self._unsaved:
            self._save()


def _say(text: str) -> None:
    """Into supervisor.log, if there is room."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="replace"))


def _write_planned_file(file: PlannedFile) -> None:
    path = Path(file.path)
    # the same text keeps its mtime, so that the steps that read it count as done
    if path.is_file() and path.read_text(encoding="utf-8") == file.text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
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
        _say(traceback.format_exc())
        return 1
    return 0
