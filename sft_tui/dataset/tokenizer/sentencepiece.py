"""Encodes text with a sentencepiece model as MindFormers' LlamaTokenizer does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

from sft_tui.dataset.tokenizer.word_cache import WordCache, pack_ids, token_begins, unpack_ids, works_by_words
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_object

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
MODEL_HINT = "Give the tokenizer.model (sentencepiece) that belongs to the checkpoint."
_LLAMA_SPECIAL = re.compile(f"({re.escape(BOS)}|{re.escape(EOS)}|{re.escape(UNK)})")
_ADDED_LIKE = re.compile(r"<[^<>\s]+>|\[[A-Z_]+\]")
_MAX_ADDED = 100_000
_CONTROL_LIKE = re.compile(r"<\|.+\|>")


class SentencePieceTokenizer:
    """A Llama tokenizer: sentencepiece, and special tokens recognised where they stand in a text.

    Padding is the unknown token, as in MindFormers LlamaTokenizer. `special_tokens` are <s>, </s>, <unk>, the
    model's other control pieces, and what its maker defined in the form <|name|>.
    """

    adds_bos = True

    def __init__(
        self,
        path: Path,
        processor: SentencePieceProcessor,
        threads: int = 1,
        added: Mapping[str, int] = {},
    ) -> None:
        """`added`: tokens beyond the pieces of the model, from added_tokens.json."""
        self.path = path
        self._processor: Any = processor
        self._threads = threads
        self.vocab_size: int = self._processor.get_piece_size()
        self.unk_id: int = self._processor.unk_id()
        self.bos_id = self._special_id(BOS)
        self.eos_id = self._special_id(EOS)
        self.pad_id = self.unk_id
        self._llama_special = {text: pack_ids([self._special_id(text)]) for text in (BOS, EOS)}
        self._llama_special[UNK] = pack_ids([self.unk_id])
        self.special_tokens: Dict[str, int] = {BOS: self.bos_id, EOS: self.eos_id, UNK: self.unk_id}
        self.special_tokens.update(_further_special(self._processor))
        self.special_tokens.update(added)
        self.vocab_size = max([self.vocab_size, *(number + 1 for number in added.values())])
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._words = WordCache(processor, threads) if works_by_words(processor) else None

    def _special_id(self, piece: str) -> int:
        number: int = self._processor.piece_to_id(piece)
        if number == self.unk_id:
            raise InvalidInputError(f"{self.path} has no piece `{piece}`: not a Llama tokenizer.", MODEL_HINT)
        return number

    def encode(self, text: str) -> List[int]:
        """The ids of one text, without bos and eos of its own."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> List[List[int]]:
        """The ids of each text, without bos and eos of its own.

        <s>, </s> and <unk> written out in a text become their ids, and what stands between two of them is encoded as
        a text of its own, with a leading space of its own (the "legacy" behaviour of MindFormers LlamaTokenizer).
        """
        return [unpack_ids(packed) for packed in self._pack(texts)]

    def pack_openings(self, texts: Sequence[Tuple[str, int]]) -> List[Tuple[bytes, int]]:
        """For each text and a place in it: the text's ids as packed int32, and how many ids `text[:place]` has.

        The place must be behind one space that follows a character other than a space.
        """
        if self._words is None:
            both = iter(self._pack([part for text, place in texts for part in (text, text[:place])]))
            return [(whole, len(next(both)) // 4) for whole in both]
        # The border before that space is one between words, so that the two parts add up to the whole.
        parts: List[str] = []
        for text, place in texts:
            apart = place == len(text) or ("<" in text and _LLAMA_SPECIAL.search(text))
            parts += (text, text[:place]) if apart else ("", text[: place - 1], text[place:])
        packed = iter(self._pack(parts))
        lone_space = len(self._words.lone_space)
        found: List[Tuple[bytes, int]] = []
        for first in packed:
            head = next(packed)
            if first:
                found.append((first, len(head) // 4))
            else:
                found.append((head + next(packed), (len(head) + lone_space) // 4))
        return found

    def _pack(self, texts: Sequence[str]) -> List[bytes]:
        pieces = [
            [text] if "<" not in text else [part for part in _LLAMA_SPECIAL.split(text) if part] for text in texts
        ]
        plain = iter(self._pack_plain([p for parts in pieces for p in parts if p not in self._llama_special]))
        return [b"".join(self._llama_special.get(part) or next(plain) for part in parts) for parts in pieces]

    def _pack_plain(self, texts: List[str]) -> List[bytes]:
        if self._words is not None:
            return self._words.pack(texts)
        threads = self._threads if len(texts) > 1 else 1
        return [pack_ids(ids) for ids in self._processor.encode(texts, out_type=int, num_threads=threads)]

    def encode_with_offsets(self, texts: Sequence[str]) -> List[Tuple[List[int], List[int]]]:
        """The ids of each text, and for each id the place in the text where it begins (in characters).

        All `special_tokens` are recognised; between them as in `encode_many`.
        """
        split = [self._special.split(text) for text in texts]
        plain = iter(self._encode_plain([p for parts in split for p in parts if p and p not in self.special_tokens]))
        found: List[Tuple[List[int], List[int]]] = []
        for parts in split:
            ids: List[int] = []
            begins: List[int] = []
            at = 0
            for part in parts:
                special = self.special_tokens.get(part)
                if special is not None:
                    ids.append(special)
                    begins.append(at)
                elif part:
                    part_ids, part_begins = next(plain)
                    ids += part_ids
                    begins += [at + begin for begin in part_begins] if at else part_begins
                at += len(part)
            found.append((ids, begins))
        return found

    def _encode_plain(self, texts: List[str]) -> List[Tuple[List[int], List[int]]]:
        if self._words is not None:
            return self._words.encode_with_offsets(texts)
        encoded = self._processor.encode(texts, num_threads=self._threads if len(texts) > 1 else 1)
        return [(ids, token_begins(self._processor, text)) for ids, text in zip(encoded, texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are written out."""
        names = {number: text for text, number in self.special_tokens.items()}
        text = ""
        waiting: List[int] = []
        for number in ids:
            if number in names:
                text += self._processor.decode(waiting) + names[number]
                waiting = []
            else:
                waiting.append(int(number))
        return text + str(self._processor.decode(waiting))


def _further_special(processor: Any) -> Dict[str, int]:  # noqa: ANN401 - sentencepiece has no types
    found: Dict[str, int] = {}
    for number in range(processor.get_piece_size()):
        piece = processor.id_to_piece(number)
        if processor.is_control(number) or _CONTROL_LIKE.fullmatch(piece):
            found[piece] = number
    return found


def _added_tokens(model_file: Path, processor: Any) -> Dict[str, int]:  # noqa: ANN401
    """What added_tokens.json beside the model adds to its pieces, but for padding, which stands in no text.

    Raises InvalidInputError.
    """
    path = model_file.with_name("added_tokens.json")
    if not path.is_file() or model_file.with_name("tokenizer.json").is_file():
        return {}
    try:
        data = read_small_object(path)
    except OSError as error:
        raise InvalidInputError(f"{path} could not be read: {error}.", "Download it again.") from error
    pieces = processor.get_piece_size()
    added: Dict[str, int] = {}
    for text, number in data.items():
        if type(number) is not int or not 0 <= number < pieces + _MAX_ADDED:
            raise InvalidInputError(f"{path} gives {text[:40]!r} the id {str(number)[:40]}.", "Download it again.")
        # words that were added are spelled by pieces, as MindFormers does
        if number >= pieces and _ADDED_LIKE.fullmatch(text) and "pad" not in text.lower():
            added[text] = number
    return added


def load_sentencepiece(model_file: Path, threads: int) -> SentencePieceTokenizer:
    """Load a sentencepiece model with Llama's special tokens; raises InvalidInputError for another file."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(model_file))
        return SentencePieceTokenizer(model_file, processor, threads, _added_tokens(model_file, processor))
    except ValueError as error:  # pieces that are not UTF-8
        raise InvalidInputError(f"{model_file} is a damaged sentencepiece model.", MODEL_HINT) from error
    except (RuntimeError, OSError) as error:
        raise InvalidInputError(f"{model_file} is not a sentencepiece model.", MODEL_HINT) from error
