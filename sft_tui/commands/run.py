"""plan and run."""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import datetime
from pathlib import Path

from sft_tui.checks.examine import examine
from sft_tui.commands.follow import attach
from sft_tui.commands.nodes import nodes_fit
from sft_tui.commands.profiles import exit_code, load_valid
from sft_tui.commands.report import ask, print_json, print_problems, say, warn
from sft_tui.core.job import EXIT_CODES
from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.errors import EnvironmentNotFitError
from sft_tui.files.atomic import write_atomic
from sft_tui.jobs import client
from sft_tui.jobs.completion import current_steps
from sft_tui.jobs.read_state import read_state
from sft_tui.launch.plan.documented import documented_command
from sft_tui.launch.plan.nodes import launches
from sft_tui.launch.plan.scripts import RUNTIME_FOLDER, build_scripts
from sft_tui.paths import PACKAGE_DIR, jobs_dir


def plan_of(name: str) -> tuple[Plan | None, tuple[Problem, ...]]:
    """The plan of a profile on this machine, or None; and all problems, warnings among them."""
    profile, problems = load_valid(name)
    if profile is None:
        return None, problems
    findings = examine(profile)
    return findings.plan, findings.problems


def show_plan(arguments: argparse.Namespace) -> int:
    """`sft-tui plan`."""
    plan, problems = plan_of(arguments.profile_name)
    if arguments.json:
        steps = plan.without_secrets().model_dump(mode="json") if plan else None
        print_json({"plan": steps, "problems": [p.to_json() for p in problems]})
        return exit_code(problems)
    print_problems(problems)
    if plan is None:
        return exit_code(problems)
    if arguments.script:
        return _write_scripts(plan, Path(arguments.script))
    current = current_steps(plan)
    for number, step in enumerate(plan.steps, 1):
        say(f"{number}. {step.id}: {step.title}{'  (done before, will be skipped)' if step.id in current else ''}")
        say(f"   not needed: {step.not_needed}" if step.not_needed else f"   {step.command}")
        for launch in (launch for launch in launches(plan) if launch.step == step.id):
            for part in launch.parts:
                say(f"   on {part.name}: {part.plan.steps[0].command}")
        documented = "" if step.not_needed else documented_command(step)
        if documented:
            say(f"   as documented, in MindFormers' source folder: {documented}")
    for file in plan.files:
        if file.changes:
            say("")
            say(file.changes)
    return 0


def _write_scripts(plan: Plan, folder: Path) -> int:
    shutil.copytree(
        PACKAGE_DIR / RUNTIME_FOLDER,
        folder / RUNTIME_FOLDER,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
    (folder / "files").mkdir(exist_ok=True)
    shutil.copy(PACKAGE_DIR / "files/saved_states.py", folder / "files/saved_states.py")
    for name, text in build_scripts(plan, str(PACKAGE_DIR), launches(plan)).items():
        write_atomic(folder / name, text)
        if name.endswith((".sh", ".sbatch")):
            (folder / name).chmod(0o700)
    say(f"{folder / 'run_all.sh'} runs everything. Or: prepare.sh once, then node_N.sh on each node, or slurm.sbatch.")
    say("Other nodes need this folder under the same path.")
    return 0


def run_profile(arguments: argparse.Namespace) -> int:
    """`sft-tui run`: submit, then attach."""
    plan, problems = plan_of(arguments.profile_name)
    print_problems(problems)
    if plan is None:
        if arguments.json:
            print_json({"problems": [p.to_json() for p in problems]})
        return exit_code(problems)
    if not nodes_fit(plan, as_json=arguments.json):
        return EnvironmentNotFitError.exit_code
    folder = client.submit(
        jobs_dir(),
        _resume(plan, arguments),
        from_step=arguments.from_step,
        until_step=arguments.until_step,
        after=tuple(arguments.after),
    )
    if arguments.json:
        state = read_state(folder) if arguments.detach else client.wait(folder)
        print_json(state.model_dump(mode="json"))
        return 0 if arguments.detach else EXIT_CODES[state.outcome or "lost"]
    if arguments.detach:
        say(folder.id)
        begins = f"starts when {', '.join(arguments.after)} has succeeded" if arguments.after else "runs on its own"
        warn(f"The job {begins}. sft-tui jobs attach {folder.id} shows it.")
        return 0
    return attach(folder)


def _resume(plan: Plan, arguments: argparse.Namespace) -> Plan:
    """The plan with its training going on where it was interrupted, if the user does not want it anew."""
    point = client.find_offer(jobs_dir(), plan)
    if point is None or not _is_reached(plan, arguments, point.step_id):
        if arguments.resume:
            warn("There is no whole checkpoint to go on from: training begins at its first step.")
        return plan
    saved = datetime.fromtimestamp(point.saved_at).strftime("%Y-%m-%d %H:%M")
    warn(f"Training was interrupted; its newest whole checkpoint is that of step {point.done}, of {saved}.")
    attended = sys.stdin.isatty() and sys.stderr.isatty() and not (arguments.resume or arguments.json)
    if attended and not ask("Go on from there? No begins at the first step.", default=True):
        return plan
    warn(f"Going on from {point.checkpoint}. --from {point.step_id} begins anew.")
    return plan.with_step(point.step_id, resume=point.arguments)


def _is_reached(plan: Plan, arguments: argparse.Namespace, step_id: str) -> bool:
    """The step is to be run, and --from does not begin it anew."""
    order = {step.id: number for number, step in enumerate(plan.steps)}
    first, last = (order.get(wanted) for wanted in (arguments.from_step, arguments.until_step))
    number = order[step_id]
    return (first is None or first > number) and (last is None or last >= number)
