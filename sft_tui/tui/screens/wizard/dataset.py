"""Dataset: data files, held-out data, template and sequence length; how long the records are, and one of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from sft_tui.core.terminal_text import short_size
from sft_tui.dataset.encode.packing import MASK_NOTE
from sft_tui.dataset.read.remarks import remark_lines
from sft_tui.tui.screens.wizard.form import FormScreen
from sft_tui.tui.screens.wizard.plain_text import OF_RECORDS, OF_TEXT, is_plain, text_lines
from sft_tui.tui.session import Session

_BAR_WIDTH = 22


class DatasetScreen(FormScreen):
    """The data to learn from."""

    STEP = "dataset"
    ABOUT = "Records or plain text become MindRecord. ctrl+t prepares the data now, ctrl+g shows a record."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+g", "record", "Record")]

    def pointless_fields(self, session: Session) -> frozenset[str]:
        """Plain text has no records, and they are not cleaned.

        A model that is loaded directly has the chat template of its own folder; for others nothing is packed.
        """
        if is_plain(session):
            return OF_RECORDS
        facts = session.findings.facts if session.findings else None
        if facts is None:
            return OF_TEXT
        return OF_TEXT | {"template" if facts.direct else "pack"}

    def found_lines(self, session: Session) -> list[str]:
        """Records, what is wrong with them, and what a row will hold."""
        assert session.findings is not None
        findings = session.findings
        if is_plain(session):
            return text_lines(session)
        lines = ["Found"]
        for name, report in (("training", findings.train), ("held out", findings.evaluation)):
            if report is not None:
                lines.append(f"{name:9} {report.path}: {report.count} records, {short_size(report.size)}")
                lines.append(f"          {report.description}")
                if report.empty_outputs:
                    lines.append(f"          {report.empty_outputs} have an empty output: nothing is learned from them")
                lines += [f"          {line}" for line in remark_lines(report.remarks)]
                lines += [f"! {p.message} {p.hint}" for p in report.problems]
        facts = findings.facts
        if facts is not None:
            lines.append(f"train on {facts.train_records} records, hold out {facts.eval_records}")
            assert session.readable is not None
            length = session.readable.dataset.seq_length
            lines.append(
                f"rows of {length} tokens, each labelled with the one behind it"
                if facts.direct
                else f"rows of {length + 1} tokens for training, of {length} for evaluation (MindFormers' rule)"
            )
            if facts.packed_rows:
                lines.append(f"packed into about {facts.packed_rows} rows to train on. {MASK_NOTE}")
        return lines + self._length_lines(session)

    def _length_lines(self, session: Session) -> list[str]:
        assert session.findings is not None
        findings = session.findings
        # an audit is of the last run: it counts while nothing has changed since
        audit = findings.audit if "preprocess-train" in session.current_steps else None
        report = audit or findings.sample
        if report is None:
            return []
        from sft_tui.dataset.audit.text import histogram_lines, suggestion_lines

        which = f"all {report.rows} records" if audit else f"the first {report.rows} records"
        lines = ["", f"Lengths of {which}: {report.cut} cut, {report.masked} teach nothing"]
        lines += histogram_lines(report, _BAR_WIDTH) + suggestion_lines(report)
        if report.end is not None:
            lines.append(f"answers end with {report.end.token}, which is learned")
        if report.duplicates:
            lines.append(f"{report.duplicates} say what one before them says")
        return lines

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A record can be shown once there are data and a tokenizer."""
        if action == "record":
            findings = self.session.findings
            return self.is_active and findings is not None and (findings.sample or findings.text) is not None
        return super().check_action(action, parameters)

    def action_record(self) -> None:
        """Show the first record as the model sees it."""
        from sft_tui.tui.screens.dialogs.record import RecordLoader, RecordScreen, open_passages, open_records

        session = self.session
        if session.findings is None or session.findings.facts is None or session.findings.train is None:
            return
        from sft_tui.dataset.read.sources import parse_columns
        from sft_tui.launch.plan.steps import prompt_template

        assert session.readable is not None  # there would be no facts
        data, path = session.readable.dataset, Path(session.readable.dataset.train_path)
        template = prompt_template(session.readable, session.findings.facts.route)
        opens = open_records(path, data.seq_length, template, tuple(parse_columns(data.columns).items()))
        if session.findings.text:
            opens = open_passages(path, data.seq_length, session.findings.text.reading)
        load = RecordLoader(Path(session.findings.facts.tokenizer_model), opens)
        self.app.push_screen(RecordScreen(load))
