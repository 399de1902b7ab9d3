"""One row of training data: token ids, and which of them are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IGNORE_TOKEN_ID = -100

# Why a row has nothing to learn: a name for programs, a sentence for people.
REASONS: Dict[str, str] = {
    "empty_answer": "the answer is empty",
    "no_answer": "the conversation ends with a question",
    "no_question": "the conversation has no question",
    "opening_in_text": "the words that open an answer stand in the text as well",
    "separator_in_text": "the separator that ends an answer stands in the text as well",
    "special_in_text": "a special token of the model stands in the text",
    "unknown_token": "the text has an unknown token, which is also the padding",
    "cut_off": "the answer begins beyond seq_length",
    "not_spelled": "the tokens of the answer do not spell its text and its end",
    "length_mismatch": "the rounds do not add up to the whole text",
}


@dataclass(frozen=True)
class EncodedRow:
    """One row. `input_ids` and `labels` are int32 of shape (min(tokens, length),), without padding; they may be
    read-only.

    `tokens` is the length before cutting; `trained_tokens` counts the labels that are not IGNORE_TOKEN_ID;
    `masked_reason` is a key of REASONS when there are none, else "". `left_out`: a first turn that is not from
    `human` was dropped.
    """

    number: int
    id: str
    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    tokens: int
    trained_tokens: int
    cut: bool
    masked_reason: str
    left_out: bool = False

    @property
    def masked(self) -> bool:
        """Whether there is nothing to learn in this row."""
        return bool(self.masked_reason)
