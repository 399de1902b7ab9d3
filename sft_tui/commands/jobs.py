"""jobs list, show, log, attach, stop, wait, rm."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from datetime import datetime
from typing import Iterator, Sequence

from sft_tui.commands._common.follow import attach as attach_to
from sft_tui.commands._common.follow import describe_watch_out
from sft_tui.commands._common.report import StatusLine, ask, print_json, print_json_text, say, warn
from sft_tui.core.job import JobState
from sft_tui.core.terminal_text import short_duration, short_size
from sft_tui.errors import InvalidInputError, SftError, StoppedError
from sft_tui.jobs import client
from sft_tui.jobs.read_state import HALTED, is_supervised, read_state
from sft_tui.jobs.removal import check_removable, disk_usage, find_waited_for, remove_jobs
from sft_tui.logs.tail import LogTail
from sft_tui.metrics.alerts import WatchOut, read_watch_out
from sft_tui.paths import jobs_dir
from sft_tui.store.job_store import JobFolder, find_job, list_jobs

HEADLINE_SHOWN = 160  # `jobs show` has all of it
SIGNS_AT_MOST = 1000  # the newest of them


def list_all(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs list`."""
    states: list[JobState] = []
    damaged: dict[str, str] = {}
    for folder in list_jobs(jobs_dir()):
        try:
            states.append(read_state(folder))
        except SftError as error:
            damaged[folder.id] = error.message
    if arguments.json:
        # the text at once: no dictionaries of 1,000 jobs in between
        jobs = ",\n".join(state.model_dump_json() for state in states)
        print_json_text(f'{{"jobs": [{jobs}], "damaged": {json.dumps(damaged)}}}')
        return 0
    if not states and not damaged:
        say("No jobs yet. sft-tui run PROFILE starts one.")
    for job, message in damaged.items():
        say(f"{job}  damaged: {message}")
    for state in states:
        started = datetime.fromtimestamp(state.submitted_at).strftime("%Y-%m-%d %H:%M")
        step = state.current_step
        where = f"  {step.title}" if step and not state.finished else ""
        headline = state.headline()
        short = headline if len(headline) <= HEADLINE_SHOWN else f"{headline[:HEADLINE_SHOWN]} ..."
        say(f"{state.id}  {started}  {short}{where}")
    return 0


def find_shown(wanted: str) -> JobFolder:
    """The job that was named; without a name one that runs, else the newest. Raises InvalidInputError."""
    if not wanted:
        for folder in reversed(list_jobs(jobs_dir())):
            with contextlib.suppress(SftError):
                if is_supervised(folder) and folder.load_state().lifecycle != "queued":
                    return folder
    return find_job(jobs_dir(), wanted)


