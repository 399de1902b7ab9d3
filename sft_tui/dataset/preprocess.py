"""Turns conversations or plain text into a MindRecord, audited, with all cores."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Tuple

from sft_tui.core.progress import Progress, ProgressCallback, no_progress
from sft_tui.dataset.audit.limits import check_limits, cut_warning
from sft_tui.dataset.audit.report import AuditReport, Tally
from sft_tui.dataset.audit.text_sample import too_short
from sft_tui.dataset.encode.packing import Packer
from sft_tui.dataset.encode.pad_rows import packed_rows, padded_rows, shifted_rows, split_records
from sft_tui.dataset.encode.pipeline import EncodedBatch, Encoding, Pipeline
from sft_tui.dataset.encode.plain_text import cut_rows, encode_pieces, text_row
from sft_tui.dataset.mindrecord.file import RowWriter, choose_page_size, import_mindrecord
from sft_tui.dataset.mindrecord.manifest import (
    DataManifest,
    Work,
    describe_work,
    is_whole,
    load_audit,
    load_manifest,
    load_same,
    save_audit,
    save_manifest,
)
from sft_tui.dataset.mindrecord.publish import output_names, publish, stamp_outputs
from sft_tui.dataset.mindrecord.request import (
    SHIFTED,
    Request,
    check_request,
    check_space,
    check_tokenizer,
    count_row_bytes,
)
from sft_tui.dataset.read.held_out import HeldOut, count_held_out
from sft_tui.dataset.read.rejects import Rejects
from sft_tui.dataset.read.remarks import check_unread
from sft_tui.dataset.text.passages import LeftOut, Piece, Share, choose, count_passages, read_pieces
from sft_tui.dataset.text.text_file import find_text_file
from sft_tui.dataset.tokenizer.load import Tokenizer, load_tokenizer
from sft_tui.errors import InvalidInputError
from sft_tui.files.made import FORCE_HINT
from sft_tui.files.whole_file import check_output_path, check_replaceable
from sft_tui.files.whole_folder import PartialFolder

if TYPE_CHECKING:
    from sft_tui.dataset.encode.pad_rows import Row

_WIKI_ROWS = 128
_FEW_PASSAGES = "Name a file for evaluation, or part the text by blank lines."
_BYTES_OF_A_TOKEN = 3  # of text, about


@dataclass(frozen=True)
class PreprocessResult:
    """What is in one MindRecord. `files` are its files, one per partition.

    `skipped`: it was there already, made from the same files. `warning` is a sentence or "". `remarks` are the audit's.
    """

    files: Tuple[Path, ...]
    manifest: DataManifest
    seconds: float
    skipped: bool
    warning: str = ""
    remarks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_json(self) -> Dict[str, object]:
        """The result as a JSON object."""
        counts = asdict(self.manifest)
        work, files = counts.pop("work"), counts.pop("files")
        return {
            **counts,
            "purpose": work["purpose"],
            "labels": work["labels"],
            "packed": work["pack"],
            "files": [str(path) for path in self.files],
            "bytes": sum(file["size"] for file in files),
            "seconds": self.seconds,
            "skipped": self.skipped,
            "warning": self.warning,
            "remarks": self.remarks,
        }


def preprocess(request: Request, *, reuse: bool = True, progress: ProgressCallback = no_progress) -> PreprocessResult:
    """Tokenize records ("qa") or plain text ("wiki") into a MindRecord.

    Columns: `Request.written_columns`, int32 [-1] (MindFormers' own scripts). `reuse`: when the same
    work is done already, nothing is done; without it files that we did not make are replaced. `progress` hears of
    records. An output from before is kept until the new one is whole. Raises InvalidInputError for bad input, and when
    too much of it teaches nothing; EnvironmentNotFitError when MindSpore is missing, or the output cannot be written.
    """
    started = time.monotonic()
    check_request(request)
    work, output = describe_work(request), request.output_file
    found = load_same(output, work) if reuse else None
    if found is not None:
        return _result(found, output, started, load_audit(output))
    by_records = not request.is_text
    tokenizer = load_tokenizer(request.model_file, threads=1 if by_records else 0)
    check_tokenizer(request, tokenizer)
    check_output_path(output)
    _check_outputs(request, force=not reuse)
    if request.is_text:
        for stamp in work.inputs:
            find_text_file(Path(stamp.path))
    with ExitStack() as stack:
        rejects = stack.enter_context(Rejects(output, request.on_error, request.max_rejected, force=not reuse))
        # before MindSpore is imported: the processes of the pipeline start without it, and work while it loads
        encoding = _encoding(request, work)
        pipeline = stack.enter_context(Pipeline(encoding, tokenizer=tokenizer)) if by_records else None
        import_mindrecord()
        made = _Output(request, stack.enter_context(PartialFolder(output)), work)
        run = _Run(request, tokenizer, made, rejects, progress)
        if pipeline is not None:
            run.write_records(pipeline)
        else:
            run.write_text()
        report = made.finish()
        rejects.check(report.rows + rejects.count)
        check_limits(report, request.limits)
        made.writer.commit()
        return made.publish(report, started)


def _check_outputs(request: Request, *, force: bool) -> None:
    """Raise InvalidInputError for what is no file, and without `force` for files that are not as we made them."""
    output = request.output_file
    paths = [output.with_name(name) for name in output_names(output.name, request.file_partition)]
    for path in (*paths, *(path.with_name(f"{path.name}.db") for path in paths)):
        check_replaceable(path)
    there = next((path for path in paths if path.exists()), None)
    manifest = load_manifest(output)
    if there is not None and not force and (manifest is None or not is_whole(output, manifest)):
        raise InvalidInputError(f"{there} exists, and sft-tui did not make it as it is.", FORCE_HINT)


def _encoding(request: Request, work: Work) -> Encoding:
    return Encoding(
        inputs=tuple(stamp.path for stamp in work.inputs),
        model_file=str(request.model_file),
        template=request.template,
        length=request.used_tokens,
        columns=request.columns,
    )


class _Output:
    """The MindRecord on its way."""

    def __init__(self, request: Request, folder: PartialFolder, work: Work) -> None:
        self.folder, self.work = folder, work
        self.tally = Tally(request.row_length)
        self.rows = 0
        self.passages = 0
        self.left_out: LeftOut = Counter()
        self._packer = Packer(self.tally.row_length)
        self._request = request
        self._writer: Optional[RowWriter] = None

    def open(self, rows: float, vocab_size: int) -> None:
        """See that there is room for about so many rows, and get ready for them."""
        request, name, length = self._request, self.folder.path / self._request.output_file.name, self.tally.row_length
        check_space(request.output_file, rows, length, vocab_size, request.file_partition)
        page = choose_page_size(rows / request.file_partition, count_row_bytes(length, vocab_size))
        self._writer = RowWriter(name, request.file_partition, request.written_columns, request.dataset_type, page)

    @property
    def writer(self) -> RowWriter:
        """Only after `open`."""
        assert self._writer is not None
        return self._writer

    def add(self, batch: EncodedBatch, pad_id: int) -> None:
        """Count and write the records of a batch."""
        self.tally.add_batch(batch)
        if self._request.pack:
            for ids, labels in split_records(batch):
                self._write(packed_rows(self._packer.add(ids, labels), self.tally.row_length, pad_id))
            return
        rows = padded_rows(batch, self._request.used_tokens, pad_id)
        self._write(shifted_rows(rows) if self._request.labels == SHIFTED else rows)

    def add_last(self, pad_id: int) -> None:
        """Write the rows that still waited for records."""
        self._write(packed_rows(self._packer.finish(), self.tally.row_length, pad_id))

    def _write(self, rows: List[Row]) -> None:
        if rows:
            self.rows += len(rows)
            self.writer.write(rows)

    def finish(self) -> AuditReport:
        """The audit of what was written. Raises InvalidInputError when that is nothing."""
        request = self._request
        kind = "wiki" if request.is_text else "conversations"
        if not self.tally.rows:
            raise _no_rows(self.work, self.tally.row_length, self.left_out)
        for name, count in self.left_out.items():
            self.tally.remarks.merge({("left_out", name): count})
        report = self.tally.report(self.work.inputs[0].path, kind, request.seq_length)
        if not request.pack:
            return report
        return replace(report, pad_share=1.0 - self.tally.used / (self.rows * self.tally.row_length))

    def publish(self, report: AuditReport, started: float) -> PreprocessResult:
        """Put the files in their place, with a manifest."""
        request, output = self._request, self._request.output_file
        publish(self.folder, output, request.file_partition)
        manifest = DataManifest(
            work=self.work,
            rows=self.rows or report.rows,
            records=self.passages if request.is_text else report.rows,
            cut=report.cut or 0,
            masked=report.masked,
            pad_share=report.pad_share,
            tokens=report.tokens,
            trained_tokens=report.trained_tokens,
            rejected=report.rejected,
            row_length=report.row_length,
            files=stamp_outputs(output, request.file_partition),
        )
        save_audit(output, report)
        save_manifest(output, manifest)
        warning = cut_warning(report, request.limits) or ""
        return replace(_result(manifest, output, started, report), warning=warning, skipped=False)


class _Run:
    """Hands the rows to the output, and tells how far it is."""

    def __init__(
        self, request: Request, tokenizer: Tokenizer, output: _Output, rejects: Rejects, progress: ProgressCallback
    ) -> None:
        self._request, self._tokenizer, self._output = request, tokenizer, output
        self._rejects, self._progress = rejects, progress
        self._taken = 0  # bytes of text

    def write_records(self, pipeline: Pipeline) -> None:
        """Write what comes out of the pipeline."""
        output = self._output
        for number, batch in enumerate(pipeline):
            for bad in batch.bad:
                self._rejects.take(bad)
            check_unread(batch.remarks, self._request.on_unread, batch.source)
            output.tally.rejected += len(batch.bad)
            expected = (len(batch) + len(batch.bad)) * batch.bytes_total / max(1, batch.bytes_read)
            if number == 0:
                output.open(expected, self._tokenizer.vocab_size)
            output.add(batch, self._tokenizer.pad_id)
            done = output.tally.rows + self._rejects.count
            total = done * batch.bytes_total / max(1, batch.bytes_read)
            self._tell(done, max(done, round(total)))
        output.add_last(self._tokenizer.pad_id)
        self._tell(output.tally.rows + self._rejects.count)

    def write_text(self) -> None:
        """Write rows of plain text: every token is learned."""
        request, output, work = self._request, self._output, self._output.work
        length, shifted = output.tally.row_length, request.labels == SHIFTED
        size = sum(stamp.size for stamp in work.inputs)
        output.open(size / _BYTES_OF_A_TOKEN / length, self._tokenizer.vocab_size)
        rows: List[Row] = []

        def flush() -> None:
            output.writer.write(rows)
            rows.clear()
            done = output.tally.rows
            self._tell(done, max(done, round(done * size / max(1, self._taken))))

        for stamp in work.inputs:
            encoded = encode_pieces(self._pieces(Path(stamp.path)), self._tokenizer, request.text)
            for ids in cut_rows(encoded, length, output.left_out, shifted=shifted, keep_all=request.text.keep_all):
                row = text_row(ids, length, self._tokenizer.pad_id, shifted=shifted)
                output.tally.add_row(min(len(ids), length), len(ids) - shifted, int(ids.max()))
                rows.append({name: row[name] for name in request.written_columns})
                if len(rows) == _WIKI_ROWS:
                    flush()
        if rows:
            flush()
        self._tell(output.tally.rows)

    def _pieces(self, path: Path) -> Iterator[Piece]:
        """The passages of a file that are asked for, counted."""
        request = self._request
        share = Share()
        if request.eval_fraction:
            total = count_passages(path, request.text)
            held_out = count_held_out(total, request.eval_fraction)
            if not held_out:
                raise InvalidInputError(f"{path} has {total} passage(s): too few to hold some out.", _FEW_PASSAGES)
            share = Share(HeldOut(total, held_out), request.purpose == "eval")
        for piece in choose(self._taking(read_pieces(path, request.text, self._output.left_out)), share):
            self._output.passages += piece.begins
            yield piece

    def _taking(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self._taken += len(piece.text.encode())
            yield piece

    def _tell(self, done: int, total: Optional[int] = None) -> None:
        tally = self._output.tally
        counts = [f"{tally.cut} cut"] * bool(tally.cut) + [f"{tally.masked} teach nothing"] * bool(tally.masked)
        counts += [f"{self._rejects.count} rejected"] * bool(self._rejects.count)
        unit = "rows" if self._request.is_text else "records"
        self._progress(Progress(done, done if total is None else total, unit, ", ".join(counts)))


def _no_rows(work: Work, length: int, left_out: LeftOut) -> InvalidInputError:
    first = work.inputs[0].path
    if work.dataset_type == "wiki":
        return InvalidInputError(*too_short(first, length, left_out))
    return InvalidInputError(f"{first} holds no record.", "Give a file with at least one.")


def _result(
    manifest: DataManifest, output_file: Path, started: float, report: Optional[AuditReport]
) -> PreprocessResult:
    names = output_names(output_file.name, manifest.work.file_partition)
    files = tuple(output_file.with_name(name) for name in names)
    seconds = time.monotonic() - started
    return PreprocessResult(files, manifest, seconds, skipped=True, remarks=report.remarks if report else {})
