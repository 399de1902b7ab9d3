"""Encodes with sentencepiece word by word, each word once: a dataset has few words, and many of each."""

from __future__ import annotations

import re
import threading
from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from sft_tui.dataset.tokenizer.protobuf import read_fields

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sentencepiece import SentencePieceProcessor

SPACE = "\u2581"  # how sentencepiece writes a space
_BPE = 2
# A word is kept when it is short, and all are forgotten when there are too many: some 15 MB at most.
_LONGEST_WORD = 40
_MOST_WORDS = 50_000
# A run of spaces and the word behind it.
_WORD = re.compile(" +[^ ]*")
_SPACE_INSIDE = re.compile(f"[^{SPACE}]{SPACE}")


class WordCache:
    """Text -> ids, equal to `SentencePieceProcessor.encode`, for models that `works_by_words`.

    Such a model is BPE, leaves text as it is, and has no piece that goes on behind a space: no merge ever joins what
    stands on both sides of "a letter, then a space", so each word with the spaces before it can be encoded alone.
    """

    def __init__(self, processor: SentencePieceProcessor, threads: int = 1) -> None:
        self._processor: Any = processor
        self._threads = threads
        self._lock = threading.Lock()
        # A text that ends in one space ends in a word of no letters, which encoded alone would be nothing at all.
        before: List[int] = self._processor.encode("x")
        self.lone_space = pack_ids(self._processor.encode("x ")[len(before) :])
        self._known: Dict[str, bytes] = {"": self.lone_space}
        self._sizes, self._behind = _sizes(processor)

    def pack(self, texts: Sequence[str]) -> List[bytes]:
        """The ids of each text as packed native int32."""
        split = [_words(text) for text in texts]
        with self._lock:  # the wizard's threads share a tokenizer
            return self._pack(split)

    def _pack(self, split: List[List[str]]) -> List[bytes]:
        missing = list(set(chain.from_iterable(split)).difference(self._known))
        known = self._known
        if missing:
            encoded = self._processor.encode(missing, out_type=int, num_threads=self._threads)
            known.update(zip(missing, map(pack_ids, encoded)))
        packed = [b"".join(map(known.__getitem__, words)) for words in split]
        self._forget(missing)
        return packed

    def encode_with_offsets(self, texts: Sequence[str]) -> List[Tuple[List[int], List[int]]]:
        """The ids of each text, and the place where each begins; a token that holds a space begins at the space."""
        return [(unpack_ids(packed), self._begins(text, packed)) for text, packed in zip(texts, self.pack(texts))]

    def _begins(self, text: str, packed: bytes) -> List[int]:
        import numpy as np

        if not packed:
            return []
        ids = np.frombuffer(packed, dtype=np.int32)
        sizes = self._sizes[ids]
        # The space before the first word is sentencepiece's own: places are counted from behind it.
        ends = np.cumsum(sizes) - 1
        if ends[-1] != len(text):  # an unknown token may stand for any number of characters
            return token_begins(self._processor, text)
        begins: List[int] = np.maximum(ends - sizes - self._behind[ids], 0).tolist()
        return begins

    def _forget(self, added: List[str]) -> None:
        for word in added:
            if len(word) > _LONGEST_WORD:
                del self._known[word]
        if len(self._known) > _MOST_WORDS:
            self._known = {"": self.lone_space}


def _words(text: str) -> List[str]:
    """The words of a text, each without the one space before it (sentencepiece puts one before what it encodes)."""
    if SPACE in text:
        return [text]  # it would count as a space
    if "  " in text or text.startswith(" "):
        return [run[1:] for run in _WORD.findall(" " + text)]
    return text.split(" ") if text else []


def pack_ids(ids: Sequence[int]) -> bytes:
    """Ids as native int32."""
    return array("i", ids).tobytes()


def unpack_ids(packed: bytes) -> List[int]:
    """The reverse of `pack_ids`."""
    ids = array("i")
    ids.frombytes(packed)
    return ids.tolist()


def _sizes(processor: Any) -> Tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:  # noqa: ANN401
    """For each piece how many characters of a text it uses up, and how far behind its character's begin it stands.

    Of a character in bytes, the first uses it up and the others nothing. The unknown token fits no text.
    """
    import numpy as np

    sizes, behind = [], []
    for number in range(processor.get_piece_size()):
        piece: str = processor.id_to_piece(number)
        is_continued = processor.is_byte(number) and 0x80 <= int(piece[1:-1], 16) < 0xC0
        behind.append(int(is_continued))
        sizes.append(0 if is_continued else 1 if processor.is_byte(number) else len(piece))
    sizes[processor.unk_id()] = 1 << 40
    return np.array(sizes), np.array(behind)


def token_begins(processor: SentencePieceProcessor, text: str) -> List[int]:
    """Where in a text (in characters) each of its tokens begins."""
    shared: Any = processor
    begins: List[int] = []
    # A SentencePieceText: pieces are field 2, in each `begin` is field 4, in bytes of UTF-8; 0 is not written out.
    for number, piece in read_fields(shared.encode(text, out_type="serialized_proto")):
        if number == 2 and isinstance(piece, bytes):
            begin = dict(read_fields(piece)).get(4, 0)
            begins.append(begin if isinstance(begin, int) else 0)
    if text.isascii():
        return begins
    at: Dict[int, int] = {}
    size = 0
    for index, character in enumerate(text):
        at[size] = index
        size += len(character.encode("utf-8"))
    at[size] = len(text)
    return [at[begin] for begin in begins]


def works_by_words(processor: SentencePieceProcessor) -> bool:
    """Whether a model encodes each word by itself, whatever stands around it; see `WordCache`."""
    shared: Any = processor
    settings = _settings(shared.serialized_model_proto())
    if settings != {"bpe": True, "as_it_is": True, "space_first": True}:
        return False
    if shared.piece_to_id(SPACE) == shared.unk_id():
        return False
    pieces = map(shared.id_to_piece, range(shared.get_piece_size()))
    return not any(SPACE in piece and _SPACE_INSIDE.search(piece) for piece in pieces)


def _settings(model: bytes) -> Dict[str, bool]:
    """What sentencepiece_model.proto says of the algorithm, of changes to the text, and of the space put before it."""
    trainer = normalizer = b""
    for number, value in read_fields(model):
        if number == 2 and isinstance(value, bytes):
            trainer = value
        elif number == 3 and isinstance(value, bytes):
            normalizer = value
    training, changes = dict(read_fields(trainer)), dict(read_fields(normalizer))
    # TrainerSpec: model_type 3, treat_whitespace_as_suffix 24. NormalizerSpec: precompiled_charsmap 2,
    # add_dummy_prefix 3, remove_extra_whitespaces 4, escape_whitespaces 5; the last three are true unless said.
    return {
        "bpe": training.get(3) == _BPE and not training.get(24),
        "as_it_is": not changes.get(2) and changes.get(4, 1) == 0 and changes.get(5, 1) == 1,
        "space_first": changes.get(3, 1) == 1,
    }
