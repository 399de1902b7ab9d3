"""plan: the steps and commands of a profile, or shell scripts of them."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from sft_tui.commands._common.report import print_json, print_problems, say
from sft_tui.commands.profile import exit_code, load_valid
from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.errors import InvalidInputError
from sft_tui.files.whole_file import naming, write_private
from sft_tui.jobs.completion import current_steps
from sft_tui.launch.plan.documented import documented_command
from sft_tui.launch.plan.nodes import launches
from sft_tui.launch.plan.scripts import RUNTIME_FOLDER, build_scripts
from sft_tui.paths import PACKAGE_DIR

_MARK = ".sft-tui-script"


def plan_of(name: str, *, into: bool = False, until_step: str = "") -> tuple[Plan | None, tuple[Problem, ...]]:
    """The plan of a profile on this machine, or None; and all problems, warnings among them.

    `into`: the folder of a run with other settings may be written over. What is to end before the run, with
    `until_step`, is not forbidden by its folder.
    """
    from sft_tui.checks.examine import examine

    profile, problems = load_valid(name)
    if profile is None:
        return None, problems
    findings = examine(profile, into=into)
    early = findings.early_plan
    if early is not None and _ends_before_the_run(early, until_step):
        return early, tuple(replace(p, severity="warning") if p in findings.errors else p for p in findings.problems)
    return findings.plan, findings.problems


def _ends_before_the_run(plan: Plan, until_step: str) -> bool:
    ids = [step.id for step in plan.steps]
    steps = plan.steps[: ids.index(until_step) + 1] if until_step in ids else plan.steps
    return not any(plan.enters_run_folder(step) for step in steps)


def show_plan(arguments: argparse.Namespace) -> int:
    """`sft-tui plan`."""
    plan, problems = plan_of(arguments.profile_name, into=arguments.into)
    if arguments.json:
        steps = plan.without_secrets().model_dump(mode="json") if plan else None
        print_json({"plan": steps, "problems": [p.to_json() for p in problems]})
        return exit_code(problems)
    print_problems(problems)
    if plan is None:
        return exit_code(problems)
    if arguments.script:
        return _write_scripts(plan, Path(arguments.script), force=arguments.force)
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


def _write_scripts(plan: Plan, folder: Path, *, force: bool) -> int:
    with naming(folder):
        _check_folder(folder, force=force)
        return _write_into(plan, folder)


def _check_folder(folder: Path, *, force: bool) -> None:
    """Raise InvalidInputError for a folder with files that are not of an earlier plan."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is not a folder.", "Give the name of a folder to write.")
    foreign = folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file()
    if foreign and not force:
        hint = "Give --force, or another name."
        raise InvalidInputError(f"{folder} has files in it that sft-tui did not write.", hint)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / _MARK, "written by sft-tui plan --script\n")


def _write_into(plan: Plan, folder: Path) -> int:
    shutil.copytree(
        PACKAGE_DIR / RUNTIME_FOLDER,
        folder / RUNTIME_FOLDER,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
    (folder / "files").mkdir(exist_ok=True)
    shutil.copy(PACKAGE_DIR / "files/saved_states.py", folder / "files/saved_states.py")
    for name, text in build_scripts(plan, str(PACKAGE_DIR), launches(plan)).items():
        write_private(folder / name, text)
        if name.endswith((".sh", ".sbatch")):
            (folder / name).chmod(0o700)
    say(f"{folder / 'run_all.sh'} runs everything. Or: prepare.sh once, then node_N.sh on each node, or slurm.sbatch.")
    say("Other nodes need this folder under the same path.")
    return 0
