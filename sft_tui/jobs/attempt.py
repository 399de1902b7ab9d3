"""One step of a job, from its start to the proof of what it left."""

from __future__ import annotations

import errno
import resource
import signal
import time
from pathlib import Path
from typing import NoReturn, Optional

from sft_tui.core.job import StepExit, StepStatus
from sft_tui.core.plan import Step
from sft_tui.diagnosis.first_error import tells_an_error
from sft_tui.diagnosis.verdict import verdict_to_json
from sft_tui.jobs import completion, process
from sft_tui.jobs.evidence.device_memory import DeviceMemory
from sft_tui.jobs.evidence.machine_evidence import MEMORY_HINT, MemoryKills, full_disk
from sft_tui.jobs.evidence.step_diagnosis import diagnose_step, sign_worker_logs, why_failed
from sft_tui.jobs.record import JobRecord, say
from sft_tui.jobs.requests import Requests
from sft_tui.jobs.resume import newest_of_interrupted
from sft_tui.jobs.step_watch import StepWatch
from sft_tui.jobs.stopping import Stopping, describe_left, forget_request
from sft_tui.metrics.alerts import memory_not_released
from sft_tui.paths import prefers_chinese

POLL_SECONDS = 0.5
ORPHAN_GRACE_SECONDS = 5.0


