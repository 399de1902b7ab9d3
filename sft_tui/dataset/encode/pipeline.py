"""Reads and encodes records in processes of their own, so that reading, encoding and writing overlap on all cores.

    reader ──> encoder 1 ──┐
       └─────> encoder 2 ──┴──> who asked (writes, or counts)

The reader deals out batches in turn and the results are taken in the same turn, so rows keep the order of the file. A
pipe holds little: who is ahead waits, and memory stays flat. A process that dies closes its pipes, and the others end.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from sft_tui.core.progress import Progress
from sft_tui.dataset.encode.encoded_row import REASONS, EncodedRow
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.remarks import Remark, RemarkCounts
from sft_tui.dataset.read.sources import read_records
from sft_tui.dataset.tokenizer.load import Tokenizer, load_tokenizer
from sft_tui.errors import SftError, StoppedError

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext
    from multiprocessing.process import BaseProcess

    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Records = List[Union[Conversation, BadRecord]]

BATCH = 128
_MAX_ENCODERS = 8
_SET_PIPE_SIZE, _PIPE_BYTES = 1031, 2**20  # Linux's F_SETPIPE_SZ, which Python knows since 3.10
REASON_NAMES = ("", *REASONS)


@dataclass(frozen=True)
class Encoding:
    """What is read, and how it becomes rows of at most `length` tokens.

    `columns`: pairs of our field and that of the file. `counts_alone`: the rows themselves are not kept.
    """

    inputs: Tuple[str, ...]
    model_file: str
    template: str
    length: int
    columns: Tuple[Tuple[str, str], ...] = ()
    counts_alone: bool = False


@dataclass(frozen=True)
class EncodedBatch:
    """Encoded samples of one file, in order.

    Arrays of shape (samples,): `numbers` of the records, `lengths` in tokens as kept, `tokens` before truncation,
    `trained` (trainable tokens), all int32; `reasons`: uint8, index into REASON_NAMES; `fingerprints`: uint64, of what
    the records say; `left_out`: bool, a first turn that the template has no place for was dropped.
    `input_ids` and `labels`: int32, (sum of lengths,), the samples one after the other without padding; labels are not
    shifted, -100 where nothing is learned. Both are empty when counts alone were asked for; `largest_id` is known
    anyway, -1 without tokens. `ids`: names of samples that are truncated or fully masked, by their place. `bad`:
    records that could not be encoded. `remarks`: of how many records something is to be said. `bytes_read`: of all
    files so far, out of `bytes_total`.
    """

    source: str
    numbers: Ints
    lengths: Ints
    tokens: Ints
    trained: Ints
    reasons: npt.NDArray[np.uint8]
    fingerprints: npt.NDArray[np.uint64]
    left_out: npt.NDArray[np.bool_]
    input_ids: Ints
    labels: Ints
    largest_id: int
    ids: Dict[int, str]
    bad: Tuple[BadRecord, ...]
    bytes_read: int
    bytes_total: int
    remarks: Dict[Remark, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def cut(self) -> npt.NDArray[np.bool_]:
        """Which samples were truncated: bool, (samples,)."""
        return self.tokens > self.lengths


@dataclass(frozen=True)
class _Read:
    """A batch on its way to an encoder."""

    source: str
    records: Records
    bytes_read: int
    bytes_total: int


# What travels to who asked: rows, an error that a person can read, the text of one that nobody foresaw, or the end.
_Result = Union[EncodedBatch, SftError, str, None]


_ENDED_BY = (signal.SIGTERM, signal.SIGHUP)


def count_encoders(*, writing: bool = True) -> int:
    """How many processes encode: one for each core, but for the one that writing keeps busy."""
    return max(1, min(_MAX_ENCODERS, len(os.sched_getaffinity(0)) - writing))


class Pipeline:
    """Yields the rows of all inputs, in order; the processes start at once, and end with the `with` block.

    Raises InvalidInputError for a file or a tokenizer that cannot be read; what is wrong with one record is in `bad`.

    They are forked, not spawned: run as a folder, sft_tui is importable in this process only. That is safe as long as
    it comes before MindSpore and its threads.
    """

    def __init__(self, task: Encoding, encoders: Optional[int] = None, tokenizer: Optional[Tokenizer] = None) -> None:
        """`tokenizer`: that of `model_file`, for one thread; loaded once, which may take seconds, and used by all."""
        encoders = encoders or count_encoders()
        # the cores are for the processes
        tokenizer = tokenizer or load_tokenizer(Path(task.model_file), threads=1)
        fork = multiprocessing.get_context("fork")
        inward = [fork.Pipe(duplex=False) for _ in range(encoders)]
        outward = [fork.Pipe(duplex=False) for _ in range(encoders)]
        self._ends = [end for pipe in (*inward, *outward) for end in pipe]
        _widen(self._ends)
        self._results = [receive for receive, _ in outward]
        self._processes: List[BaseProcess] = []
        to_encoders = [send for _, send in inward]
        self._start(fork, to_encoders, to_encoders, lambda: _read_all(task, to_encoders))
        for (receive, _), (_, send) in zip(inward, outward):
            self._start(fork, [receive, send], [send], partial(_encode_all, task, tokenizer, receive, send))
        for end in self._ends:
            if end not in self._results:
                end.close()

    def _start(
        self, fork: ForkContext, used: List[Connection], heard: List[Connection], work: Callable[[], None]
    ) -> None:
        others = [end for end in self._ends if end not in used]
        process = fork.Process(target=_run, args=(work, others, heard), daemon=True)
        # Ctrl-C reaches the whole group of a terminal: it is for this process to end the others. What ends one of them
        # waits until its own handlers are in place of those it was forked with
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_ENDED_BY})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._processes.append(process)

    def __iter__(self) -> Iterator[EncodedBatch]:
        turn = 0
        while True:
            result = self._receive(turn % len(self._results))
            if result is None:
                return
            if isinstance(result, SftError):
                raise result
            if isinstance(result, str):
                raise RuntimeError(f"In a process of the pipeline:\n{result}")
            yield result
            turn += 1

    def _receive(self, encoder: int) -> _Result:
        try:
            result: _Result = self._results[encoder].recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        return result

    def _death(self) -> SftError:
        """Why there is nothing more to receive: the first of our processes that did not end well."""
        for process in self._processes:
            process.join(1.0)
        codes = [process.exitcode for process in self._processes]
        if -signal.SIGTERM in codes or -signal.SIGINT in codes:
            return StoppedError("Stopped.")
        if -signal.SIGKILL in codes:
            return SftError(
                "A process that encodes records was killed.",
                "Most likely memory ran out: the kernel's log tells. Free some memory and run this again.",
            )
        return SftError(f"A process that encodes records ended by itself (exit codes {codes}).", "Run this again.")

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
            process.close()
        for receive in self._results:
            receive.close()


def _widen(ends: Sequence[Connection]) -> None:
    """Let pipes hold a few batches: results are taken in turn, and who is done early would wait for who is not."""
    for end in ends:
        with contextlib.suppress(OSError):  # a user may have so much in pipes, and no more
            fcntl.fcntl(end.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)


def _run(work: Callable[[], None], others: Sequence[Connection], heard: Sequence[Connection]) -> None:
    """The life of a process: only its own pipes stay open, and an error is told to those who hear it."""
    for number in _ENDED_BY:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDED_BY)
    for end in others:
        end.close()
    with contextlib.suppress(BrokenPipeError, EOFError):  # who heard, or spoke, has gone
        try:
            work()
        except (BrokenPipeError, EOFError):
            raise
        except SftError as error:
            _tell(heard, error)
        except Exception:  # noqa: BLE001 - the edge of a process: who asked raises it again
            _tell(heard, traceback.format_exc())


def _tell(heard: Sequence[Connection], message: object) -> None:
    for send in heard:
        send.send(message)


def _read_all(task: Encoding, encoders: Sequence[Connection]) -> None:
    """Deal out the records of all inputs, and an end to every encoder."""
    sizes = [Path(name).stat().st_size for name in task.inputs]
    turn = 0
    for index, name in enumerate(task.inputs):
        before, within = sum(sizes[:index]), [0]

        def note(progress: Progress, within: List[int] = within) -> None:
            within[0] = progress.done

        records = read_records(Path(name), dict(task.columns), note)
        while True:
            batch = list(islice(records, BATCH))
            if not batch:
                break
            encoders[turn % len(encoders)].send(_Read(name, batch, before + within[0], sum(sizes)))
            turn += 1
    _tell(encoders, None)


def _encode_all(task: Encoding, tokenizer: Tokenizer, receive: Connection, send: Connection) -> None:
    """Encode what comes, until an end or an error comes."""
    encoder = Encoder(tokenizer, task.template, task.length)
    while True:
        read = _hear(receive)
        send.send(_encode_read(task, read, encoder) if isinstance(read, _Read) else read)
        if not isinstance(read, _Read):
            return


def encode_few(task: Encoding, tokenizer: Tokenizer, source: str, records: Records) -> EncodedBatch:
    """Encode some records here and now, without processes. Raises InvalidInputError."""
    return _encode_read(task, _Read(source, records, 0, 0), Encoder(tokenizer, task.template, task.length))


def _hear(receive: Connection) -> object:
    try:
        return receive.recv()
    except OSError as error:  # it ended in the middle of a message
        raise EOFError from error


def _encode_read(task: Encoding, read: _Read, encoder: Encoder) -> EncodedBatch:
    conversations = [record for record in read.records if isinstance(record, Conversation)]
    encoded = encoder.encode(conversations, read.source)
    bad = [record for record in read.records if isinstance(record, BadRecord)]
    bad += [row for row in encoded if isinstance(row, BadRecord)]
    kept: List[Tuple[EncodedRow, int]] = []
    remarks = RemarkCounts()
    for row, conversation in zip(encoded, conversations):
        if isinstance(row, EncodedRow):
            kept.append((row, _fingerprint(conversation)))
            remarks.add((*conversation.remarks, *row.remarks))
    packed = _pack(task, read, kept, tuple(sorted(bad, key=lambda record: record.number)))
    return replace(packed, remarks=dict(remarks.counts)) if remarks.counts else packed


def _fingerprint(conversation: Conversation) -> int:
    """A number of 64 bits that depends on what a conversation says."""
    text = "\0".join(part for turn in conversation.turns for part in (turn.speaker, turn.text))
    if not conversation.is_plain:
        text += "\0" + repr((conversation.tools, [turn.given for turn in conversation.turns]))
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _pack(task: Encoding, read: _Read, kept: List[Tuple[EncodedRow, int]], bad: Tuple[BadRecord, ...]) -> EncodedBatch:
    import numpy as np

    rows = [row for row, _ in kept]
    none = np.zeros(0, dtype=np.int32)
    sent = [] if task.counts_alone else rows
    return EncodedBatch(
        source=read.source,
        numbers=np.array([row.number for row in rows], dtype=np.int32),
        lengths=np.array([len(row.input_ids) for row in rows], dtype=np.int32),
        tokens=np.array([row.tokens for row in rows], dtype=np.int32),
        trained=np.array([row.trained_tokens for row in rows], dtype=np.int32),
        reasons=np.array([REASON_NAMES.index(row.masked_reason) for row in rows], dtype=np.uint8),
        fingerprints=np.array([says for _, says in kept], dtype=np.uint64),
        left_out=np.array([row.left_out for row in rows], dtype=np.bool_),
        input_ids=np.concatenate([none, *(row.input_ids for row in sent)]),
        labels=np.concatenate([none, *(row.labels for row in sent)]),
        largest_id=max((int(row.input_ids.max()) for row in rows if len(row.input_ids)), default=-1),
        ids={place: row.id for place, row in enumerate(rows) if row.cut or row.masked_reason},
        bad=bad,
        bytes_read=read.bytes_read,
        bytes_total=read.bytes_total,
    )
