from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sft_tui.dataset.mindrecord import preprocess
from sft_tui.dataset.request import check_space
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.fixture
def arguments(golden: Path, model_file: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "dataset_type": "qa",
        "input_glob": str(golden / "alpaca_tricky_conversation.json"),
        "model_file": model_file,
        "seq_length": 256,
        "output_file": tmp_path / "new" / "out.mindrecord",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_type": "wikipedia"}, "`wikipedia` is unknown"),
        ({"seq_length": 0}, "seq_length is 0"),
        ({"file_partition": 0}, "file_partition is 0"),
        ({"file_partition": 1001}, "file_partition is 1001"),
        ({"template": "vicuna"}, "no template `vicuna`"),
        ({"output_file": Path("a:b.mindrecord")}, "file name 'a:b.mindrecord'"),
        ({"input_glob": "/nowhere/*.json"}, "No file matches"),
        ({"model_file": Path("/nowhere/tokenizer.model")}, "/nowhere/tokenizer.model"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_anything_is_made(arguments, change, words):
    with pytest.raises(InvalidInputError) as caught:
        preprocess(**{**arguments, **change})
    assert words in caught.value.message
    assert caught.value.hint
    assert not arguments["output_file"].parent.exists()


def test_a_bad_record_is_named_before_the_long_work(arguments, write_json):
    records = [{"id": "1", "conversations": TURNS}, {"id": "x", "conversations": [*TURNS, TURNS[1]]}]
    path = write_json(records)
    with pytest.raises(InvalidInputError, match=r"in\.json: record 2 \(id x\)") as caught:
        preprocess(**{**arguments, "input_glob": str(path)})
    assert "from `gpt` where `human`" in caught.value.message
    with pytest.raises(InvalidInputError, match="holds no conversation"):
        preprocess(**{**arguments, "input_glob": str(write_json([]))})


def test_an_output_that_cannot_be_written_is_told_at_once(arguments, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotFitError, match="could not be written"):
        preprocess(**{**arguments, "output_file": tmp_path / "file" / "out.mindrecord"})
    with pytest.raises(InvalidInputError, match="is a folder"):
        preprocess(**{**arguments, "output_file": tmp_path})


def test_a_disk_that_is_too_small_is_told_with_numbers(arguments, tmp_path):
    from sft_tui.dataset.manifest import describe_work

    names = ("dataset_type", "input_glob", "model_file", "seq_length")
    work = describe_work(**{name: arguments[name] for name in names}, template="vicuna_v1.1", file_partition=1)
    check_space(work, tmp_path / "out.mindrecord", 30, 1024)
    with pytest.raises(EnvironmentNotFitError, match=r"MB free; about .* MB are needed"):
        check_space(work, tmp_path / "out.mindrecord", 10**12, 1024)


def test_without_mindspore_the_interpreter_is_named(arguments):
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from pathlib import Path\nfrom sft_tui.dataset.mindrecord import preprocess\n"
        "from sft_tui.errors import EnvironmentNotFitError\n"
        f"arguments = {arguments!r}\n".replace("PosixPath", "Path")
        + "try:\n    preprocess(**arguments)\nexcept EnvironmentNotFitError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert sys.executable in done.stdout, done.stderr
    assert "pip install" in done.stdout
    assert list(arguments["output_file"].parent.iterdir()) == []


def run_real(code: str, arguments: dict[str, Any], *more: str) -> Any:
    """Run code with MindSpore in an interpreter of its own; what it assigns to `answer` comes back through JSON."""
    pytest.importorskip("mindspore")
    script = (
        "import json, sys\nfrom pathlib import Path\n"
        "from sft_tui.dataset.mindrecord import preprocess, read_rows\n"
        "from sft_tui.dataset.audit import audit\nfrom sft_tui.errors import SftError\n"
        f"arguments = {arguments!r}\nout = arguments['output_file']\n".replace("PosixPath", "Path")
        + code
        + "\nprint('ANSWER' + json.dumps(answer, default=str))"
    )
    done = subprocess.run([sys.executable, "-c", script, *more], capture_output=True, text=True, timeout=300)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stderr
    return json.loads(lines[-1][len("ANSWER") :])


@pytest.mark.real
@pytest.mark.parametrize("partitions", [1, 2])
def test_mindspore_reads_the_rows_of_the_reference(arguments, golden, partitions):
    arguments["file_partition"] = partitions
    answer = run_real(
        "import mindspore.dataset as ds\nheard = []\n"
        "result = preprocess(**arguments, progress=lambda item: heard.append((item.done, item.total, item.unit)))\n"
        "dataset = ds.MindDataset([str(path) for path in result.files], shuffle=False)\n"
        "rows = [[item['input_ids'].tolist(), item['labels'].tolist(), str(item['labels'].dtype)] "
        "for item in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)]\n"
        "answer = {'result': result.to_json(), 'rows': rows, 'heard': heard, 'audit': audit(out, "
        "arguments['model_file'], 256).to_json(), 'again': preprocess(**arguments).to_json()}",
        arguments,
    )
    reference = np.load(golden / "llama_qa_reference.npz")
    expected = sorted(zip(reference["input_ids_256"].tolist(), reference["labels_256"].tolist()))
    assert sorted((row[0], row[1]) for row in answer["rows"]) == expected
    assert {row[2] for row in answer["rows"]} == {"int32"}
    result = answer["result"]
    assert (result["rows"], result["cut"], result["masked"], result["skipped"]) == (30, 2, 6, False)
    assert 0.0 < result["pad_share"] < 1.0
    assert len(result["files"]) == partitions
    assert answer["heard"][-1] == [30, 30, "rows"]
    assert answer["again"] == {**result, "skipped": True, "seconds": answer["again"]["seconds"]}
    audited = answer["audit"]
    assert (audited["kind"], audited["rows"], audited["masked"], audited["cut"]) == ("mindrecord", 30, 6, None)
    assert audited["trained_tokens"] == int((reference["labels_256"] != -100).sum())
    names = {item.name for item in arguments["output_file"].parent.iterdir()}
    data = {Path(name).name for name in result["files"]}
    assert names == data | {f"{name}.db" for name in data} | {"out.mindrecord.json"}


@pytest.mark.real
def test_an_old_output_stays_until_the_new_one_is_whole(arguments, write_json):
    masked = [{"id": "1", "conversations": [TURNS[0], {"from": "gpt", "value": ""}]}]
    answer = run_real(
        "preprocess(**arguments)\n"
        "before = {item.name: item.read_bytes() for item in out.parent.iterdir()}\n"
        "try:\n    preprocess(**{**arguments, 'input_glob': sys.argv[1]})\n"
        "except SftError as error:\n    message, code = str(error), error.exit_code\n"
        "kept = before == {item.name: item.read_bytes() for item in out.parent.iterdir()}\n"
        "preprocess(**{**arguments, 'seq_length': 300})\n"
        "lengths = sorted({len(row['input_ids']) for row in read_rows(out)})\n"
        "preprocess(**{**arguments, 'file_partition': 2})\n"
        "names = sorted(item.name for item in out.parent.iterdir())\n"
        "answer = {'message': message, 'code': code, 'kept': kept, 'lengths': lengths, 'names': names}",
        arguments,
        str(write_json(masked)),
    )
    assert "none of 1 rows has anything to learn, mostly because the answer is empty" in answer["message"]
    assert answer["code"] == 2
    assert answer["kept"] is True
    assert answer["lengths"] == [301]
    pairs = [f"out.mindrecord{index}{end}" for index in range(2) for end in ("", ".db")]
    assert answer["names"] == sorted([*pairs, "out.mindrecord.json"])


@pytest.mark.real
def test_plain_text_has_input_ids_alone(arguments, tmp_path):
    text = tmp_path / "wiki.txt"
    text.write_text("\n\n".join(f"Paragraph {number} of a long text ." for number in range(200)), encoding="utf-8")
    arguments.update(dataset_type="wiki", input_glob=str(text), seq_length=63)
    answer = run_real(
        "result = preprocess(**arguments)\nrows = list(read_rows(out))\n"
        "try:\n    preprocess(**{**arguments, 'seq_length': 10 ** 6})\n"
        "except SftError as error:\n    message = str(error)\n"
        "try:\n    audit(out, arguments['model_file'], 100)\n"
        "except SftError as error:\n    other = str(error)\n"
        "answer = {'result': result.to_json(), 'columns': sorted({name for row in rows for name in row}), "
        "'lengths': sorted({len(row['input_ids']) for row in rows}), 'rows': len(rows), 'message': message, "
        "'other': other, 'audit': audit(out, arguments['model_file'], 63).to_json()}",
        arguments,
    )
    assert answer["columns"] == ["input_ids"]
    assert answer["lengths"] == [64]
    assert answer["rows"] == answer["result"]["rows"] == answer["audit"]["rows"] > 10
    assert answer["audit"]["trained_tokens"] == 64 * answer["rows"]
    assert "does not fill a single row of 1000001 tokens" in answer["message"]
    assert "has 64 tokens" in answer["other"] and "--seq_length 63" in answer["other"]


@pytest.mark.real
def test_what_is_no_mindrecord_is_named(arguments):
    answer = run_real(
        "preprocess(**arguments)\nmessages = []\n"
        "for end in ('', '.db'):\n"
        "    Path(f'{out}{end}').rename(out.with_name('other.mindrecord' + end))\n"
        "for end in ('', '.db'):\n    out.with_name('text.mindrecord' + end).write_text('text')\n"
        "for name in ('other', 'text'):\n"
        "    try:\n        list(read_rows(out.with_name(name + '.mindrecord')))\n"
        "    except SftError as error:\n        messages.append([str(error), error.exit_code])\n"
        "answer = messages",
        arguments,
    )
    assert [code for _, code in answer] == [2, 2]
    assert all("could not be read as MindRecord" in message and "renamed" in message for message, _ in answer)
