"""One encoded sample: token ids, labels, and why it is fully masked if it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Tuple

from sft_tui.dataset.read.remarks import Remark

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IGNORE_TOKEN_ID = -100

# Why a row has nothing to learn: a name for programs, a sentence for people.
REASONS: Dict[str, str] = {
    "empty_answer": "the answer is empty",
    "no_answer": "the conversation ends with a question",
    "not_trained": "every answer is marked as not to be trained on",
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
    """One encoded sample, without padding, truncated to the encoder's `length`.

    `input_ids`: int32, (min(tokens, length),). `labels`: int32, the same shape, not shifted, IGNORE_TOKEN_ID (-100)
    where nothing is learned. Both may be read-only. `number`: of the record in its file, from 1. `tokens`: before
    truncation. `trained_tokens`: labels that are not IGNORE_TOKEN_ID. `cut`: it was truncated. `masked_reason`: a key
    of REASONS when it is fully masked, else "". `left_out`: a first turn that is not from `human` was dropped.
    `remarks`: what the template did with the record beside that.
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
    remarks: Tuple[Remark, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether it is fully masked."""
        return bool(self.masked_reason)
