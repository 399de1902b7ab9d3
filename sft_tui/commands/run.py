"""run: submit the plan of a profile, and follow it."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from sft_tui.commands._common.follow import attach
from sft_tui.commands._common.nodes import nodes_fit
from sft_tui.commands._common.report import ask, print_json, print_problems, say, warn
from sft_tui.commands.plan import plan_of
from sft_tui.commands.profile import exit_code
from sft_tui.core.plan import Plan
from sft_tui.errors import EnvironmentNotFitError
from sft_tui.jobs import client
from sft_tui.jobs.read_state import read_state
from sft_tui.paths import jobs_dir


def run_profile(arguments: argparse.Namespace) -> int:
    """`sft-tui run`: submit, then attach."""
    plan, problems = plan_of(arguments.profile_name, into=arguments.into, until_step=arguments.until_step)
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
        into=arguments.into,
    )
    if arguments.json:
        state = read_state(folder) if arguments.detach else client.wait(folder)
        print_json(state.model_dump(mode="json"))
        return 0 if arguments.detach else state.exit_code
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
