from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sft_tui.dataset.audit.limits import Limits
from sft_tui.dataset.mindrecord.file import choose_page_size
from sft_tui.dataset.mindrecord.request import Request, check_space
from sft_tui.dataset.preprocess import preprocess
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
ANY = Limits(max_masked=1.0)


@pytest.fixture
def request_(golden: Path, model_file: Path, tmp_path: Path) -> Request:
    return Request(
        str(golden / "alpaca_tricky_conversation.json"),
        model_file,
        tmp_path / "new" / "out.mindrecord",
        seq_length=256,
        limits=ANY,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_type": "wikipedia"}, "`wikipedia` is unknown"),
        ({"purpose": "test"}, "`test` is unknown"),
        ({"seq_length": 0}, "seq_length is 0"),
        ({"file_partition": 0}, "file_partition is 0"),
        ({"file_partition": 1001}, "file_partition is 1001"),
        ({"template": "vicunna"}, "no template `vicunna`"),
        ({"output_file": Path("a:b.mindrecord")}, "file name 'a:b.mindrecord'"),
        ({"limits": Limits(max_masked=2.0)}, "max_masked is 2.0"),
        ({"input_glob": "/nowhere/*.json"}, "No file matches"),
        ({"model_file": Path("/nowhere/tokenizer.model")}, "/nowhere/tokenizer.model"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_anything_is_made(request_, change, words):
    with pytest.raises(InvalidInputError) as caught:
        preprocess(replace(request_, **change))
    assert words in caught.value.message
    assert caught.value.hint
    assert not request_.output_file.parent.exists()


def test_an_output_that_cannot_be_written_is_told_at_once(request_, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotFitError, match="could not be written"):
        preprocess(replace(request_, output_file=tmp_path / "file" / "out.mindrecord"))
    with pytest.raises(InvalidInputError, match="is a folder"):
        preprocess(replace(request_, output_file=tmp_path))


def test_a_disk_that_is_too_small_is_told_with_numbers(tmp_path):
    check_space(tmp_path / "out.mindrecord", 30, 257, 1024, 1)
    with pytest.raises(EnvironmentNotFitError, match=r"free; .* needs about .* TB"):
        check_space(tmp_path / "out.mindrecord", 10**12, 257, 1024, 1)


def as_code(request: Request) -> str:
    return repr(request).replace("PosixPath", "Path")


def test_without_mindspore_the_interpreter_is_named(request_):
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from pathlib import Path\nfrom sft_tui.dataset.preprocess import preprocess\n"
        "from sft_tui.dataset.mindrecord.request import Request\nfrom sft_tui.dataset.audit.limits import Limits\n"
        "from sft_tui.dataset.text.passages import TextReading\n"
        "from sft_tui.errors import EnvironmentNotFitError\n"
        f"try:\n    preprocess({as_code(request_)})\nexcept EnvironmentNotFitError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert sys.executable in done.stdout, done.stderr
    assert "pip install" in done.stdout
    assert list(request_.output_file.parent.iterdir()) == []


def run_real(code: str, request: Request, *more: str) -> Any:
    """Run code with MindSpore in an interpreter of its own; what it assigns to `answer` comes back through JSON."""
    pytest.importorskip("mindspore")
    script = (
        "import json, sys\nfrom pathlib import Path\n"
        "from dataclasses import replace\nfrom sft_tui.dataset.mindrecord.file import read_rows\n"
        "from sft_tui.dataset.preprocess import preprocess\nfrom sft_tui.dataset.mindrecord.request import Request\n"
        "from sft_tui.dataset.audit.limits import Limits\nfrom sft_tui.dataset.text.passages import TextReading\n"
        "from sft_tui.dataset.run_audit import audit\nfrom sft_tui.errors import SftError\n"
        f"request = {as_code(request)}\nout = request.output_file\n"
        + code
        + "\nprint('ANSWER' + json.dumps(answer, default=str))"
    )
    done = subprocess.run([sys.executable, "-c", script, *more], capture_output=True, text=True, timeout=300)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stderr
    return json.loads(lines[-1][len("ANSWER") :])


@pytest.mark.real
@pytest.mark.parametrize("partitions", [1, 3])
def test_mindspore_reads_the_rows_of_the_reference(request_, golden, partitions):
    answer = run_real(
        "import mindspore.dataset as ds\nheard = []\n"
        "result = preprocess(request, progress=lambda item: heard.append((item.done, item.total, item.unit)))\n"
        "dataset = ds.MindDataset([str(path) for path in result.files], shuffle=False)\n"
        "rows = [[item['input_ids'].tolist(), item['labels'].tolist(), str(item['labels'].dtype)] "
        "for item in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)]\n"
        "answer = {'result': result.to_json(), 'rows': rows, 'heard': heard, 'audit': audit(out, "
        "request.model_file, 256).to_json(), 'again': preprocess(request).to_json()}",
        replace(request_, file_partition=partitions),
    )
    reference = np.load(golden / "llama_qa_reference.npz")
    expected = sorted(zip(reference["input_ids_256"].tolist(), reference["labels_256"].tolist()))
    assert sorted((row[0], row[1]) for row in answer["rows"]) == expected
    assert {row[2] for row in answer["rows"]} == {"int32"}
    result = answer["result"]
    assert (result["rows"], result["cut"], result["masked"], result["skipped"]) == (30, 2, 6, False)
    assert (result["row_length"], result["purpose"], result["rejected"]) == (257, "train", 0)
    assert result["trained_tokens"] == int((reference["labels_256"] != -100).sum())
    assert 0.0 < result["pad_share"] < 1.0
    assert len(result["files"]) == partitions
    assert answer["heard"][-1] == [30, 30, "records"]
    assert answer["again"] == {**result, "skipped": True, "seconds": answer["again"]["seconds"]}
    audited = answer["audit"]
    assert (audited["kind"], audited["rows"], audited["masked"], audited["cut"]) == ("mindrecord", 30, 6, None)
    assert audited["trained_tokens"] == result["trained_tokens"]
    names = {item.name for item in request_.output_file.parent.iterdir()}
    data = {Path(name).name for name in result["files"]}
    beside = {"out.mindrecord.json", "out.mindrecord.audit.json"}
    assert names == data | {f"{name}.db" for name in data} | beside
    beside_it = json.loads(request_.output_file.with_name("out.mindrecord.audit.json").read_text(encoding="utf-8"))
    assert (beside_it["kind"], beside_it["cut"], beside_it["masked"]) == ("conversations", 2, 6)


@pytest.mark.real
def test_rows_for_evaluation_are_one_token_shorter(request_):
    answer = run_real(
        "def ids(path):\n    return sorted(row['input_ids'].tolist() for row in read_rows(path))\n"
        "train = preprocess(request)\n"
        "evaluation = preprocess(replace(request, purpose='eval', output_file=out.with_name('e.mindrecord')))\n"
        "again = preprocess(request, reuse=False)\n"
        "answer = [ids(result.files[0]) for result in (train, evaluation, again)]",
        request_,
    )
    train, evaluation, again = answer
    assert ({len(row) for row in train}, {len(row) for row in evaluation}) == ({257}, {256})
    assert sorted(row[:256] for row in train) == evaluation
    assert again == train


@pytest.mark.real
def test_an_old_output_stays_until_the_new_one_is_whole(request_, write_json):
    masked = [{"id": "1", "conversations": [TURNS[0], {"from": "gpt", "value": ""}]}]
    answer = run_real(
        "def state():\n    return {item.name: item.read_bytes() for item in out.parent.iterdir()}\n"
        "preprocess(request)\nbefore = state()\n"
        "try:\n    preprocess(replace(request, input_glob=sys.argv[1], limits=Limits(max_masked=0.5)))\n"
        "except SftError as error:\n    message, code = str(error), error.exit_code\n"
        "kept = before == state()\n"
        "preprocess(replace(request, seq_length=300))\n"
        "lengths = sorted({len(row['input_ids']) for row in read_rows(out)})\n"
        "preprocess(replace(request, file_partition=2))\n"
        "names = sorted(item.name for item in out.parent.iterdir())\n"
        "answer = {'message': message, 'code': code, 'kept': kept, 'lengths': lengths, 'names': names}",
        request_,
        str(write_json(masked)),
    )
    assert "1 of 1 rows teach nothing (100.0%; at most 50.0% are allowed), mostly because" in answer["message"]
    assert "the answer is empty" in answer["message"] and "--max_masked" in answer["message"]
    assert answer["code"] == 2
    assert answer["kept"] is True
    assert answer["lengths"] == [301]
    pairs = [f"out.mindrecord{index}{end}" for index in range(2) for end in ("", ".db")]
    assert answer["names"] == sorted([*pairs, "out.mindrecord.json", "out.mindrecord.audit.json"])


@pytest.mark.real
def test_bad_records_stop_it_or_are_listed(request_, write_json):
    good = [{"id": str(number), "conversations": TURNS} for number in range(300)]
    bad = {"id": "x", "conversations": [*TURNS, TURNS[1]]}
    path = write_json([*good[:200], bad, *good[200:], {"id": "y", "conversations": 3}])
    answer = run_real(
        "request = replace(request, input_glob=sys.argv[1])\n"
        "def attempt(**changes):\n"
        "    try:\n        return preprocess(replace(request, **changes)).to_json()\n"
        "    except SftError as error:\n        return [str(error), error.exit_code, sorted(p.name for p in "
        "out.parent.glob('[!.]*'))]\n"
        "answer = [attempt(), attempt(on_error='skip', max_rejected=0.001), attempt(on_error='skip')]",
        request_,
        str(path),
    )
    failed, too_many, skipped = answer
    assert "record 201" in failed[0] and failed[1:] == [2, []]
    assert "2 of 302 records" in too_many[0] and "--max_rejected" in too_many[0]
    assert too_many[1:] == [2, ["out.mindrecord.rejected.jsonl"]]
    assert (skipped["rows"], skipped["rejected"]) == (300, 2)
    rejected = request_.output_file.with_name("out.mindrecord.rejected.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["number"] for line in rejected.splitlines()] == [201, 302]


@pytest.mark.real
def test_token_ids_that_the_model_has_not_are_refused(request_):
    answer = run_real(
        "try:\n    preprocess(replace(request, limits=Limits(max_masked=1.0, vocab_size=500)))\n"
        "except SftError as error:\n    answer = [str(error), out.is_file()]",
        request_,
    )
    assert "the model has only 500 embeddings" in answer[0] and answer[1] is False


@pytest.mark.real
def test_plain_text_has_input_ids_alone(request_, tmp_path):
    text = tmp_path / "wiki.txt"
    text.write_text("\n\n".join(f"Paragraph {number} of a long text ." for number in range(200)), encoding="utf-8")
    answer = run_real(
        "result = preprocess(request)\nrows = list(read_rows(out))\n"
        "try:\n    preprocess(replace(request, seq_length=10 ** 6))\n"
        "except SftError as error:\n    message = str(error)\n"
        "try:\n    audit(out, request.model_file, 100)\n"
        "except SftError as error:\n    other = str(error)\n"
        "report = audit(out, request.model_file, 63).to_json()\n"
        "short = preprocess(replace(request, purpose='eval'))\n"
        "answer = {'result': result.to_json(), 'columns': sorted({name for row in rows for name in row}), "
        "'lengths': sorted({len(row['input_ids']) for row in rows}), 'rows': len(rows), 'message': message, "
        "'other': other, 'audit': report, 'short': sorted({len(row['input_ids']) for row in read_rows(out)})}",
        replace(request_, dataset_type="wiki", input_glob=str(text), seq_length=63),
    )
    assert answer["columns"] == ["input_ids"]
    assert (answer["lengths"], answer["short"]) == ([64], [63])
    assert answer["rows"] == answer["result"]["rows"] == answer["audit"]["rows"] > 10
    assert answer["audit"]["trained_tokens"] == 64 * answer["rows"]
    assert "does not fill a single row of 1000001 tokens" in answer["message"]
    assert "has 64 tokens" in answer["other"] and "--seq_length 63" in answer["other"]


@pytest.mark.real
def test_what_is_no_mindrecord_is_named(request_):
    answer = run_real(
        "preprocess(request)\nmessages = []\n"
        "for end in ('', '.db'):\n"
        "    Path(f'{out}{end}').rename(out.with_name('other.mindrecord' + end))\n"
        "for end in ('', '.db'):\n    out.with_name('text.mindrecord' + end).write_text('text')\n"
        "for name in ('other', 'text'):\n"
        "    try:\n        list(read_rows(out.with_name(name + '.mindrecord')))\n"
        "    except SftError as error:\n        messages.append([str(error), error.exit_code])\n"
        "answer = messages",
        request_,
    )
    assert [code for _, code in answer] == [2, 2]
    assert all("could not be read as MindRecord" in message and "renamed" in message for message, _ in answer)


@pytest.mark.real
def test_stopped_half_way_nothing_is_left(request_, write_json, model_file):
    """Ctrl-C reaches all processes of a terminal at once."""
    pytest.importorskip("mindspore")
    path = write_json([{"id": "1", "conversations": TURNS}] * 200_000)
    command = [
        sys.executable, "-m", "sft_tui", "preprocess", "--input_glob", str(path), "--model_file", str(model_file),
        "--seq_length", "256", "--output_file", str(request_.output_file),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    while line and "records" not in line:
        line = process.stderr.readline()
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 2, line
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 3, rest
    assert "Traceback" not in rest
    assert list(request_.output_file.parent.iterdir()) == []
    deadline = time.monotonic() + 10
    while any(child.is_running() for child in below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(child.is_running() for child in below)


@pytest.mark.parametrize(
    ("rows", "row_bytes", "page"),
    [(0, 100, 2**18), (30, 1000, 2**18), (500_000, 16_388, 2**20), (10, 524_292, 2**22), (10**9, 10**6, 2**27)],
)
def test_pages_are_small_but_hold_a_row(rows, row_bytes, page):
    assert choose_page_size(rows, row_bytes) == page
