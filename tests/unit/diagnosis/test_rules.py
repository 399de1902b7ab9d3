"""What messages mean, one by one, as they stand in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_tui.diagnosis.read_logs import read_logs
from sft_tui.diagnosis.verdict import Verdict, diagnose

ROWS = (Path(__file__).parents[2] / "data" / "failure_words" / "words.tsv").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.replace("\t", " ")[:60])
def test_a_message(tmp_path, row):
    category, message = row.split("\t", 1)
    log = tmp_path / "train.log"
    log.write_text("".join(f"{line}\n" for line in message.split("\\n")), encoding="utf-8")
    verdict = diagnose(read_logs(log).logs)
    if category == "-":
        assert verdict == Verdict()
    else:
        assert verdict.category == category


def test_a_code_inside_a_number_means_nothing(tmp_path):
    (tmp_path / "train.log").write_text("step 1 id 518feb0000e13378 failed 0 f36e40021c15b15d\nei00065\n")
    assert not diagnose(read_logs(tmp_path).logs).failed


def test_source_shown_in_a_traceback_is_no_message(tmp_path):
    (tmp_path / "train.log").write_text(
        'Traceback (most recent call last):\n  File "a.py", line 3, in f\n'
        '    raise ValueError("No space left on device, or Permission denied")\nKeyError: 3\n'
    )
    verdict = diagnose(read_logs(tmp_path).logs)
    assert (verdict.category, verdict.sure, verdict.line) == ("config_other", False, 4)


def test_advice_below_a_message_is_no_message(tmp_path):
    (tmp_path / "train.log").write_text(
        "EI0006: Getting socket times out.\n        Possible Cause: Out of memory, error cqe\n"
        "        Solution: 1. Check whether the port is already in use: Permission denied\n"
    )
    assert diagnose(read_logs(tmp_path).logs).category == "hccl_timeout"
