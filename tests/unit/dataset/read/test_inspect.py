from __future__ import annotations

import codecs
import json
import tracemalloc
from pathlib import Path

import pytest

from sft_tui.core.progress import Progress, no_progress
from sft_tui.dataset.read.alpaca import AlpacaRecord
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.inspect import inspect_data
from sft_tui.dataset.read.sources import parse_records
from sft_tui.errors import InvalidInputError

GOOD = {"instruction": "Say hello.", "input": "", "output": "Hello!"}


def read_alpaca(path, progress=no_progress):
    """The records of a file; the first that cannot be used is raised."""
    for record in parse_records(path, progress=progress):
        if isinstance(record, BadRecord):
            raise record.error()
        yield record


def message_of(path: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        list(read_alpaca(path))
    assert str(path) in caught.value.message
    assert caught.value.hint
    return str(caught.value)


def test_reads_the_golden_file(golden):
    records = list(read_alpaca(golden / "alpaca_tricky.json"))
    source = json.loads((golden / "alpaca_tricky.json").read_text(encoding="utf-8"))
    assert [record.number for record in records] == list(range(1, 31))
    assert [record.output for record in records] == [item["output"] for item in source]
    assert [record.input for record in records] == [item.get("input", "") for item in source]


def test_a_missing_or_null_input_is_none(write_json):
    path = write_json([{"instruction": "a", "output": "b"}, {"instruction": "a", "input": None, "output": ""}])
    assert list(read_alpaca(path)) == [AlpacaRecord(1, "a", "", "b"), AlpacaRecord(2, "a", "", "")]


def test_a_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(codecs.BOM_UTF8 + json.dumps([GOOD]).encode())
    assert len(list(read_alpaca(path))) == 1


def test_progress_ends_at_the_size_of_the_file(write_json):
    path = write_json([GOOD] * 5000)
    heard: list[Progress] = []
    list(read_alpaca(path, heard.append))
    assert {item.unit for item in heard} == {"bytes"}
    assert heard[-1].done == heard[-1].total == path.stat().st_size
    assert [item.done for item in heard] == sorted(item.done for item in heard)


def test_memory_does_not_grow_with_the_file(write_json):
    path = write_json([{**GOOD, "output": "word " * 200}] * 10_000)
    list(read_alpaca(write_json([GOOD], "warm_up.json")))
    tracemalloc.start()
    for _ in read_alpaca(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 10_000_000
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b" \n\t ", ["is empty"]),
        (b"instruction,output\na,b\n", ["not valid JSON", "line 1"]),
        (b'[{"instruction": "a", "output": "b"}\n {"instruction"', ["not valid JSON", "after record 1", "line 2"]),
        (b'[{"instruction": "a", "output": "b"}', ["not valid JSON", "after record 1"]),
        (b'[{"instruction": "a", "output": "b"}] trailing', ["not valid JSON", "line 1, column 39"]),
        (b'{"instruction": "a", "output": "b"}', ["one JSON object", "not a list"]),
        (b'{"instruction": "a",\n "output": "b"}', ["one JSON object", "not a list"]),
        (b'[{"instruction": "\xb0\xa1", "output": "b"}]', ["not valid UTF-8", "byte 18"]),
        (codecs.BOM_UTF16_LE + "[]".encode("utf-16-le"), ["UTF-16"]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", ["Git LFS pointer", "git lfs pull"]),
        (b'["text"]', ["record 1", "a string", "not an object"]),
        (b"[[]]", ["record 1", "a list", "not an object"]),
        (b"[null]", ["record 1", "null", "not an object"]),
        (
            b'[{"instruction": "a", "input": "b"}]',
            ["no record has a field `output`", "`instruction`, `input`", "--columns"],
        ),
        (b'[{"output": "a", "text": "b"}]', ["no record has a field `instruction`", "`output`, `text`"]),
        (b"[{}]", ["record 1", "no field `instruction`", "none"]),
        (b'[{"instruction": "a", "output": "b"}, {"id": "1", "conversations": []}]', ["record 2", "ShareGPT"]),
        (b'[{"instruction": "", "output": "b"}]', ["record 1", "`instruction` is empty"]),
        (b'[{"instruction": 1, "output": "b"}]', ["record 1", "`instruction` is a number"]),
        (b'[{"instruction": "a", "output": null}]', ["record 1", "`output` is null"]),
        (b'[{"instruction": "a", "output": true}]', ["record 1", "`output` is true"]),
        (b'[{"instruction": "a", "input": [], "output": "b"}]', ["record 1", "`input` is a list"]),
    ],
)
def test_bad_input_gets_one_clear_message(tmp_path, content, words):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    message = message_of(path)
    for word in words:
        assert word in message


def test_the_place_of_a_bad_byte_is_found_behind_many_records(tmp_path):
    path = tmp_path / "bad.json"
    good = json.dumps([{**GOOD, "output": "é" * 700_000}], ensure_ascii=False).encode()[:-1]
    path.write_bytes(good + b',\n{"instruction": "\xff"}]')
    assert f"byte {len(good) + 19}" in message_of(path)


def test_the_record_number_is_the_place_in_the_list(write_json):
    assert "record 3" in message_of(write_json([GOOD, GOOD, {"instruction": "a"}]))


def test_a_missing_file_and_a_folder(tmp_path):
    assert "does not exist" in message_of(tmp_path / "none.json")
    assert "is a folder" in message_of(tmp_path)


def test_inspection_collects_and_goes_on(write_json):
    bad = [{"instruction": "a"}, 1, "x", None, [], {"output": ""}]
    path = write_json([GOOD, *bad, {**GOOD, "input": "given"}, {**GOOD, "output": ""}])
    report = inspect_data(path)
    assert (report.count, report.with_input, report.empty_outputs, report.problem_count) == (3, 1, 1, 6)
    assert len(report.problems) == 5
    assert all(problem.field == "dataset.train_path" for problem in report.problems)
    assert "record 2" in report.problems[0].message
    assert report.size == path.stat().st_size
    assert json.loads(json.dumps(report.to_json()))["count"] == 3


def test_inspection_never_raises_for_the_file_itself(tmp_path, write_json):
    missing = inspect_data(tmp_path / "none.json", field="dataset.eval_path")
    assert (missing.count, missing.size, missing.problem_count) == (0, 0, 1)
    assert missing.problems[0].field == "dataset.eval_path"
    assert "holds no record" in inspect_data(write_json([])).problems[0].message


def test_inspection_of_a_file_that_breaks_off_counts_what_came_before(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps([GOOD, GOOD])[:-1], encoding="utf-8")
    report = inspect_data(path)
    assert report.count == 2
    assert "not valid JSON" in report.problems[0].message