class StepFailedError(Exception):
    """A step ended without success; the text is the reason."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class JobStoppedError(Exception):
    """The user asked the job to stop; the text says how to go on, if there is more to say than usual."""


class Attempt:
    """Runs a step once. What happens is in the job's record, and in the exit record of the step."""

    def __init__(self, step: Step, record: JobRecord, requests: Requests, *, grace: float) -> None:
        self.step = step
        self._record = record
        self._folder = record.folder
        self._requests = requests
        self._grace = grace
        self._started, self._clock, self._cpu = time.time(), time.monotonic(), _cpu_of_children()
        self._left: list[int] = []

    def run(self) -> None:
        """Run the step. Raises StepFailedError, JobStoppedError, OSError before it has started."""
        step, log = self.step, self._folder.step_log(self.step.id)
        self._record.update_step(step, status="running", started_at=self._started)
        self._record.emit("step_started", step, {"command": step.command})
        Path(step.cwd).mkdir(parents=True, exist_ok=True)
        self._inputs, self._before = completion.sign_inputs(step), completion.sign_outputs(step)
        self._logs_before = sign_worker_logs(step)
        completion.note_begin(
            completion.records_dir(step), step, self._folder.id, self._inputs, self._before,
            keep_earlier=bool(step.checkpoint_dir) and newest_of_interrupted(step) is not None,
        )  # fmt: skip
        forget_request(step)
        self._memory = DeviceMemory(step.devices)
        self._watch, self._kills = StepWatch(step, log), MemoryKills()
        try:
            self._run(log)
        finally:
            self._watch.close()
            self._kills.close()

    def _run(self, log: Path) -> None:
        step = self.step
        if self._requests.stop:  # asked while the step's beginning was written down
            self._end("stopped", None, "stopped on request before it began")
            raise JobStoppedError
        try:
            child = process.start_step(step, log, self._folder.path)
        except OSError as error:
            self._fail(None, f"{step.whole_argv[0]} could not be started: {describe_os_error(error)}")
        self._record.update_step(step, process=process.identify(child.pid))
        stopping = self._wait_for(child)
        forget_request(step)
        # msrun ends before its helpers; data workers outlive a killed parent
        self._left = process.end_descendants(min(ORPHAN_GRACE_SECONDS, self._grace))
        self._forward_rest(stopping, child.returncode)
        if stopping is not None and not (child.returncode == 0 and self._watch.all_trained):
            self._end_stopped(child.returncode)
        self._judge(child.returncode)
        self._remember()

    def _wait_for(self, child: process.Child) -> Optional[Stopping]:
        """Forward what the step says until it has ended; how it was stopped, if it was."""
        stopping: Optional[Stopping] = None
        while child.poll() is None:
            if self._requests.stop and stopping is None:
                grace = 0.0 if self._requests.kill else self._grace
                stopping = Stopping(self.step, self._record, grace=grace, trains=self._watch.trains)
            if stopping is not None:
                stopping.look(at_once=self._requests.kill)
                if stopping.in_vain:  # it hangs in the kernel: the job ends without it, and says so
                    break
            self._requests.sleep(POLL_SECONDS)
            process.reap_orphans(spare=child.pid)
            self._forward(stopping=stopping is not None)
            self._record.catch_up()
        return stopping

    def _forward_rest(self, stopping: Optional[Stopping], code: Optional[int]) -> None:
        """What a step that has ended still has in its log: all of it, unless somebody wants the job to stop."""
        while self._forward(ended=True) and (stopping is None or stopping.saves):
            self._record.catch_up()
            if self._requests.kill or (self._requests.stop and stopping is None):
                break
        if stopping is None and self._requests.stop and code == 0:
            self._end("stopped", code, "stopped on request, before what it left was looked at")
            raise JobStoppedError

    def _end_stopped(self, code: Optional[int]) -> NoReturn:
        """Look again what is left, and say from where a later run will go on."""
        left = describe_left(self._left) or "after the stop no process of the step was left"
        memory = self._memory.describe_release()
        self._record.emit("stop_checked", self.step, {"left": self._left, "device_memory": memory})
        if self._memory.held:
            self._record.emit("watch_out", self.step, memory_not_released(memory, time.time()).as_data())
        self._record.note("; ".join(filter(None, (left, memory))))
        self._end("stopped", code, "stopped on request")
        point = newest_of_interrupted(self.step) if self.step.checkpoint_dir else None
        again = f"sft-tui run {self._record.state.profile}"
        if point is not None:
            raise JobStoppedError(f"{again} goes on from the checkpoint of step {point.done}")
        raise JobStoppedError(f"{again} begins the stopped step again and goes on")

    def _judge(self, code: int) -> None:
        if code != 0:
            how = process.describe_exit(code)
            log = self._folder.step_log(self.step.id)
            why = why_failed(self.step, log, self._logs_before, self._is_asked_to_stop)
            if code < 0 and not tells_an_error(why):
                why = ""  # the last word of who was killed: a progress bar, as a rule
            self._fail(code, f"{how}: {why}" if why else how)
        completion.note_other_workers(self.step, self._watch.facts)
        missing = completion.missing_output(self.step, self._watch.facts, self._before)
        if missing:
            if self._watch.facts.get("not_loaded") and not self.step.resume:
                # its checkpoints came of weights that were never loaded: nothing to go on from
                completion.forget_begin(completion.records_dir(self.step), self.step)
            self._fail(code, f"exit code 0, but {missing}")

    def _is_asked_to_stop(self) -> bool:
        return self._requests.stop

    def _fail(self, code: int | None, reason: str) -> NoReturn:
        hint = ""
        places = [self.step.cwd, *(output.path for output in self.step.outputs), str(self._folder.path)]
        killed, sure = self._kills.describe(), code == -signal.SIGKILL or "Killed" in reason
        if killed and (sure or self._kills.in_our_cgroup):
            reason, hint = f"{killed} ({reason})", MEMORY_HINT
        elif full := full_disk(places):
            reason, hint = f"the disk is full: {full} ({reason})", "Make room there."
        elif killed:
            reason = f"{reason}; meanwhile {killed}"
        advice = self._diagnose()
        self._end("failed", code, reason)
        hint = hint or advice
        raise StepFailedError(f"step {self.step.id}: {reason}", hint)

    def _diagnose(self) -> str:
        """Write down what the logs say of the first cause; what to do, where they say it for sure."""
        try:
            log = self._folder.step_log(self.step.id)
            verdict = diagnose_step(self.step, log, self._logs_before, self._is_asked_to_stop)
        except OSError as error:
            say(f"no diagnosis of {self.step.id}: {error}")
            return ""
        if verdict.failed:
            self._record.emit("diagnosis", self.step, verdict_to_json(verdict))
        if not verdict.sure:
            return ""
        return verdict.remedy_zh if prefers_chinese() else verdict.remedy_en

    def _remember(self) -> None:
        reason, records = "", completion.records_dir(self.step)
        try:
            completion.save_record(records, self.step, self._folder.id, self._watch.facts, self._inputs)
        except OSError as error:  # the work is done all the same
            reason = f"no record of it could be kept ({describe_os_error(error)}): a later run does it again"
        self._end("done", 0, reason)

    def _end(self, status: StepStatus, code: int | None, reason: str) -> None:
        now = time.time()
        record = StepExit(
            job=self._folder.id, step=self.step.id, status=status, exit_code=code,
            signal=process.signal_name(code or 0), reason=reason, started_at=self._started, ended_at=now,
            seconds=time.monotonic() - self._clock, cpu_seconds=max(0.0, _cpu_of_children() - self._cpu),
            left_running=tuple(self._left),
        )  # fmt: skip
        self._record.save_exit(record)
        if self.step.least_grace and self._record.state.lifecycle == "running":
            self._record.update(reason="")  # the news of its nodes are over
        self._record.update_step(self.step, status=status, exit_code=code, ended_at=now, reason=reason)
        self._record.emit("step_finished", self.step, {"status": status, "exit_code": code, "reason": reason})

    def _forward(self, *, ended: bool = False, stopping: bool = False) -> bool:
        """Hand on what the logs say; whether they say more."""
        news = self._watch.read(ended=ended, stopping=stopping)
        self._record.measure(news.rows)
        for kind, data in news.events:
            self._record.emit(kind, self.step, data)
            if kind == "node_news" and self._record.state.lifecycle == "running":
                self._record.update(reason=data["text"])
        return news.more


def describe_os_error(error: OSError) -> str:
    """What went wrong, and where."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}"
    return f"{error.strerror or error}{where}"


def _cpu_of_children() -> float:
    """CPU seconds of all ended children, theirs included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
