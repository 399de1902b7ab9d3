"""Review & launch: problems first, then the very commands."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from sft_tui.core.plan import Plan, Step
from sft_tui.core.problem import Problem
from sft_tui.core.terminal_text import neutralise
from sft_tui.launch.plan.documented import documented_command
from sft_tui.tui.screens.wizard.base import WizardScreen
from sft_tui.tui.session import WIZARD_STEPS, Session
from sft_tui.tui.widgets.field_messages import ValueEdited
from sft_tui.tui.widgets.text_block import TextBlock


class ReviewScreen(WizardScreen):
    """What will run."""

    STEP = "review"
    ABOUT = "What you see here is exactly what runs. ctrl+r runs all that remains."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "take_proposal", "Take proposal")]

    def compose_content(self) -> ComposeResult:
        yield TextBlock(id="review")

    def draw(self, session: Session) -> None:
        super().draw(session)
        parts = [*_problems(session), *_plan(session)]
        self.query_one("#review", TextBlock).show(Content("\n").join(parts))
        self.refresh_bindings()  # a proposal comes and goes with the problems

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A proposal can be taken where there is one."""
        if action == "take_proposal":
            return self.is_active and _proposed(self.session) is not None
        return super().check_action(action, parameters)

    def action_take_proposal(self) -> None:
        """Give the first field that has a proposal that value; ctrl+z takes it back."""
        problem = _proposed(self.session)
        if problem is not None:
            section, _, field = problem.field.partition(".")
            self.post_message(ValueEdited(section, field, problem.proposal))


def _proposed(session: Session) -> Problem | None:
    """The first problem with a value that would do: of errors, else of warnings."""
    found = [problem for problem in session.all_problems if problem.proposal is not None]
    return next((problem for problem in found if problem.severity == "error"), found[0] if found else None)


def _problems(session: Session) -> list[Content]:
    problems = session.all_problems
    if not problems:
        return []
    lines = [Content.styled(f"{len(problems)} to look at", "bold")]
    proposed = _proposed(session)
    for problem in problems:
        colour = "$error" if problem.severity == "error" else "$warning"
        place = _place(problem.field)
        lines.append(Content.assemble((f"! {place}: ", colour), neutralise(problem.message)))
        if problem.hint:
            lines.append(Content.styled(f"    {neutralise(problem.hint)}", "dim"))
        if problem is proposed:
            field = problem.field.partition(".")[2]
            lines.append(Content.styled(f"    a: {field} = {neutralise(str(problem.proposal))}", "bold"))
    return [*lines, Content("")]


def _place(field: str) -> str:
    section = field.partition(".")[0]
    for step in WIZARD_STEPS:
        if step.section == section:
            return f"{step.title} ({step.key.upper()}) {field}"
    return field


def _plan(session: Session) -> list[Content]:
    plan = session.plan
    if plan is None:
        waiting = (
            "looking ..." if session.examining else "There are no commands yet: put the lines above in order first."
        )
        return [Content.styled(waiting, "dim")]
    ready = "Nothing stands in the way. ctrl+r runs:"
    if session.nothing_remains:
        ready = "All of this is done; nothing remains to run."
    elif session.resume is not None:
        ready = (
            f"Training was interrupted; it can go on from its checkpoint of step {session.resume.done}. ctrl+r runs:"
        )
    lines = [Content.styled(ready, "bold $success")]
    for number, step in enumerate(plan.steps, 1):
        lines.append(Content(""))
        lines.append(
            Content.assemble((f"{number}. {step.title}", "bold"), (_remark(session, step.id, step.not_needed), "dim"))
        )
        if not step.not_needed:
            lines.append(Content(f"   {neutralise(step.command)}"))
            documented = documented_command(step)
            if documented:
                lines.append(Content.styled(f"   as documented: {neutralise(documented)}", "dim"))
            lines += _changes(plan, step)
    return lines


def _changes(plan: Plan, step: Step) -> list[Content]:
    """What the profile changes in the YAML that the step reads, where that has a base."""
    colours = {"+": "$success", "-": "$error", "@": "dim"}
    for file in plan.files:
        if file.path in step.inputs and file.changes:
            return [
                Content.styled(f"   {neutralise(line)}", colours.get(line[:1], ""))
                for line in file.changes.splitlines()
            ]
    return []


def _remark(session: Session, step_id: str, not_needed: str) -> str:
    if not_needed:
        return f"  not needed: {not_needed}"
    if session.resume is not None and session.resume.step_id == step_id:
        return "  interrupted"
    return "  done before, will be skipped" if step_id in session.current_steps else ""
