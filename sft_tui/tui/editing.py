"""The part of the wizard that edits a profile: takes edits over, saves and undoes them, and looks at the files."""

from __future__ import annotations

from typing import Any

from textual import on

from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.errors import SftError
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_merge import ABSENT, FieldChange, same_value
from sft_tui.store.profile_store import list_profiles, parse_typed
from sft_tui.tui import bridge
from sft_tui.tui.background import Examiner
from sft_tui.tui.opening import load_session
from sft_tui.tui.screens.wizard.registry import screen_class
from sft_tui.tui.session import Session
from sft_tui.tui.widgets.field_messages import TextEdited, ValueEdited
from sft_tui.tui.wizard_app import WizardApp

LOOK_SECONDS = 2.0  # between two looks whether somebody else has changed the file


class EditingApp(WizardApp, inherit_bindings=False):
    """Every edit is saved at once, into what the file holds by then."""

    @on(TextEdited)
    def _edited(self, event: TextEdited) -> None:
        self._take(event.section, event.field, parse_typed(event.section, event.field, event.text))

    @on(ValueEdited)
    def _value_edited(self, event: ValueEdited) -> None:
        self._take(event.section, event.field, event.value)

    def _take(self, section: str, field: str, value: object) -> None:
        self._touched = True
        self.session.edit(section, field, value)
        self._keep(section, field)

    def _keep(self, section: str, field: str) -> None:
        """Save a field that was changed, and look at what it is about."""
        self._save((section, field, self.session.data[section][field]))
        self._examine_soon()
        self._draw()

    def _save(self, *edits: tuple[str, str, Any]) -> None:
        if self._opened:
            self._saver.save(self.session.name, *edits)

    def action_undo(self) -> None:
        """Give the field that was edited last the value that it had before."""
        edit = self.session.undo.take_back()
        if edit is None:
            self.say("There is no edit to take back.")
            return
        now = self.session.data[edit.section].get(edit.field)
        self.session.put(edit.section, edit.field, edit.before)
        self._show_value(edit.section, edit.field, edit.before)
        self._keep(edit.section, edit.field)
        self.say(f"{_title(edit.section, edit.field)} is {_shown(edit.before)} again; it was {_shown(now)}.")

    def _show_value(self, section: str, field: str, value: object) -> None:
        from sft_tui.tui.widgets.form_field import FormField

        screen = self.wizard_screen
        for shown in screen.query(FormField) if screen is not None else ():
            if (shown.section, shown.field) == (section, field):
                shown.put_value(value)

    # --- what others do to the same file ----------------------------------------------------------

    def _watch_file(self) -> None:
        """Look again and again whether somebody else has changed the profile."""
        self._background.repeat(lambda: self._saver.look(self.session.name), LOOK_SECONDS)

    @on(bridge.ProfileMerged)
    def _merged(self, message: bridge.ProfileMerged) -> None:
        if message.profile != self.session.name:
            return
        if self.session.gone:
            self.session.gone = False
            self.say(f"The profile {self.session.name} is there again.")
        if message.broken is not None:
            self.say(f"The profile's file could not be read; it is kept as {message.broken.name}.", bad=True)
        taken: list[FieldChange] = []
        clashes = list(message.clashes)
        for change in message.taken:
            (taken if self._take_over(change) else clashes).append(change)
        if taken:
            values = ", ".join(f"{_label(c)} {_shown(c.theirs)} (was {_shown(c.mine)})" for c in taken)
            self.say(f"Changed elsewhere, and taken over: {values}.", bad=True)
        for change in clashes:
            mine = self._value_at(change.place)
            self.say(
                f"{_label(change)} was changed here and elsewhere: {_shown(mine)} stays; "
                f"elsewhere it is {_shown(change.theirs)}.",
                bad=True,
            )
        self._examine_soon()
        self._draw()

    def _take_over(self, change: FieldChange) -> bool:
        """Put in what somebody else wrote, unless the field was edited here meanwhile."""
        if not same_value(self._value_at(change.place), change.mine):
            return False
        self.session.put_at(change.place, change.theirs)
        if len(change.place) == 2 and change.theirs is not ABSENT:
            self._show_value(*change.place, change.theirs)
        return True

    def _value_at(self, place: tuple[str, ...]) -> object:
        value: object = self.session.data
        for key in place:
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        return value

    @on(bridge.ProfileGone)
    def _gone(self, message: bridge.ProfileGone) -> None:
        if message.profile == self.session.name and not self.session.gone:
            self.session.gone = True
            self.say(
                f"The profile {message.profile} was deleted elsewhere. It is not saved any more; "
                "ctrl+s saves it anew, with all that stands here.",
                bad=True,
            )
            self.refresh_bindings()
            self._draw()

    def action_save_anew(self) -> None:
        """Write a profile that was deleted elsewhere."""
        if self.session.gone:
            self.session.gone = False
            self._saver.save_anew(self.session.name)
            self.say(f"The profile {self.session.name} is saved anew.")
            self._draw()
        else:
            self.say("Everything typed is saved already.")

    # --- looking at what it is about ---------------------------------------------------------------

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
        self.session.take_findings(message.findings, message.current_steps, message.runs, message.resume)
        self._draw()

    # --- another profile ---------------------------------------------------------------------------

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
        self._use(opened)
        self._save()  # a new one is there from now on

    def _use(self, session: Session) -> None:
        """Show this profile from now on."""
        self.session, self._touched = session, False
        self._saver.opened(session.name, session.data, on_disk=session.on_disk)
        session.validate()
        self.switch_screen(screen_class("environment")(session))
        self._examine_soon()


def _title(section: str, field: str) -> str:
    from sft_tui.core.profile import section_model

    info = section_model(section).model_fields.get(field) if section in SECTIONS else None
    return (info.title if info else None) or f"{section}.{field}".strip(".")


def _label(change: FieldChange) -> str:
    return _title(change.place[0], ".".join(change.place[1:]))


def _shown(value: object) -> str:
    """A value in a sentence."""
    from sft_tui.core.nodes import show_field, show_hosts  # not before the first paint

    if value is ABSENT:
        return "not set"
    if isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
        return show_hosts(value) or "no hosts"
    return show_field(value) or "empty"
