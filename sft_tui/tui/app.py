"""The wizard: owns the session, hands it to the screens, and starts what runs outside the UI."""

from __future__ import annotations

import asyncio
import gc
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Sequence

from textual import on
from textual.binding import Binding, BindingType

from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import SftError
from sft_tui.paths import profiles_dir, styles_dir
from sft_tui.store.profile_store import list_profiles, parse_typed
from sft_tui.tui import bridge
from sft_tui.tui.background import Background, Examiner, ProfileSaver, keep_traceback
from sft_tui.tui.gate import Gate
from sft_tui.tui.opening import find_job, load_session
from sft_tui.tui.ordered_keys import OrderedKeys
from sft_tui.tui.screens.wizard.base import FirstFrame, WizardScreen
from sft_tui.tui.screens.wizard.registry import screen_class
from sft_tui.tui.session import WIZARD_STEPS, Session, WizardStep
from sft_tui.tui.widgets.field_messages import TextEdited, ValueEdited

if TYPE_CHECKING:  # the first paint waits for none of these
    from textual.filter import LineFilter

    from sft_tui.core.plan import Plan
    from sft_tui.store.job_store import JobFolder


class SftApp(OrderedKeys, inherit_bindings=False):
    """Keyboard-driven wizard over one profile and its newest job."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "sft-tui"
    ALWAYS = frozenset({"ctrl+q"})
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(step.key, f"go('{step.id}')", step.title, show=False, priority=True) for step in WIZARD_STEPS),
        Binding("ctrl+n", "move(1)", "Next", priority=True),
        Binding("ctrl+b,ctrl+p", "move(-1)", "Back", priority=True),
        Binding("ctrl+t", "run_step", "Run step", priority=True),
        Binding("ctrl+r", "run_all", "Run all", priority=True),
        Binding("f10", "choose_profile", "Profiles", priority=True),
        Binding("f12", "help", "Help", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "help_quit", show=False, system=True),
    ]

    def __init__(self, name: str) -> None:
        styles = sorted(styles_dir().glob("*.tcss"))
        super().__init__(css_path=[str(path) for path in styles])
        self.animation_level = "none"  # over SSH every animated frame is kilobytes
        self.session = Session(name, {})  # until the first frame is painted
        self._background = Background(self.post_message)
        self._examiner = Examiner(self.post_message)
        self._saver = ProfileSaver(self.post_message)
        self.not_opened: SftError | None = None  # why the profile could not be read
        self._gate = Gate()
        self._opened = False  # the profile is read
        self._touched = False  # a key of the user moved or changed something

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Every line that any widget draws goes through them."""
        return [*super().get_line_filters(), self._gate]

    # --- start and end -------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.push_screen(FirstFrame(self.session))
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        """Open the profile, and ask for all that the first paint does not wait for."""
        gc.enable()  # see run_wizard
        try:
            self.session = load_session(self.session.name)
        except SftError as error:
            self.not_opened = error
            self.exit(return_code=error.exit_code)
            return
        self._opened = True
        self.session.validate()
        self.session.examining = self.session.readable is not None
        self.switch_screen(screen_class("environment")(self.session))
        self.release_keys()
        self._look_for_job()
        self._examine_soon()
        self._background.repeat(self._sample, bridge.HOST_SECONDS)
        self._background.repeat(self._newer_job, bridge.HOST_SECONDS)

    def _newer_job(self) -> bridge.JobFound | None:
        """A job that another wizard or the command line has started meanwhile."""
        job = self.session.job
        if job is None or job.runs:
            return None
        found = find_job(self.session.name)
        return found if found is not None and found.folder != job.folder else None

    def _look_for_job(self) -> None:
        name = self.session.name
        self._background.run(lambda: find_job(name))

    @on(bridge.JobFound)
    def _job_found(self, message: bridge.JobFound) -> None:
        job = self.session.job
        if message.profile != self.session.name or (job is not None and (job.runs or job.folder == message.folder)):
            return
        self._follow(message.folder)
        if message.running and not self._touched:
            self.action_go("monitor")
            self.notify("The job of this profile is still running.", timeout=5)

    async def action_quit(self) -> None:
        """Leave; a running job goes on."""
        self._save()
        self._background.close()
        await asyncio.to_thread(self._saver.close)
        message = None
        if self.session.job is not None and self.session.job_runs:
            job = self.session.job.folder.id
            message = f"Job {job} goes on. sft-tui shows it again; so does: sft-tui jobs attach {job}"
        self.exit(message=message)

    def _handle_exception(self, error: Exception) -> None:
        """A defect of ours: the traceback goes to a file, the user gets a sentence."""
        self._background.close()
        self.exit(return_code=1, message=f"sft-tui stopped on an unexpected error. {keep_traceback(error)}")

    # --- moving --------------------------------------------------------------------------------

    @property
    def wizard_screen(self) -> WizardScreen | None:
        """The wizard screen in use, also below a dialog."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, WizardScreen)), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No moving or launching behind a dialog; the footer shows only what does something here."""
        step = self._step
        on_wizard = step is not None and isinstance(self.screen, WizardScreen)
        if action in ("go", "choose_profile", "help", "show_devices"):
            return on_wizard
        if action == "move" and step is not None:
            index = WIZARD_STEPS.index(step) + (1 if parameters == (1,) else -1)
            return on_wizard and 0 <= index < len(WIZARD_STEPS)
        if action == "run_all":
            return on_wizard and not self.session.job_runs
        if action == "run_step" and step is not None:
            return on_wizard and bool(step.plan_steps) and not self.session.job_runs
        if action == "show_logs":
            return on_wizard and self.session.job is not None
        if action == "stop_job":
            return on_wizard and self.session.job_runs
        return True

    @property
    def _step(self) -> WizardStep | None:
        screen = self.wizard_screen
        return screen.step if screen else None

    def overtakes(self, later: str, key: str) -> bool:
        """Of several steps asked for at once only the last is shown; the one in view is shown anew after another."""
        keys = {step.key for step in WIZARD_STEPS}
        return later in keys and key in keys and self._step is not None and later != self._step.key

    def action_go(self, step: str) -> None:
        """Show a step."""
        self._touched = True
        if self._step is not None and self._step.id != step:
            self.switch_screen(screen_class(step)(self.session))

    def action_move(self, by: int) -> None:
        """Show the next step or the one before."""
        if self._step is not None:
            self.action_go(WIZARD_STEPS[WIZARD_STEPS.index(self._step) + by].id)

    def action_help_quit(self) -> None:
        """What ctrl+c is for elsewhere."""
        self.say("ctrl+q quits; a job that runs goes on." if self.session.job_runs else "ctrl+q quits.")

    def action_help(self) -> None:
        """Show every key."""
        from sft_tui.tui.screens.dialogs.help import Help

        self.push_screen(Help())

    def _draw(self) -> None:
        screen = self.wizard_screen
        # below a screen that hides it, a new layout would send that whole screen again
        if screen is not None and screen.is_mounted and (self.screen is screen or self.screen.is_modal):
            screen.draw(self.session)

    def say(self, text: str, *, bad: bool = False) -> None:
        """Tell the user something; the same text is not shown twice at a time."""
        if any(n.message == text for n in self._notifications):
            return
        self.notify(neutralise(text), severity="warning" if bad else "information", timeout=8, markup=False)

    # --- the profile ---------------------------------------------------------------------------

    @on(TextEdited)
    def _edited(self, event: TextEdited) -> None:
        self._take(event.section, event.field, parse_typed(event.section, event.field, event.text))

    @on(ValueEdited)
    def _value_edited(self, event: ValueEdited) -> None:
        self._take(event.section, event.field, event.value)

    def _take(self, section: str, field: str, value: object) -> None:
        self._touched = True
        self.session.edit(section, field, value)
        self._save()
        self._examine_soon()
        self._draw()

    def _save(self) -> None:
        if self._opened:
            self._saver.save(self.session.name, deepcopy(self.session.data))

    @on(bridge.BackgroundFailed)
    def _failed(self, message: bridge.BackgroundFailed) -> None:
        if message.task == Examiner.TASK:
            self.session.examining = False
            self._draw()
        self.say(message.message, bad=True)

    def _examine_soon(self) -> None:
        readable = self.session.readable
        self.session.examining = readable is not None
        if readable is not None:
            self._examiner.ask(readable)

    @on(bridge.ProfileExamined)
    def _examined(self, message: bridge.ProfileExamined) -> None:
        if message.profile != self.session.readable:
            return  # edited meanwhile: a newer look is under way
        self.session.take_findings(message.findings, message.current_steps, message.summary, message.resume)
        self._draw()

    def action_choose_profile(self) -> None:
        """Choose another profile, or make one."""
        from sft_tui.tui.screens.dialogs.profiles import ProfileChooser

        self.push_screen(ProfileChooser(list_profiles(profiles_dir()), self.session.name), self._open_profile)

    def _open_profile(self, name: str | None) -> None:
        if not name or name == self.session.name:
            return
        try:
            opened = load_session(name)
        except SftError as error:
            self.say(str(error), bad=True)
            return
        self._save()
        self.session, self._touched = opened, False
        self.session.validate()
        self.switch_screen(screen_class("environment")(self.session))
        self._look_for_job()
        self._examine_soon()
        self._save()

    # --- jobs ----------------------------------------------------------------------------------

    def action_run_all(self) -> None:
        """Run all that remains."""
        plan = self._fit_plan()
        if plan is None:
            return
        if self.session.nothing_remains:
            self.say("Nothing remains to be done: Results (F9). ctrl+t runs the step in view once more.")
        else:
            self._background.run(lambda: bridge.submit_or_offer(plan, ""))

    def action_run_step(self) -> None:
        """Run this step, and what it needs that is not there yet."""
        plan, step = self._fit_plan(), self._step
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
        self._background.run(lambda: bridge.submit_or_offer(part, from_step))

    def _fit_plan(self) -> Plan | None:
        plan, errors = self.session.plan, self.session.errors
        if plan is not None:
            return plan
        if self.session.examining:
            self.say("sft-tui is still looking at the files: one moment.", bad=True)
        elif errors:
            count = "One thing stands" if len(errors) == 1 else f"{len(errors)} things stand"
            self.say(f"{count} in the way: Review & launch (F7) lists what to do. {errors[0].message}", bad=True)
        else:
            self.say("There is no plan yet: Review & launch (F7) says why.", bad=True)
        return None

    @on(bridge.ResumeOffered)
    def _resume_offered(self, message: bridge.ResumeOffered) -> None:
        from sft_tui.tui.screens.dialogs.confirm import Choose

        plan, point = message.plan, message.point

        def answered(key: str | None) -> None:
            if key in ("r", "b"):
                wanted = plan.with_step(point.step_id, resume=point.arguments) if key == "r" else plan
                self._background.run(lambda: bridge.submit(wanted, message.from_step))

        question = f"Training was interrupted. Its newest whole checkpoint is that of step {point.done}."
        self.push_screen(Choose(question, {"r": "resume there", "b": "begin again"}), answered)

    @on(bridge.JobSubmitted)
    def _submitted(self, message: bridge.JobSubmitted) -> None:
        if message.profile == self.session.name:
            self._follow(message.folder)
            self.action_go("monitor")

    def _follow(self, folder: JobFolder) -> None:
        from sft_tui.tui.job_view import JobView

        job = self.session.job = JobView(folder)
        followers: list[bridge.JobFollower] = []

        def look() -> bridge.JobUpdated | None:
            if not followers:
                followers.append(bridge.JobFollower(folder))
            return followers[0].look()

        def over() -> bool:
            return self.session.job is not job or bool(followers and followers[0].finished)

        self._background.repeat(look, bridge.LOOK_SECONDS, until=over)

    @on(bridge.JobUpdated)
    def _job_updated(self, message: bridge.JobUpdated) -> None:
        job = self.session.job
        if job is None or message.folder != job.folder:
            return
        was_running = job.runs
        job.take(message.state, message.events, message.rows)
        job.take_log(message.log_step, message.log_path, message.log_lines)
        ended = was_running and not job.runs
        if ended or message.step_ended:
            self._examine_soon()
        if ended:
            self.say(job.end_text(), bad=not job.succeeded)
        if ended or not was_running:
            self.refresh_bindings()
            self.screen.refresh_bindings()
        self._draw()

    def action_show_logs(self) -> None:
        """Show all logs of the job."""
        from sft_tui.logs.files import find_logs
        from sft_tui.tui.screens.logs import LogsScreen

        if self.session.job is not None:
            folder = self.session.job.folder
            self.push_screen(LogsScreen(folder.id, lambda: find_logs(folder), self.session.job.log_path))

    def action_show_devices(self) -> None:
        """Show the NPUs of all hosts."""
        from sft_tui.tui.screens.devices import DevicesScreen, watched_nodes

        self.push_screen(DevicesScreen(watched_nodes(self.session.readable)))

    def action_stop_job(self) -> None:
        """Stop the running job, after a question; while it is being stopped: kill it without waiting."""
        from sft_tui.tui.screens.dialogs.confirm import Confirm

        job = self.session.job
        if job is None or job.state is None:
            return
        stop = partial(bridge.stop, job.folder, at_once=job.state.lifecycle == "stopping")

        def answered(yes: bool | None) -> None:
            if yes:
                self._background.run(stop)

        self.push_screen(Confirm(job.stop_question), answered)

    # --- the host ------------------------------------------------------------------------------

    def _sample(self) -> bridge.HostSampled:
        return bridge.sample(str(self.session.data.get("environment", {}).get("work_dir", "")))

    @on(bridge.HostSampled)
    def _host_sampled(self, message: bridge.HostSampled) -> None:
        self.session.host = message.load
        if self._step is not None and self._step.id == "monitor":
            self._draw()
