"""Work outside the UI: threads that post messages, and nothing else.

They are daemon threads and not Textual's workers, since quitting must not wait for a probe that hangs or for a data
set of gigabytes. What must not be lost, the profile, has `ProfileSaver` (profile_saver.py).
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional

from textual.message import Message

from sft_tui.error_log import note_traceback
from sft_tui.errors import SftError
from sft_tui.tui.bridge import BackgroundFailed, look_at

if TYPE_CHECKING:
    from sft_tui.core.profile import Profile

Post = Callable[[Message], object]
Work = Callable[[], Optional[Message]]
EXAMINE_DELAY = 0.4  # seconds after the last key


def keep_traceback(error: Exception) -> str:
    """Where the details of a defect of ours are, for a sentence to the user."""
    try:
        return f"The details are in {note_traceback(error)}."
    except OSError as problem:
        return f"The details could not be written ({problem.strerror}): {type(error).__name__}."


def run_guarded(work: Work, post: Post, *, task: str = "") -> None:
    """At the edge of a thread: the result is posted, errors become a message."""
    try:
        message = work()
    except SftError as error:
        message = BackgroundFailed(str(error), task)
    except OSError as error:
        message = BackgroundFailed(f"{error.filename or 'A file'}: {error.strerror}", task)
    except Exception as error:  # noqa: BLE001 - the edge of a thread
        message = BackgroundFailed(f"Something went wrong inside sft-tui. {keep_traceback(error)}", task)
    if message is not None:
        post(message)


class Background:
    """Starts threads; they end when the UI closes, at their next step."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._closed = threading.Event()

    def run(self, work: Work, *, task: str = "") -> None:
        """Do it once."""
        self._start(lambda: run_guarded(work, self._post, task=task))

    def repeat(self, work: Work, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Do it again and again, with a rest between, until that is true or the UI closes."""

        def loop() -> None:
            while not self._closed.is_set():
                run_guarded(work, self._post)
                if until() or self._closed.wait(seconds):
                    return

        self._start(loop)

    def close(self) -> None:
        """Let the threads end."""
        self._closed.set()

    def _start(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, daemon=True).start()


class Examiner:
    """Looks at the newest profile, one look at a time, once typing rests for a moment."""

    TASK = "examine"

    def __init__(self, post: Post) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._wanted: Optional[Profile] = None
        self._started = False

    def ask(self, profile: Profile) -> None:
        """Look at this profile soon; one asked for before is forgotten."""
        with self._changed:
            self._wanted = profile
            self._changed.notify()
        if not self._started:
            self._started = True
            threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            run_guarded(partial(look_at, self._next()), self._post, task=self.TASK)

    def _next(self) -> Profile:
        """The profile to look at, once nobody asked for another for a moment."""
        with self._changed:
            while self._wanted is None:
                self._changed.wait()
            while self._changed.wait(EXAMINE_DELAY):
                pass
            profile, self._wanted = self._wanted, None
            return profile
