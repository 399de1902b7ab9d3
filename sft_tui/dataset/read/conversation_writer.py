"""Writes conversations as MindFormers alpaca_converter does, one at a time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, TextIO

from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.files.whole_file import open_whole_file


class ConversationWriter:
    """Writes conversations as `json.dump(list, ensure_ascii=False, indent=2)` would, one at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._separator = "[\n"

    def write(self, conversation: Conversation) -> None:
        """Append one conversation. json's own indenting encoder is pure Python and three times as slow."""
        turns = ",\n".join(map(_write_turn, conversation.turns))
        name, tools = _quote(conversation.id), conversation.tools
        more = f',\n    "tools": {tools}' if tools else ""
        self._stream.write(
            f'{self._separator}  {{\n    "id": {name},\n    "conversations": [\n{turns}\n    ]{more}\n  }}'
        )
        self._separator = ",\n"

    def close(self) -> None:
        """End the list."""
        self._stream.write("\n]" if self._separator == ",\n" else "[]")


def _write_turn(turn: Turn) -> str:
    """A turn; fields that MindFormers does not have are for `preprocess`, which reads them again."""
    if not turn.given and turn.trained:
        return f'      {{\n        "from": {_quote(turn.speaker)},\n        "value": {_quote(turn.text)}\n      }}'
    fields = [("from", _quote(turn.speaker)), ("value", _quote(turn.text)), *turn.given]
    if not turn.trained:
        fields.append(("train", "false"))
    return "      {\n" + ",\n".join(f"        {_quote(name)}: {value}" for name, value in fields) + "\n      }"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@contextmanager
def open_conversations(path: Path) -> Iterator[ConversationWriter]:
    """A file of conversations that is there whole when the block ends well; else nothing changes."""
    with open_whole_file(path) as stream:
        writer = ConversationWriter(stream)
        yield writer
        writer.close()
