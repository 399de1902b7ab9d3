"""One node's part, as the head sees it: started over SSH, followed over SSH, found again after a lost connection."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any, Final, Optional, Sequence

from sft_tui.cluster.bounded_talk import LastWords
from sft_tui.cluster.node_messages import LONGEST_MESSAGE, read_folder, read_message
from sft_tui.cluster.ssh import Child, Ssh, SshError, translate
from sft_tui.core.nodes import NodePart
from sft_tui.errors import SftError

SILENT_SECONDS: Final = 15.0  # without a word: the connection counts as lost
SUBMIT_SECONDS: Final = 45.0  # to get a part started over a connection that comes and goes
LONGEST_PAUSE: Final = 5.0

# (node rank, what was said): the agent's own messages, and ours: {"lost": why}, {"refused": why}
Messages = queue.Queue[tuple[int, dict[str, Any]]]


class PartFollower(threading.Thread):
    """Starts a part and passes on what its node says, until it has ended."""

    def __init__(
        self, ssh: Ssh, part: NodePart, command: Sequence[str], request: dict[str, Any], messages: Messages
    ) -> None:
        super().__init__(daemon=True, name=f"node {part.rank}")
        self.part = part
        self.folder = ""
        self._ssh, self._command, self._request, self._messages = ssh, command, request, messages
        self.unread = 0  # messages that could not be read
        self._offset = 0
        self._ended = False
        self._stopping = False
        self._given_up = threading.Event()
        self._child: Optional[Child] = None
        self._heard = time.monotonic()

    def run(self) -> None:
        """The thread: submit, watch, come back. Never raises."""
        try:
            if not self._submit():
                return
            pause = 0.5
            while not self._ended and not self._given_up.is_set():
                begin = self._offset
                self._tell(lost=self._watch())
                pause = 0.5 if self._offset > begin else min(LONGEST_PAUSE, pause * 2)
                if not self._ended:
                    self._given_up.wait(pause)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the others have to hear of it
            self._tell(refused=f"sft-tui itself failed: {error!r}")

    def look_after(self) -> None:
        """End a connection over which nothing comes any more: a new one may be better."""
        child = self._child
        if child is not None and time.monotonic() - self._heard > SILENT_SECONDS:
            child.kill()

    def give_up(self) -> None:
        """Follow no longer."""
        self._given_up.set()
        if self._child is not None:
            self._child.kill()

    def stop(self, *, now: bool) -> None:
        """Ask the part to stop, in a thread of its own; what goes wrong shows in that it goes on."""
        self._stopping = True
        threading.Thread(target=self._stop, args=(now,), daemon=True).start()

    def _stop(self, now: bool) -> None:
        # until it has worked: the part may be about to start, the connection may come back
        while not self._ended:
            try:
                if self.folder:
                    words = [*self._command, "_node", "stop", self.folder, *(("now",) if now else ())]
                    self._ssh.run(self.part.node, words, timeout=15)
                    return
            except SftError:
                pass
            if self._given_up.wait(1):
                return

    def _submit(self) -> bool:
        deadline, asked = time.monotonic() + SUBMIT_SECONDS, False
        while not self._given_up.is_set():
            if self._stopping and not asked:  # else it may run: asked again, the node tells which job it is
                self._tell(refused="it was stopped before it began")
                return False
            try:
                asked, words = True, [*self._command, "_node", "submit"]
                answer = self._ssh.run(self.part.node, words, stdin=json.dumps(self._request), timeout=30)
                self.folder = read_folder(answer)
                return True
            except ValueError:
                self._tell(refused="it gave no answer that could be read")
                return False
            except SshError as error:
                if error.kind == "failed" or time.monotonic() > deadline:
                    self._tell(refused=str(error))
                    return False
                self._tell(lost=error.message)
            self._given_up.wait(1)
        return False

    def _watch(self) -> str:
        """Pass on messages until the connection or the part ends; why it ended."""
        words = [*self._command, "_node", "watch", self.folder, str(self._offset)]
        try:
            child = self._ssh.open(self.part.node, words)
        except SshError as error:
            return error.message
        said = LastWords(child.stderr)
        self._heard, self._child = time.monotonic(), child
        is_endless = False
        try:
            with child:
                assert child.stdout is not None
                while not is_endless and (line := child.stdout.readline(LONGEST_MESSAGE)):
                    self._heard = time.monotonic()
                    self._pass_on(line)
                    is_endless = len(line) == LONGEST_MESSAGE and not line.endswith(b"\n")
                if is_endless:
                    child.kill()
                said_last = said.text()
        finally:
            self._child = None
        if is_endless:
            return f"{self.part.node.host} sent a line without an end."
        code = child.returncode
        return translate(self.part.node, code if code >= 0 else 255, said_last).message

    def _pass_on(self, line: bytes) -> None:
        message = read_message(line)
        if message is None:
            # neither a login file that prints, nor what a lost connection has torn and will be said again
            self.unread += line.startswith(b"{") and line.endswith(b"\n")
        else:
            self._offset = message.get("offset", self._offset)
            self._ended = self._ended or message.get("state") == "finished"
            self._messages.put((self.part.rank, message))

    def _tell(self, **message: str) -> None:
        if not self._ended:
            self._messages.put((self.part.rank, message))
