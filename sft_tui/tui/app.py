"""The wizard: owns the session, hands it to the screens, and starts what runs outside the UI."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from typing import Callable, ClassVar

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.worker import get_current_worker

from sft_tui.core.job import Event
from sft_tui.core.plan import Plan
from sft_tui.error_log import note_traceback
from sft_tui.errors import SftError
from sft_tui.jobs import client
from sft_tui.paths import jobs_dir, profiles_dir, styles_dir
from sft_tui.preflight import parse_typed
from sft_tui.store.job_store import JobFolder
from sft_tui.store.profile_store import list_profiles, load_profile_data
from sft_tui.tui import bridge
from sft_tui.tui.opening import choose_profile, load_session, newest_job, save_session
from sft_tui.tui.screens.base import WizardScreen
from sft_tui.tui.screens.catalogue import screen_class
from sft_tui.tui.screens.confirm import Confirm
from sft_tui.tui.screens.help import Help
from sft_tui.tui.screens.monitor import MonitorScreen
from sft_tui.tui.screens.profiles import ProfileChooser
from sft_tui.tui.session import WIZARD_STEPS, WizardStep
from sft_tui.tui.widgets.form_field import FormField

EXAMINE_DELAY = 0.4  # seconds after the last key


@dataclass
class JobSubmitted(Message):
    """A job was written and its supervisor started."""

    folder: JobFolder


class SftApp(App[None]):
    """Keyboard-driven wizard over one profile and its newest job."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "sft-tui"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(step.key, f"go('{step.id}')", step.title, show=False, priority=True) for step in WIZARD_STEPS),
        Binding("ctrl+n", "move(1)", "Next", priority=True),
        Binding("ctrl+b", "move(-1)", "Back", priority=True),
        Binding("ctrl+t", "run_step", "This step", priority=True),
        Binding("ctrl+r", "run_all", "Run all", priority=True),
        Binding("f10", "choose_profile", "Profiles", priority=True),
        Binding("f12", "help", "Help", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
    ]

    def __init__(self, name: str) -> None:
        styles = sorted(styles_dir().glob("*.tcss"))
        super().__init__(css_path=[str(path) for path in styles])
        self.animation_level = "none"  # over SSH every animated frame is kilobytes
        self.session = load_session(name)
        self._saver = ThreadPoolExecutor(max_workers=1)  # one thread: the last edit is written last
        self._follower: bridge.JobFollower | None = None
        self._log_step = ""
        self._log_lines: list[str] = []

    # --- start and end -------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.session.validate()
        folder = newest_job(self.session.name)
        if folder is not None:
            self._follow(folder)
        running = folder is not None and not client.read_state(folder).finished
        step = "monitor" if running else "environment"
        self.push_screen(screen_class(step)(self.session))
        if running:
            self.notify("The job of this profile is still running.", timeout=5)
        self._examine_soon()
        self._sample_host()

    async def action_quit(self) -> None:
        """Leave; a running job goes on."""
        self._save()
        self._saver.shutdown(wait=True)
        message = None
        if self.session.job_runs and self.session.job is not None:
            job = self.session.job.id
            message = f"Job {job} goes on. sft-tui shows it again; so does: sft-tui jobs attach {job}"
        self.exit(message=message)

    def _handle_exception(self, error: Exception) -> None:
        """A defect of ours: the traceback goes to a file, the user gets a sentence."""
        path = note_traceback(error)
        self.exit(return_code=1, message=f"sft-tui stopped on an unexpected error. The details are in {path}.")

    # --- moving --------------------------------------------------------------------------------

    @property
    def wizard_screen(self) -> WizardScreen | None:
        """The wizard screen in use, also below a dialog."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, WizardScreen)), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No moving or launching behind a dialog; `This step` only where there is one."""
        on_wizard = isinstance(self.screen, WizardScreen)
        if action in ("go", "move", "run_all", "choose_profile", "help"):
            return on_wizard
        if action == "run_step":
            return on_wizard and bool(self._step and self._step.plan_steps)
        return True

    @property
    def _step(self) -> WizardStep | None:
        screen = self.wizard_screen
        return screen.step if screen else None

    def action_go(self, step: str) -> None:
        """Show a step."""
        if self._step is not None and self._step.id != step:
            self.switch_screen(screen_class(step)(self.session))
            if step == "monitor":
                self.call_after_refresh(self._show_log, self._log_lines, True)

    def action_move(self, by: int) -> None:
        """Show the next step or the one before."""
        if self._step is not None:
            index = WIZARD_STEPS.index(self._step) + by
            if 0 <= index < len(WIZARD_STEPS):
                self.action_go(WIZARD_STEPS[index].id)

    def action_help(self) -> None:
        """Show every key."""
        self.push_screen(Help())

    def _draw(self) -> None:
        screen = self.wizard_screen
        if screen is not None and screen.is_mounted:
            screen.draw(self.session)

    # --- the profile ---------------------------------------------------------------------------

    @on(FormField.Edited)
    def _edited(self, event: FormField.Edited) -> None:
        section = self.session.data.setdefault(event.section, {})
        section[event.field] = parse_typed(event.section, event.field, event.text)
        self.session.validate()
        self._save()
        self._examine_soon()
        self._draw()

    def _save(self) -> None:
        name, data = self.session.name, deepcopy(self.session.data)
        self._saver.submit(self._guarded, lambda: save_session(name, data))

    def _guarded(self, work_to_do: Callable[[], None]) -> None:
        """At the edge of a thread: errors become a message."""
        try:
            work_to_do()
        except SftError as error:
            self.post_message(bridge.BackgroundFailed(str(error)))
        except OSError as error:
            self.post_message(bridge.BackgroundFailed(f"{error.filename or 'A file'}: {error.strerror}"))
        except Exception as error:
            path = note_traceback(error)
            self.post_message(bridge.BackgroundFailed(f"Something went wrong inside sft-tui: see {path}"))

    @on(bridge.BackgroundFailed)
    def _failed(self, message: bridge.BackgroundFailed) -> None:
        self.notify(message.message, severity="error", timeout=10, markup=False)

    def _examine_soon(self) -> None:
        self.session.examining = self.session.profile is not None
        if self.session.examining:
            self._examine(EXAMINE_DELAY)

    @work(thread=True, exclusive=True, group="examine", exit_on_error=False)
    def _examine(self, delay: float) -> None:
        worker, profile = get_current_worker(), self.session.profile
        time.sleep(delay)
        if worker.is_cancelled or profile is None:
            return
        self._guarded(lambda: _post(self, bridge.look_at(profile)))

    @on(bridge.ProfileExamined)
    def _examined(self, message: bridge.ProfileExamined) -> None:
        if message.profile != self.session.profile:
            return  # edited meanwhile: a newer look is under way
        self.session.examining = False
        self.session.findings = message.findings
        self.session.current_steps = message.current_steps
        self._draw()

    def action_choose_profile(self) -> None:
        """Choose another profile, or make one."""
        self.push_screen(ProfileChooser(list_profiles(profiles_dir()), self.session.name), self._open_profile)

    def _open_profile(self, name: str | None) -> None:
        if not name or name == self.session.name:
            return
        self._save()
        self.session = load_session(name)
        self.session.validate()
        self._follower, self._log_step, self._log_lines = None, "", []
        self.workers.cancel_group(self, "follow")
        folder = newest_job(name)
        if folder is not None:
            self._follow(folder)
        self.switch_screen(screen_class("environment")(self.session))
        self._examine_soon()
        self._save()

    # --- jobs ----------------------------------------------------------------------------------

    def action_run_all(self) -> None:
        """Run all that remains."""
        plan = self._fit_plan()
        if plan is not None:
            self._submit(plan, "")

    def action_run_step(self) -> None:
        """Run this step, and what it needs that is not there yet."""
        plan, step = self._fit_plan(), self._step
        if plan is None or step is None:
            return
        mine = tuple(s.id for s in plan.steps if s.id in step.plan_steps and not s.not_needed)
        # asked for by hand, a step that is done runs again
        self._submit(plan.only(mine), mine[0] if set(mine) <= self.session.current_steps else "")

    def _fit_plan(self) -> Plan | None:
        if self.session.job_runs:
            self.notify("A job of this profile runs already: Monitor (F8) shows it.", severity="warning")
        elif self.session.plan is None:
            waiting = "sft-tui is still looking at the files: one moment." if self.session.examining else ""
            self.notify(waiting or "Something is missing: Review & launch (F7) lists it.", severity="warning")
        else:
            return self.session.plan
        return None

    @work(thread=True, group="submit", exit_on_error=False)
    def _submit(self, plan: Plan, from_step: str) -> None:
        self._guarded(lambda: _post(self, JobSubmitted(client.submit(jobs_dir(), plan, from_step=from_step))))

    @on(JobSubmitted)
    def _submitted(self, message: JobSubmitted) -> None:
        self._follow(message.folder)
        self.action_go("monitor")

    def _follow(self, folder: JobFolder) -> None:
        self.session.job, self.session.job_state, self.session.events = folder, None, []
        self._log_step, self._log_lines = "", []
        self._follower = bridge.JobFollower(folder)
        self._follow_job(self._follower)

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _follow_job(self, follower: bridge.JobFollower) -> None:
        worker = get_current_worker()

        def look() -> None:
            update = follower.look()
            if update is not None:
                _post(self, update)

        while not worker.is_cancelled:
            self._guarded(look)
            if follower.finished:
                return
            time.sleep(bridge.LOOK_SECONDS)

    @on(bridge.JobUpdated)
    def _job_updated(self, message: bridge.JobUpdated) -> None:
        session = self.session
        if session.job is None or message.folder.id != session.job.id:
            return
        ended = message.state.finished and session.job_runs
        session.job_state = message.state
        session.events += message.events
        fresh = message.log_step != self._log_step
        self._log_step = message.log_step
        self._log_lines = [*([] if fresh else self._log_lines), *message.log_lines][-1000:]
        if fresh or message.log_lines:
            self._show_log(message.log_lines, fresh)
        if ended or _step_ended(message.events):
            self._examine_soon()
        if ended:
            self._tell_end()
        self._draw()

    def _show_log(self, lines: list[str] | tuple[str, ...], fresh: bool) -> None:
        screen = self.wizard_screen
        if isinstance(screen, MonitorScreen) and screen.is_mounted and self.session.job_state:
            title = self._log_step or "nothing yet"
            screen.add_log(title, tuple(lines), fresh=fresh)

    def _tell_end(self) -> None:
        state = self.session.job_state
        if state is None:
            return
        if state.outcome == "succeeded":
            self.notify("The job has succeeded: Results (F9).")
        else:
            self.notify(f"The job has ended. {state.headline()}", severity="error", timeout=10, markup=False)

    @on(MonitorScreen.StopAsked)
    def _stop_asked(self) -> None:
        folder = self.session.job
        if folder is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._stop(folder)

        self.push_screen(Confirm("Stop the job? Steps that are done stay done."), answered)

    @work(thread=True, group="stop", exit_on_error=False)
    def _stop(self, folder: JobFolder) -> None:
        self._guarded(lambda: _ignore(client.stop(folder)))

    # --- the host ------------------------------------------------------------------------------

    @work(thread=True, group="host", exit_on_error=False)
    def _sample_host(self) -> None:
        worker = get_current_worker()

        def look() -> None:
            _post(self, bridge.sample(str(self.session.data.get("environment", {}).get("work_dir", ""))))

        while not worker.is_cancelled:
            self._guarded(look)
            time.sleep(bridge.HOST_SECONDS)

    @on(bridge.HostSampled)
    def _host_sampled(self, message: bridge.HostSampled) -> None:
        self.session.host = message.load
        if isinstance(self.screen, MonitorScreen):
            self._draw()


def _post(app: SftApp, message: Message) -> None:
    app.post_message(message)


def _ignore(_result: object) -> None:
    return None


def _step_ended(events: tuple[Event, ...]) -> bool:
    return any(e.kind in ("step_finished", "step_skipped") for e in events)


def run_wizard(name: str) -> int:
    """Run the wizard until the user leaves; the exit code."""
    if name and name not in list_profiles(profiles_dir()):
        load_profile_data(profiles_dir(), name)  # raises: a name that was typed must exist
    app = SftApp(choose_profile(name))
    app.run()
    return app.return_code or 0
