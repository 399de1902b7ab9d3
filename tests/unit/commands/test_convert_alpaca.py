"""convert-alpaca as somebody types it."""

import json

import pytest


@pytest.fixture
def write(tmp_path):
    def write(name, records):
        path = tmp_path / name
        path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
        return path

    return write


def test_names_are_given_or_guessed_and_said(sft, write, tmp_path):
    data = write("in.jsonl", [{"prompt": f"Count to {n}.", "target": str(n)} for n in range(1, 41)])
    guessed, given = tmp_path / "guessed.json", tmp_path / "given.json"
    result = sft("convert-alpaca", "--data_path", data, "--output_path", guessed)
    assert (result.returncode, "40 conversations" in result.stdout) == (0, True), result.stderr
    assert "is read with --columns instruction=prompt,output=target" in result.stderr
    result = sft(
        "convert-alpaca", "--data-path", data, "--output-path", given, "--columns", "output=target,instruction=prompt"
    )
    assert (result.returncode, "is read with" in result.stderr) == (0, False)
    assert given.read_bytes() == guessed.read_bytes()
    result = sft("convert-alpaca", "--data_path", data, "--output_path", given, "--columns", "output=answer")
    assert result.returncode == 2
    assert "no column `answer`; its columns: `prompt`, `target`" in result.stderr


def test_bad_records_stop_it_or_are_left_out(sft, write, tmp_path):
    good = [{"instruction": "a", "output": "b"}] * 9
    data, output = write("in.jsonl", [*good, {"instruction": "a", "output": None}]), tmp_path / "out.json"
    command = ("convert-alpaca", "--data_path", data, "--output_path", output, "--json")
    result = sft(*command)
    assert (result.returncode, output.exists()) == (2, False)
    assert "record 10: field `output` is null" in json.loads(result.stdout)["error"]
    result = sft(*command, "--on-error", "skip")
    assert (result.returncode, output.exists()) == (2, False)
    assert "--max_rejected 0.11" in json.loads(result.stdout)["hint"]
    result = sft(*command, "--on_error", "skip", "--max-rejected", "0.1")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["records"], told["rejected"]) == (9, 1)
    assert told["rejected_path"] == f"{output}.rejected.jsonl"


@pytest.mark.parametrize("flag", ["--eval_fraction", "--eval-fraction", "--eval_split", "--eval-split"])
def test_a_share_is_held_out_with_either_name(sft, write, tmp_path, flag):
    data = write("in.jsonl", [{"instruction": str(n), "output": str(n)} for n in range(40)])
    command = ("convert-alpaca", "--data_path", data, "--output_path", tmp_path / "t.json", flag, "0.1", "--json")
    result = sft(*command, "--eval_output_path", tmp_path / "e.json", "--seed", "3")
    assert (json.loads(result.stdout)["records"], json.loads(result.stdout)["eval_records"]) == (36, 4)
    assert sft(*command).returncode == 2
