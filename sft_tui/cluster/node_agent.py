"""What the head calls on each node over SSH: `_node hello | submit | watch | stop`. JSON in, JSON out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable, Final

from sft_tui import __version__
from sft_tui.cluster.part_watch import PartWatch
from sft_tui.core.job import PartOf
from sft_tui.core.plan import Plan, Step
from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.small_file import read_small_bytes
from sft_tui.files.whole_file import write_private
from sft_tui.jobs import client
from sft_tui.jobs.evidence.step_diagnosis import sign_worker_logs
from sft_tui.paths import PACKAGE_DIR, jobs_dir
from sft_tui.store.job_store import JobFolder

LOGS_BEFORE: Final = "worker_logs_before.json"


def node_command(arguments: list[str]) -> int:
    """One call of the head's; the exit code. Errors are a line on stderr."""
    calls: dict[str, Callable[..., None]] = {"hello": hello, "submit": submit, "watch": watch, "stop": stop}
    try:
        calls[arguments[0]](*arguments[1:])
    except SftError as error:
        print(neutralise(f"{error.message} {error.hint}").replace("\n", " "), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the head, or the way to it, is gone
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"{error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def hello() -> None:
    """Which sft-tui this is; that it answers proves that all a supervisor needs is installed."""
    answer = {"command": [sys.executable, str(PACKAGE_DIR)], "package_dir": str(PACKAGE_DIR), "version": __version__}
    print(json.dumps(answer))


def submit() -> None:
    """Start this node's part, as stdin has it; asked twice, it is started once. Raises SftError, OSError."""
    request = json.load(sys.stdin)
    plan = _at_home(Plan.model_validate(request["plan"]), request["package_dir"])
    before = sign_worker_logs(plan.steps[0])
    folder, made = client.submit_part(jobs_dir(), plan, PartOf.model_validate(request["part_of"]))
    if made:
        # logs that an earlier run left are no news
        write_private(folder.path / LOGS_BEFORE, json.dumps(before))
    print(json.dumps({"folder": str(folder.path)}))


def _at_home(plan: Plan, package_dir: str) -> Plan:
    """Our own files lie elsewhere here than on the head."""

    def moved(word: str) -> str:
        return f"{PACKAGE_DIR}{word[len(package_dir) :]}" if word.startswith(f"{package_dir}/") else word

    def adapt(step: Step) -> Step:
        return step.model_copy(update={"argv": tuple(map(moved, step.argv))})

    return plan.model_copy(update={"steps": tuple(map(adapt, plan.steps))})


def watch(folder: str, offset: str) -> None:
    """Tell what happens, a JSON object a line, until the part has ended; the log from a byte offset on."""
    job = JobFolder(Path(folder))
    try:
        before = {name: (s[0], s[1]) for name, s in json.loads(read_small_bytes(job.path / LOGS_BEFORE)).items()}
    except (OSError, ValueError, InvalidInputError):
        before = {}
    PartWatch(job, int(offset), before, _tell).run()


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def stop(folder: str, how: str = "") -> None:
    """Ask the part to stop; `now` kills it. Raises SftError."""
    print(json.dumps({"asked": client.stop(JobFolder(Path(folder)), at_once=how == "now")}))
