"""The part of the wizard that starts jobs: at once, or as soon as the files have been checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual import on

from sft_tui.tui import bridge
from sft_tui.tui.editing import EditingApp
from sft_tui.tui.session import Session, WizardStep, wizard_step

if TYPE_CHECKING:
    from sft_tui.core.plan import Plan

Wanted = Literal["", "all", "step"]


class LaunchingApp(EditingApp, inherit_bindings=False):
    """One wish for a job becomes one job."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._wanted: Wanted = ""  # asked for while the files were being checked
        self._wanted_step = ""  # the step that was in view then
        self._submitting = False  # a job was asked for, and there is no answer yet

    def action_run_all(self) -> None:
        """Run all that remains."""
        plan = self._fit_plan("all")
        if plan is None:
            return
        if self.session.nothing_remains:
            self.say("Nothing remains to be done: Results (F9). ctrl+t runs the step in view once more.")
        else:
            self._submit(plan, "")

    def action_run_step(self) -> None:
        """Run this step, and what it needs that is not there yet."""
        plan = self._fit_plan("step")
        step = self._chosen_step
        if plan is None or step is None:
            return
        chosen = [s for s in plan.steps if s.id in step.plan_steps]
        mine = tuple(s.id for s in chosen if not s.not_needed)
        if not mine:
            self.say(f"Not needed: {chosen[0].not_needed}" if chosen else "This profile does without this step.")
            return
        part = plan.only(mine)
        # asked for by hand, a step that is done runs again; not a training that lies between two of them
        from_step = part.last_stretch(mine) if set(mine) <= self.session.current_steps else ""
        self._submit(part, from_step)

    def action_cancel_wish(self) -> None:
        """The job that waits for the check is not wanted any more."""
        self._forget_wish()
        self.say("Cancelled: no job starts.")

    @property
    def waits_for_check(self) -> bool:
        """A job starts when the files have been checked."""
        return bool(self._wanted)

    def _use(self, session: Session) -> None:
        """What was wanted of the profile before is not wanted of this one."""
        before, waited = self.session.name, self.waits_for_check
        super()._use(session)
        if waited:
            self._forget_wish()
            self.say(f"Cancelled: no job of {before} starts.")

    def _forget_wish(self) -> None:
        self._wanted, self._wanted_step = "", ""
        self.refresh_bindings()

    def _fit_plan(self, wanted: Wanted) -> Plan | None:
        """The plan, if it can be submitted now; else it is said why not, or that it waits."""
        if self._submitting:
            self.say("The job is being started already.")
            return None
        plan, errors = self.session.plan, self.session.errors
        if self.session.examining:
            again = bool(self._wanted)
            self._wanted, self._wanted_step = wanted, self._step.id if self._step and wanted == "step" else ""
            self.say("Checking; the job starts when that is done. escape cancels it.", bad=again)
            self.refresh_bindings()
            return None
        if plan is None and wanted == "step":
            plan = self._plan_before_the_run()
        if plan is not None:
            return plan
        if errors:
            count = "One thing stands" if len(errors) == 1 else f"{len(errors)} things stand"
            self.say(f"{count} in the way: Review & launch (F7) lists what to do. {errors[0].message}", bad=True)
        else:
            self.say("There is no plan yet: Review & launch (F7) says why.", bad=True)
        return None

    def _plan_before_the_run(self) -> Plan | None:
        """The plan for the step in view, where only the folder of another run is in the way, and not in its way."""
        plan, step = self.session.early_plan, self._chosen_step
        if plan is None or step is None:
            return None
        return None if any(map(plan.enters_run_folder, plan.only(step.plan_steps).steps)) else plan

    @property
    def _chosen_step(self) -> WizardStep | None:
        return wizard_step(self._wanted_step) if self._wanted_step else self._step

    @on(bridge.ProfileExamined)
    @on(bridge.BackgroundFailed)
    def _checked(self) -> None:
        """Start what was asked for meanwhile, once; what takes the findings over has run before."""
        self.call_next(self._start_wanted)

    def _start_wanted(self) -> None:
        if not self._wanted or self.session.examining:
            return
        wanted = self._wanted
        try:
            (self.action_run_all if wanted == "all" else self.action_run_step)()
        finally:
            self._forget_wish()

    def _submit(self, plan: Plan, from_step: str) -> None:
        self._submitting = True
        self._background.run(lambda: bridge.submit_or_offer(plan, from_step), task=bridge.SUBMIT)

    @on(bridge.BackgroundFailed)
    def _submit_failed(self, message: bridge.BackgroundFailed) -> None:
        if message.task == bridge.SUBMIT:
            self._submitting = False

    @on(bridge.ResumeOffered)
    def _resume_offered(self, message: bridge.ResumeOffered) -> None:
        from sft_tui.tui.screens.dialogs.confirm import Choose

        plan, point = message.plan, message.point
        if plan.profile != self.session.name:  # another one was chosen meanwhile, and is in view
            self._submitting = False
            self.say(f"No job of {plan.profile} starts: open it to choose how its training goes on.", bad=True)
            return

        def answered(key: str | None) -> None:
            if key in ("r", "b"):
                wanted = plan.with_step(point.step_id, resume=point.arguments) if key == "r" else plan
                self._background.run(lambda: bridge.submit(wanted, message.from_step), task=bridge.SUBMIT)
            else:
                self._submitting = False

        question = f"Training was interrupted. Its newest whole checkpoint is that of step {point.done}."
        self.push_screen(Choose(question, {"r": "resume there", "b": "begin again"}), answered)
