"""The wizard: owns the session, hands it to the screens, and starts what runs outside the UI."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from sft_tui.errors import SftError
from sft_tui.tui import bridge
from sft_tui.tui.background import keep_traceback
from sft_tui.tui.launching import LaunchingApp
from sft_tui.tui.opening import find_job, load_session
from sft_tui.tui.screens.wizard.base import FirstFrame, WizardScreen
from sft_tui.tui.screens.wizard.registry import screen_class
from sft_tui.tui.session import WIZARD_STEPS, Session

if TYPE_CHECKING:  # the first paint waits for none of these
    from sft_tui.store.job_store import JobFolder


class SftApp(LaunchingApp, inherit_bindings=False):
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
        Binding("ctrl+z", "undo", "Undo", show=False, priority=True),
        Binding("ctrl+s", "save_anew", "Save anew", priority=True),
        Binding("escape", "cancel_wish", "Cancel"),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "help_quit", show=False, system=True),
    ]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.not_opened: SftError | None = None  # why the profile could not be read

    # --- start and end -------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.push_screen(FirstFrame(self.session))
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        """Open the profile, and ask for all that the first paint does not wait for."""
        gc.enable()  # see run_wizard
        try:
            session = load_session(self.session.name)
        except SftError as error:
            self.not_opened = error
            self.exit(return_code=error.exit_code)
            return
        self._opened = True
        self._use(session)
        self.release_keys()
        self._watch_file()
        self._background.repeat(self._sample, bridge.HOST_SECONDS)
        self._background.repeat(self._newer_job, bridge.HOST_SECONDS)

    def _newer_job(self) -> bridge.JobFound | None:
        """A job that another wizard or the command line has started meanwhile."""
        job = self.session.job
        if job is None or job.runs:
            return None
        found = find_job(self.session.name)
        return found if found is not None and found.folder != job.folder else None

    def _use(self, session: Session) -> None:
        super()._use(session)
        self._look_for_job()

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
        if self.session.gone:
            message = f"The profile {self.session.name} was deleted elsewhere, and was not saved."
        self.exit(message=message)

    def _handle_exception(self, error: Exception) -> None:
        """A defect of ours: the traceback goes to a file, the user gets a sentence."""
        self._background.close()
        self.exit(return_code=1, message=f"sft-tui stopped on an unexpected error. {keep_traceback(error)}")

    # --- moving --------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No moving or launching behind a dialog; the footer shows only what does something here."""
        step = self._step
        on_wizard = step is not None and isinstance(self.screen, WizardScreen)
        if action in ("go", "choose_profile", "help", "show_devices"):
            return on_wizard
        if action == "move" and step is not None:
            index = WIZARD_STEPS.index(step) + (1 if parameters == (1,) else -1)
            return on_wizard and 0 <= index < len(WIZARD_STEPS)
        if action == "undo":
            return on_wizard
        if action == "save_anew":
            return on_wizard and self.session.gone
        if action == "cancel_wish":
            return on_wizard and self.waits_for_check
        if action == "run_all":
            return on_wizard and not self.session.job_runs
        if action == "run_step" and step is not None:
            return on_wizard and bool(step.plan_steps) and not self.session.job_runs
        if action == "show_logs":
            return on_wizard and self.session.job is not None
        if action == "stop_job":
            return on_wizard and self.session.job_runs
        return True

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

    # --- jobs ------------------------------------------------------------------------------------

    @on(bridge.JobSubmitted)
    def _submitted(self, message: bridge.JobSubmitted) -> None:
        self._submitting = False
        if message.profile == self.session.name:
            self._follow(message.folder)
            self.action_go("monitor")

    def _follow(self, folder: JobFolder) -> None:
        from sft_tui.tui.job_view import JobView

        job = self.session.job = JobView(folder)
        followers: list[bridge.JobFollower] = []

        def look() -> bridge.JobUpdated | None:
            if not followers:
                followers.append(bridge.JobFollower(folder, lambda: self.size.width * self.size.height))
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
