"""Takes one key at a time: the next one only once the one before has done all that it does.

Textual hands a key from queue to queue: to the widget with the focus, up its parents, to the app, which then moves the
focus or changes the screen. A key that comes meanwhile would be given to whatever has the focus at that moment, and so
end up in another field than the one it was meant for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import ClassVar, Deque, Optional

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message_pump import MessagePump
from textual.widgets import Input

PATIENCE = 10.0  # seconds that one key may take; what was typed after it is dropped then
# what a key sets off goes through each queue up to three times: the key, a widget's message, the message made from it
_ROUNDS = 3
_TYPED = (events.Key, events.Paste, events.MouseDown, events.MouseUp)


class OrderedKeys(App[None], inherit_bindings=False):
    """An app in which what is typed lands where it was meant, at any speed of typing."""

    ALWAYS: ClassVar[frozenset[str]] = frozenset()  # taken at once while the others are held

    def __init__(self, css_path: list[str]) -> None:
        super().__init__(css_path=[*css_path])
        self._typed: Deque[events.Event] = deque()
        self._taker: Optional[asyncio.Task[None]] = None
        self._keys_held = True
        self._in_flight: Optional[DOMNode] = None  # what the last key was given to
        self._typed_into: Optional[DOMNode] = None  # the same, where that was a character for a text field

    async def on_event(self, event: events.Event) -> None:
        """Queue what is typed; everything else goes its way."""
        if self._waits_its_turn(event):
            self._typed.append(event)
            self._take_soon()
        else:
            await super().on_event(event)

    def _waits_its_turn(self, event: events.Event) -> bool:
        if not isinstance(event, _TYPED) or event.is_forwarded:
            return False
        return not (self._keys_held and isinstance(event, events.Key) and event.key in self.ALWAYS)

    def release_keys(self) -> None:
        """The first screen is there: what was typed until now, and from now on, is taken."""
        self._keys_held = False
        self._take_soon()

    async def all_keys_taken(self) -> None:
        """Wait until everything that was typed has been done, and what it set off."""
        await self._pass_through(self, asyncio.get_running_loop().time() + PATIENCE)
        while self._taker is not None:
            await asyncio.sleep(0.005)

    def _take_soon(self) -> None:
        if self._taker is None and self._typed and not self._keys_held:
            self._taker = asyncio.create_task(self._take_all())

    async def _take_all(self) -> None:
        try:
            while self._typed and not self._keys_held and self.is_running:
                event = self._next_typed()
                field = self._text_field_for(event)
                # characters for one field stay in order by themselves
                if field is None or field is not self._typed_into:
                    await self._settle()
                    field = self._text_field_for(event)
                self._typed_into = field
                await self._give(event)
            await self._settle()
        except Exception as error:  # noqa: BLE001 - the edge of a task
            self._handle_exception(error)
        finally:
            self._taker = None
            self._take_soon()

    def _next_typed(self) -> events.Event:
        event = self._typed.popleft()
        while self._typed and self._is_overtaken(event, self._typed[0]):
            event = self._typed.popleft()
        return event

    def _is_overtaken(self, event: events.Event, later: events.Event) -> bool:
        return isinstance(event, events.Key) and isinstance(later, events.Key) and self.overtakes(later.key, event.key)

    def overtakes(self, later: str, key: str) -> bool:
        """The later of two keys that wait makes the one before it pointless."""
        return False

    def _text_field_for(self, event: events.Event) -> Optional[DOMNode]:
        """The text field that takes the event as a character."""
        field = self.focused
        takes = (
            isinstance(event, events.Key)
            and isinstance(field, Input)
            and field.check_consume_key(event.key, event.character)
        )
        return field if takes else None

    async def _give(self, event: events.Event) -> None:
        """Let Textual have it, in the app's own turn."""
        given = asyncio.get_running_loop().create_future()

        async def give() -> None:
            try:
                self._in_flight = self.focused or self.screen
                await super(OrderedKeys, self).on_event(event)
            finally:
                if not given.done():
                    given.set_result(None)

        if self.call_later(give):
            await self._within_patience(given)

    async def _settle(self) -> None:
        """Wait until every queue that the last key went through is worked off, and the screen stands still."""
        end = asyncio.get_running_loop().time() + PATIENCE
        quiet = 0
        while quiet < _ROUNDS and self.is_running and self._screen_stack:
            before = self.screen, self.focused
            start, self._in_flight = self._in_flight or self.focused or self.screen, None
            for pump in (*start.ancestors_with_self, self.screen, self):
                await self._pass_through(pump, end)
            quiet = quiet + 1 if (self.screen, self.focused) == before else 0
            if asyncio.get_running_loop().time() > end:
                self._drop_typed()
                return

    async def _pass_through(self, pump: MessagePump, end: float) -> None:
        """Wait until the pump has done what is in its queue now, unless it is closed meanwhile."""
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        if pump.call_later(_pass, passed):
            while not passed.done() and not pump._closed and loop.time() < end:
                await asyncio.wait([passed], timeout=0.02)

    async def _within_patience(self, future: asyncio.Future[None]) -> None:
        done, _ = await asyncio.wait([future], timeout=PATIENCE)
        if not done:
            self._drop_typed()

    def _drop_typed(self) -> None:
        """It was meant for what the key before it should have shown by now."""
        dropped = len(self._typed)
        self._typed.clear()
        if dropped:
            self.keys_dropped(dropped)

    def keys_dropped(self, count: int) -> None:
        """So many keys were not taken, because the one before them has taken too long."""


def _pass(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