def show(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs show`."""
    folder = find_shown(arguments.id)
    state = read_state(folder)
    signs = find_watch_outs(folder)
    if arguments.json:
        watch_outs = [sign.as_data() for sign in signs]
        print_json({**state.model_dump(mode="json"), "watch_outs": watch_outs, "folder": str(folder.path)})
        return 0
    for line in describe_job(folder, state, signs):
        say(line)
    return 0


def find_watch_outs(folder: JobFolder) -> list[WatchOut]:
    """The signs of a job, those that are over as well, in the order in which they began."""
    signs: dict[tuple[str, float], WatchOut] = {}
    for event in folder.iterate_events("watch_out"):
        if (sign := read_watch_out(event.data)) is not None:
            signs[sign.kind, sign.since] = sign
            if len(signs) > SIGNS_AT_MOST:
                del signs[next(iter(signs))]
    return list(signs.values())


def describe_job(folder: JobFolder, state: JobState, signs: Sequence[WatchOut] = ()) -> list[str]:
    """A job and its steps, as lines."""
    lines = [f"{state.id}: {state.headline()}"]
    lines += [f"    watch out: {describe_watch_out(sign)}" for sign in signs]
    lines += [f"    {text}" for text in (state.countdown(time.time()), *state.notes, state.hint) if text]
    for step in state.steps:
        took = f" in {short_duration((step.ended_at or time.time()) - step.started_at)}" if step.started_at else ""
        reason = f" ({step.reason})" if step.reason else ""
        lines.append(f"  {step.status:10} {step.id}{took}{reason}")
    lines.append(f"logs: {folder.path / 'logs'}")
    return lines


def attach(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs attach`."""
    if arguments.json:
        return wait(arguments)
    return attach_to(find_shown(arguments.id))


def wait(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs wait`: the exit code is the job's."""
    folder = find_shown(arguments.id)
    with _watching(folder):
        return _wait(folder, arguments.json)


@contextlib.contextmanager
def _watching(folder: JobFolder) -> Iterator[None]:
    """Ctrl-C ends the command, not the job: it says so. Raises StoppedError then."""
    try:
        yield
    except (KeyboardInterrupt, StoppedError):
        raise StoppedError(f"No longer watched: job {folder.id} goes on.") from None


def _wait(folder: JobFolder, as_json: bool) -> int:
    told = ""
    while not (state := read_state(folder)).finished:
        if (state.lifecycle == "queued" or HALTED in state.reason) and state.reason not in ("", told):
            told = state.reason
            warn(f"{state.id}: {told}{f'. {state.hint}' if HALTED in told else ''}")
        time.sleep(client.WATCH_SECONDS)
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        say(f"{state.id}: {state.headline()}")
    return state.exit_code


def stop(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs stop`: returns when the job has ended."""
    folder = find_shown(arguments.id)
    asked = client.stop(folder, at_once=arguments.now)
    try:
        state = _wait_with_countdown(folder)
    except SftError as error:
        raise SftError(
            f"{'What still ran of job' if asked else 'Nothing runs of job'} {folder.id}"
            f"{' was ended' if asked else ''}, but its record is damaged: {error.message}",
            f"sft-tui jobs rm {folder.id} removes it.",
        ) from error
    if arguments.json:
        print_json({"asked": asked, **state.model_dump(mode="json")})
        return 0
    say(f"{state.id}: {state.headline()}" if asked else f"{state.id} had ended already: {state.headline()}")
    for note in state.notes if asked else ():
        say(f"    {note}")
    if asked and state.hint:
        say(f"    {state.hint}")
    return 0


def _wait_with_countdown(folder: JobFolder) -> JobState:
    """Wait for the end of a job that is being stopped, and say how long that may take."""
    told = ""
    with StatusLine() as line:
        while not (state := _read_unless_lost(folder)).finished:
            countdown = state.countdown(time.time())
            if countdown and (countdown != told if line.is_live else not told):
                told = countdown
                line.show(f"stopping {state.id}: {countdown}")
            time.sleep(client.WATCH_SECONDS)
    return state


def _read_unless_lost(folder: JobFolder) -> JobState:
    """The state; a supervisor writes a damaged one anew before it ends. Raises SftError where there is none."""
    while True:
        try:
            return read_state(folder)
        except SftError:
            if not is_supervised(folder):
                return read_state(folder)
        time.sleep(client.WATCH_SECONDS)


def rm(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs rm`: what jobs recorded, and their logs; never what their steps made."""
    folders = _chosen(arguments)
    if not folders and not arguments.json:
        say("No job has ended: there is nothing to remove.")
        return 0
    waited_for = find_waited_for(jobs_dir())
    for folder in folders:
        check_removable(folder, waited_for)
    total = sum(disk_usage(folder.path) for folder in folders)
    count = "1 job" if len(folders) == 1 else f"{len(folders)} jobs"
    if folders and not arguments.yes:
        for folder in folders:
            warn(f"{folder.id}  {short_size(disk_usage(folder.path))}")
        if not ask(f"Remove the records and logs of {count} ({short_size(total)})? What the steps made stays."):
            warn("Nothing was removed.")
            return 3
    freed = remove_jobs(jobs_dir(), folders)
    if arguments.json:
        print_json({"removed": [folder.id for folder in folders], "freed_bytes": freed})
    else:
        say(f"Removed {count}: {short_size(freed)} are free again.")
    return 0


def _chosen(arguments: argparse.Namespace) -> list[JobFolder]:
    if arguments.finished and arguments.ids:
        raise InvalidInputError("Either some jobs or --finished.", "--finished means every job that has ended.")
    if arguments.finished:
        waited_for = find_waited_for(jobs_dir())
        return [folder for folder in list_jobs(jobs_dir()) if _can_go(folder, waited_for)]
    if not arguments.ids:
        raise InvalidInputError("Which job?", "sft-tui jobs rm ID ..., or --finished for all that have ended.")
    # an id that was typed in part must not remove another job
    return list(dict.fromkeys(find_job(jobs_dir(), wanted, exactly=True) for wanted in arguments.ids))


def _can_go(folder: JobFolder, waited_for: dict[str, str]) -> bool:
    try:
        check_removable(folder, waited_for)
    except InvalidInputError:
        return False
    return True


def log(arguments: argparse.Namespace) -> int:
    """`sft-tui jobs log`."""
    folder = find_shown(arguments.id)
    state = read_state(folder)
    step = arguments.step or (state.current_step.id if state.current_step else "")
    if not step:
        done = [s.id for s in state.steps if folder.step_log(s.id).is_file()]
        if not done:
            raise InvalidInputError(f"Job {folder.id} has no logs yet.", f"sft-tui jobs show {folder.id}")
        step = done[-1]
    path = folder.step_log(step)
    if step not in [s.id for s in state.steps]:
        raise InvalidInputError(f"There is no step {step!r}.", f"The steps are {', '.join(s.id for s in state.steps)}.")
    if not path.is_file():
        raise InvalidInputError(
            f"Step {step} of job {folder.id} has no log: it has not run.", f"sft-tui jobs show {folder.id}"
        )
    tail = LogTail(path)
    if arguments.json:
        return _log_as_json(folder, step, tail)
    with _watching(folder):
        return _print_log(folder, tail, follow=arguments.follow)


def _print_log(folder: JobFolder, tail: LogTail, *, follow: bool) -> int:
    while True:
        lines = tail.read_lines()
        for line in lines:
            say(line)
        if not lines:
            if not follow or read_state(folder).finished:
                if last := tail.read_rest():
                    say(last)
                return 0
            time.sleep(client.WATCH_SECONDS)


def _log_as_json(folder: JobFolder, step: str, tail: LogTail) -> int:
    """The log as one object: for logs that fit into memory."""
    lines: list[str] = []
    while more := tail.read_lines():
        lines += more
    if last := tail.read_rest():
        lines.append(last)
    print_json({"job": folder.id, "step": step, "path": str(tail.path), "lines": lines})
    return 0
