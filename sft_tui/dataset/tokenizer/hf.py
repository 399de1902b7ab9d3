"""Encodes text with a Hugging Face tokenizer.json, by the `tokenizers` library. Nothing is unpickled: JSON only."""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from sft_tui.files.small_file import read_small_object
from sft_tui.stack.releases import version_key

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

Spans = List[Tuple[int, int]]
MAX_BYTES = 64_000_000  # the largest in use have some 35 MB; each byte takes several of memory
MAX_IDS = 10_000_000  # the largest vocabularies have some 260,000
PAIRS_SINCE = "0.20"  # the oldest tokenizers that reads merges as pairs
_HINT = "Give the tokenizer.json that belongs to the checkpoint."


class HfTokenizer:
    """The byte-level BPE of Llama 3, Qwen and others.

    `special_tokens` are what tokenizer.json marks as special; the library makes one id of each wherever it stands in
    a text. Padding is the pad token, else the unknown token, else eos.

    With one of `threads` no batch is spread over others; the library knows that for a whole process only, so from its
    first batch on that holds for all tokenizers in it.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Any,  # noqa: ANN401 - the library's own
        special_tokens: Dict[str, int],
        threads: int = 1,
        pieces: Sequence[bytes] = (),
    ) -> None:
        self.path = path
        self._pieces = pieces  # what each id spells; none where that depends on the ids around it
        self._tokenizer = tokenizer
        self.merges_as_pairs = False  # tokenizer.json has them so, which libraries before 0.20 cannot read
        self._sizes: Optional[Ints] = None  # of the pieces, once they are asked for
        self._threads = threads
        self.special_tokens = special_tokens
        self.vocab_size: int = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        settings = _Settings(path, self._tokenizer)
        eos = settings.find("eos")
        if eos is None:
            raise InvalidInputError(
                f"Nothing beside {path} names the eos token.",
                "tokenizer_config.json, special_tokens_map.json or generation_config.json has to be there too.",
            )
        self.eos_id: int = eos
        self._settings = settings
        self.bos_id = settings.find("bos")
        self.unk_id = settings.find("unk")
        pad = settings.find("pad")
        self.pad_id: int = next(number for number in (pad, self.unk_id, eos) if number is not None)
        first = tokenizer.encode("x").ids[:1]
        adds = settings.flag("add_bos_token")
        self.adds_bos = self.bos_id is not None and (first == [self.bos_id] if adds is None else adds)
        # What it adds around a text was looked at above; it also moves offsets past leading spaces.
        self._tokenizer = _without_post_processor(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, text: str) -> List[int]:
        """The ids of one text, without bos and eos of its own."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> List[List[int]]:
        """The ids of each text, without bos and eos of its own."""
        return [list(item.ids) for item in self._encode(texts)]

    def encode_with_offsets(self, texts: Sequence[str]) -> List[Tuple[List[int], List[int]]]:
        """The ids of each text, and for each id the place in the text where it begins (in characters)."""
        return [(item.ids, [begin for begin, _ in item.offsets]) for item in self._encode(texts)]

    def encode_spans(self, texts: Sequence[str], places: Sequence[Spans]) -> Iterator[Tuple[Ints, Spans]]:
        """The ids of each text, and for each stretch of it (in characters) the tokens that make it, first and last + 1.

        Quicker than asking for every token where it begins: where pieces are known, the library need not keep account.
        """
        import numpy as np

        encoded = self._encode(texts, offsets=not self._pieces)
        for text, item, wanted in zip(texts, encoded, places):
            ids = np.array(item.ids, dtype=np.int32)
            spans = self._spans_by_bytes(text, ids, wanted) if self._pieces else None
            if spans is None:
                told = self._tokenizer.encode(text, add_special_tokens=False) if self._pieces else item
                ends = [(told.char_to_token(begin), told.char_to_token(stop - 1)) for begin, stop in wanted]
                spans = [(0 if a is None else a, 0 if b is None else b + 1) for a, b in ends]
            yield ids, spans

    def _spans_by_bytes(self, text: str, ids: Ints, places: Spans) -> Optional[Spans]:
        """By adding up what the tokens spell; None where the tokenizer spells it in other bytes (composed letters)."""
        import numpy as np

        if self._sizes is None:
            self._sizes = np.array([len(piece) for piece in self._pieces], dtype=np.int32)
        ends = self._sizes[ids].cumsum()
        ascii_only = text.isascii()
        if (ends[-1] if len(ends) else 0) != (len(text) if ascii_only else len(text.encode())):
            return None
        bounds = [at if ascii_only else len(text[:at].encode()) for place in places for at in place]
        # a token begins where the one before it ends: that many end before a place, or at it
        tokens = (ends.searchsorted(bounds) + (np.array(bounds) > 0)).tolist()
        return list(zip(tokens[::2], tokens[1::2]))

    def spell(self, ids: Sequence[int]) -> str:
        """The text that ids stand for, as `decode`."""
        if self._pieces:
            return b"".join([self._pieces[number] for number in ids]).decode("utf-8", "replace")
        return self.decode(ids)

    def special_pattern(self) -> re.Pattern[str]:
        """Finds special tokens in a text, the longest first."""
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def special_words(self) -> Dict[str, str]:
        """What chat templates call bos_token, eos_token and so on; those that there are."""
        words = {number: text for text, number in self.special_tokens.items()}
        ids = {"bos": self.bos_id, "eos": self.eos_id, "pad": self.pad_id, "unk": self.unk_id}
        return {
            f"{name}_token": words[number] for name, number in ids.items() if number is not None and number in words
        }

    def end_tokens(self) -> List[str]:
        """The special tokens that may end an answer: those that the settings name, else all but bos and padding."""
        ids = {self.eos_id, *self._settings.ends()}
        others = {self.bos_id, self.pad_id, self.unk_id} - ids
        return [text for text, number in self.special_tokens.items() if number not in others]

    def _encode(self, texts: Sequence[str], *, offsets: bool = True) -> Sequence[Any]:
        """The library's own encodings; without `offsets` they know ids alone, and are made in less time."""
        if self._threads == 1:
            # the library has no say over threads but by this variable, which it reads at every batch
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
        many = self._tokenizer.encode_batch
        if not offsets:
            many = getattr(self._tokenizer, "encode_batch_fast", many)  # since 0.20.1
        batch: Sequence[Any] = many(list(texts), add_special_tokens=False)
        return batch

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are written out."""
        text: str = self._tokenizer.decode([int(number) for number in ids], skip_special_tokens=False)
        return text


def load_hf_tokenizer(path: Path, threads: int) -> HfTokenizer:
    """Load a tokenizer.json; raises InvalidInputError for another file, EnvironmentNotFitError without the library."""
    data = _read_json(path)
    if not isinstance(data.get("model"), dict):
        raise InvalidInputError(f"{path} is JSON, but no tokenizer: it has no `model`.", _HINT)
    _check_ids(path, data)
    try:
        library = importlib.import_module("tokenizers")
    except ImportError as error:
        raise EnvironmentNotFitError(
            f"Reading {path.name} needs the library `tokenizers`: {error}.", "pip install 'sft-tui[hf]'"
        ) from error
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        if _has_pairs(data) and version_key(library.__version__) < version_key(PAIRS_SINCE):
            raise EnvironmentNotFitError(
                f"{path} has its merges as pairs, which tokenizers {library.__version__} cannot read.",
                "pip install 'tokenizers>=0.20', or save the tokenizer with an older transformers.",
            ) from error
        raise InvalidInputError(f"{path} is JSON, but no tokenizer: {error}.", _HINT) from error
    added = data.get("added_tokens")
    special: Dict[str, int] = {}
    for item in added if isinstance(added, list) else []:
        number = tokenizer.token_to_id(item["content"]) if item.get("special") else None
        if number is not None:
            special[item["content"]] = number
    found = HfTokenizer(path, tokenizer, special, threads, _byte_pieces(data, tokenizer))
    found.merges_as_pairs = _has_pairs(data)
    return found


def _has_pairs(data: Dict[str, Any]) -> bool:
    merges = data["model"].get("merges")
    return isinstance(merges, list) and bool(merges) and isinstance(merges[0], list)


def _without_post_processor(tokenizer: Any) -> Any:  # noqa: ANN401 - the library's own
    try:
        tokenizer.post_processor = None
    except TypeError:  # before 0.20 there is always one
        return type(tokenizer).from_str(json.dumps({**json.loads(tokenizer.to_str()), "post_processor": None}))
    return tokenizer


def _check_ids(path: Path, data: Dict[str, Any]) -> None:
    """Raise InvalidInputError for an id that no vocabulary has: lists are made as long as the largest."""
    vocabulary = data["model"].get("vocab")
    numbers = [*vocabulary.items()] if isinstance(vocabulary, dict) else []
    added = data.get("added_tokens")
    numbers += [(item.get("content"), item.get("id")) for item in added or [] if isinstance(item, dict)]
    for text, number in numbers:
        if type(number) is not int or not 0 <= number < MAX_IDS:
            raise InvalidInputError(
                f"{path} gives the token {str(text)[:40]!r} the id {str(number)[:40]}; ids lie below {MAX_IDS:,}.",
                _HINT,
            )


def _byte_pieces(data: Dict[str, Any], tokenizer: Any) -> List[bytes]:  # noqa: ANN401
    """The bytes of each id of a byte-level tokenizer, by number; none for another kind."""
    decoder = data.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        return []
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's letters for bytes
    others = [byte for byte in range(256) if byte not in plain]
    bytes_of = {chr(byte): byte for byte in plain}
    bytes_of.update((chr(256 + place), byte) for place, byte in enumerate(others))
    added = {item["id"]: item["content"] for item in data.get("added_tokens") or []}
    vocabulary: Dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for text, number in vocabulary.items():
        if number in added:
            pieces[number] = str(added[number]).encode()
        elif all(letter in bytes_of for letter in text):
            pieces[number] = bytes(bytes_of[letter] for letter in text)
    return pieces


class _Settings:
    """Which tokens begin and end a text: from the JSON files beside tokenizer.json, the first that says it."""

    def __init__(self, path: Path, tokenizer: Any) -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        self._config = _read_beside(path, "tokenizer_config.json")
        self._map = _read_beside(path, "special_tokens_map.json")
        self._generation = _read_beside(path, "generation_config.json")

    def find(self, name: str) -> Optional[int]:
        """The id of the "bos", "eos", "pad" or "unk" token, None when no file names one that exists."""
        for source in (self._config, self._map):
            token = source.get(f"{name}_token")
            content = token.get("content") if isinstance(token, dict) else token
            number = self._tokenizer.token_to_id(content) if isinstance(content, str) else None
            if number is not None:
                return int(number)
        if name == "bos" and "bos_token" in self._config:
            return None  # null: Qwen, whose generation_config.json names one all the same
        number = self._generation.get(f"{name}_token_id")
        first = number[0] if isinstance(number, list) and number else number
        return first if isinstance(first, int) and self._tokenizer.id_to_token(first) is not None else None

    def ends(self) -> List[int]:
        """All ids that end a text, as generation_config.json lists them."""
        numbers = self._generation.get("eos_token_id")
        listed = numbers if isinstance(numbers, list) else [numbers]
        return [number for number in listed if isinstance(number, int)]

    def flag(self, name: str) -> Optional[bool]:
        """A yes or no of tokenizer_config.json, None when it is not there."""
        value = self._config.get(name)
        return value if isinstance(value, bool) else None


def _read_beside(path: Path, name: str) -> Dict[str, Any]:
    beside = path.with_name(name)
    return _read_json(beside) if beside.is_file() else {}


def _read_json(path: Path) -> Dict[str, Any]:
    """A JSON object; raises InvalidInputError for anything else."""
    try:
        return read_small_object(path, MAX_BYTES)
    except OSError as error:
        raise InvalidInputError(f"{path} could not be read: {error.strerror or error}.", _HINT) from error
