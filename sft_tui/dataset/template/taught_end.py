"""Compares the token that ends an answer in a template with those at which the model's folder says to stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from sft_tui.dataset.template.chat import CHAT, load_chat_template
from sft_tui.dataset.template.layouts import check_template, load_layout
from sft_tui.dataset.tokenizer.load import Tokenizer
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_object

_GENERATION, _CONFIG = "generation_config.json", "config.json"


@dataclass(frozen=True)
class TaughtEnd:
    """The end that is trained on: its text, and its id where it is one token.

    `stops` are the ids at which generation stops, by the file `said_in` of the model's folder, `stop_words` their
    texts; empty where no file says it.
    """

    token: str
    id: Optional[int]
    stops: Tuple[int, ...] = ()
    stop_words: Tuple[str, ...] = ()
    said_in: str = ""

    @property
    def agrees(self) -> bool:
        """Whether generation stops at what is taught, as far as is known."""
        return not self.stops or self.id in self.stops

    def to_json(self) -> Dict[str, object]:
        """The facts as a JSON object."""
        return {**asdict(self), "agrees": self.agrees}


def parse_taught_end(data: Optional[Dict[str, Any]]) -> Optional[TaughtEnd]:
    """The facts from their JSON object; None for none. Raises KeyError, TypeError for another one."""
    if data is None:
        return None
    return TaughtEnd(data["token"], data["id"], tuple(data["stops"]), tuple(data["stop_words"]), data["said_in"])


def find_taught_end(tokenizer: Tokenizer, template: str, folder: Optional[Path] = None) -> TaughtEnd:
    """What a template teaches to end with, and where the model's folder stops (None: the tokenizer's).

    Raises InvalidInputError for a template that cannot be used.
    """
    if template == CHAT:
        token = load_chat_template(tokenizer).end_of_answer()
    else:
        token = load_layout(template).end[: check_template(template, tokenizer)].strip()
    number = tokenizer.special_tokens.get(token)
    if number is None:  # the last of what stands there: the others are blanks and words
        found = [text for text in tokenizer.special_tokens if text and token.endswith(text)]
        token = max(found, key=len, default=token)
        number = tokenizer.special_tokens.get(token)
    stops, said_in = _find_stops(folder or tokenizer.path.parent)
    words = {number: text for text, number in tokenizer.special_tokens.items()}
    return TaughtEnd(token, number, stops, tuple(words.get(stop, str(stop)) for stop in stops), said_in)


def describe_mismatch(end: TaughtEnd, template: str) -> Tuple[str, str]:
    """What happens where generation does not stop at what is taught, and what to do."""
    which = "The chat template" if template == CHAT else f"Template `{template}`"
    shown = " and ".join(f"{word} ({number})" for word, number in zip(end.stop_words, end.stops))
    number = "" if end.id is None else f" ({end.id})"
    message = (
        f"{which} ends answers with {end.token}{number}, and {end.said_in} stops at {shown}: as it is, a tuned model "
        "would go on behind its answer."
    )
    if end.id is None:
        return message, f"It is no single token: serve the model with the stop string {end.token!r}."
    return message, (
        f"The exported folder stops at {end.token} as well (convert-weight --reversed --end_token). "
        "Is it the template that the model was trained with?"
    )


def _find_stops(folder: Path) -> Tuple[Tuple[int, ...], str]:
    """As transformers: generation_config.json, else config.json."""
    for name in (_GENERATION, _CONFIG):
        try:
            found = read_small_object(folder / name).get("eos_token_id")
        except (OSError, InvalidInputError):
            continue  # whoever needs the file says so
        numbers = found if isinstance(found, list) else [found]
        stops = tuple(number for number in numbers if type(number) is int and number >= 0)
        if stops:
            return stops, name
    return (), ""
