"""What every command promises: exit codes, one JSON object on stdout, plain lines, no traceback."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sft_tui.cli import build_parser, run_command
from sft_tui.paths import PACKAGE_DIR


def test_no_command_without_a_terminal_says_what_to_do(sft_process):
    result = sft_process()
    assert (result.returncode, result.stdout) == (2, "")
    assert "needs a terminal" in result.stderr and "--help" in result.stderr


def test_doctor_tells_what_is_there_and_what_lacks(sft, fake_stack, bare_python):
    sft("profile", "new", "good", f"--set=environment.python={fake_stack(mindspore='2.7.2', mindformers='1.7.0')}")
    sft("profile", "new", "bad", f"--set=environment.python={bare_python}")
    good, bad = sft("doctor", "--profile", "good", "--json"), sft("doctor", "--profile", "bad", "--json")
    assert good.returncode == 0, good.stderr
    facts = json.loads(good.stdout)["environment"]
    assert (facts["mindformers_version"], facts["packages"]["mindspore"]) == ("1.7.0", "2.7.2")
    assert bad.returncode == 4
    assert any("MindSpore" in p["message"] for p in json.loads(bad.stdout)["problems"])
    said = sft("doctor", "--profile", "good").stdout
    assert "MindSpore              2.7.2  [fits]" in said
    assert "NPUs                   there is no npu-smi on PATH" in said


@pytest.fixture
def npu_smi(tmp_path, monkeypatch):
    """Puts an npu-smi on PATH that prints a sample."""

    def make(sample):
        path = tmp_path / "bin" / "npu-smi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ncat {Path(__file__).parents[2] / 'data' / 'npu_smi' / sample}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    return make


def test_monitor_shows_every_npu_and_null_for_what_is_not_known(sft, npu_smi):
    without = sft("monitor", "--once", "--json")
    assert without.returncode == 0
    assert json.loads(without.stdout)["npu_smi"]["state"] == "no npu-smi"
    npu_smi("info_25.2.0_A3_4dies_procs.txt")
    found = json.loads(sft("monitor", "--once", "--json").stdout)
    assert found["npu_smi"] is None and found["host"]["memory_total"] > 0
    assert len(found["devices"]) == 4
    names = {
        "index",
        "name",
        "health",
        "power_w",
        "temperature_c",
        "utilisation_percent",
        "hbm_used_mb",
        "hbm_total_mb",
    }
    assert all(names | {"processes"} <= set(device) for device in found["devices"])
    assert any(device["power_w"] is None for device in found["devices"]), "the second die has no power of its own"
    lines = sft("monitor", "--once").stdout.splitlines()
    assert lines[0].startswith("host: ") and len(lines) == 2 + 4 and " -  " in "\n".join(lines)


def test_monitor_goes_on_until_it_is_interrupted(sft, npu_smi, home):
    npu_smi("info_25.2.0_A3_4dies_procs.txt")
    command = [sys.executable, "-m", "sft_tui", "monitor", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 3
    assert looks[0]["taken_at"] < looks[1]["taken_at"]


def test_doctor_tells_what_does_not_fit_and_which_npus_there_are(sft, fake_stack, tmp_path, npu_smi):
    home = tmp_path / "mindformers"
    (home / "mindformers").mkdir(parents=True)
    (home / "mindformers" / "__init__.py").write_text('__version__ = "1.9.0"')
    (home / "run_mindformer.py").touch()
    (home / "configs" / "qwen3").mkdir(parents=True)
    (home / "configs" / "qwen3" / "finetune_qwen3.yaml").touch()
    npu_smi("info_24.1.RC2_910A_x8_warning_procs.txt")
    python = fake_stack(mindspore="2.7.2")
    sft("profile", "new", "p", f"--set=environment.python={python}", f"--set=environment.mindformers_home={home}")
    said = sft("doctor", "--profile", "p").stdout
    assert "2.7.2  [does not fit: MindFormers 1.9 runs with MindSpore 2.9]" in said
    assert "its programs           run_mindformer.py" in said and "its configurations     qwen3" in said
    assert re.search(r"NPUs +8 x \S+ with 32 GB, 8 in use", said)
    found = json.loads(sft("doctor", "--profile", "p", "--json").stdout)
    assert len(found["npus"]) == 8 and found["source_tree"]["configs"] == ["qwen3"]


@pytest.mark.parametrize(
    "command",
    [
        ["profile", "list"],
        ["jobs", "list"],
        ["jobs"],
        ["profile"],
        ["profile", "show", "p"],
        ["plan", "p"],
        ["profile", "validate", "p"],
    ],
    ids=" ".join,
)
def test_json_is_one_object_and_nothing_else(sft, command):
    sft("profile", "new", "p")
    assert isinstance(json.loads(sft(*command, "--json").stdout), dict)


def test_a_flag_before_the_subcommand_counts(sft):
    assert json.loads(sft("jobs", "--json", "list").stdout)["jobs"] == []


def test_a_damaged_job_does_not_hide_the_others(sft, home):
    folder = home / "sft-tui/state/jobs/1-p"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{")
    result = sft("jobs", "list")
    assert (result.returncode, "1-p  damaged" in result.stdout) == (0, True)


def test_what_is_typed_wrong_cannot_draw_on_the_terminal(sft_process):
    result = sft_process("inspect", "x", "--bad\x1b[31m")
    assert result.returncode == 2
    assert "\x1b" not in result.stderr and "--bad" in result.stderr


def test_a_terminal_that_is_not_utf8(sft_process, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = sft_process("inspect", tmp_path / "dé mo")
    assert (result.returncode, "Traceback" not in result.stderr) == (2, True)
    assert "d\\xe9 mo" in result.stderr


@pytest.mark.parametrize("command", [["show"], ["log"], ["stop"], ["wait", "9"]], ids=" ".join)
def test_a_job_that_is_not_there(sft, command):
    result = sft("jobs", *command)
    assert result.returncode == 2
    assert "no job" in result.stderr


def test_a_profile_is_made_shown_and_not_overwritten(sft):
    assert sft("profile", "new", "p", "--set=training.epochs=3", "--set=model.hf_dir=models/llama").returncode == 0
    data = json.loads(sft("profile", "show", "p", "--json").stdout)
    assert data["training"]["epochs"] == 3
    assert data["model"]["hf_dir"].endswith("/models/llama") and data["model"]["hf_dir"].startswith("/")
    again = sft("profile", "new", "p")
    assert (again.returncode, "already" in again.stderr) == (2, True)
    assert sft("profile", "list").stdout == "p\n"


@pytest.mark.parametrize(
    ("pair", "words"), [("epochs", "FIELD=VALUE"), ("training.epoch=1", "training.epochs"), ("a.b=1", "no field")]
)
def test_a_field_that_is_none(sft, pair, words):
    result = sft("profile", "new", "p", f"--set={pair}")
    assert result.returncode == 2
    assert words in result.stderr


def test_documented_spellings_of_flags():
    both = [
        ["convert-weight", "--input_path", "a", "--output_path", "b"],
        ["convert-weight", "--input-path", "a", "--output-path", "b"],
    ]
    assert len({build_parser().parse_args(arguments).input_path for arguments in both}) == 1


def test_converters_by_hand(sft_process, make_llama, alpaca, tmp_path):
    llama, ckpt, conversation = make_llama(), tmp_path / "out.ckpt", tmp_path / "conversation.json"
    result = sft_process("convert-weight", "--input_path", llama, "--output_path", ckpt, "--verify", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["verified"]["ok"] is True
    assert "\x1b" not in result.stderr and "progress: convert" in result.stderr
    again = sft_process("convert-weight", "--input_path", llama, "--output_path", ckpt)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    result = sft_process("convert-alpaca", "--data_path", alpaca(), "--output_path", conversation, "--json")
    assert json.loads(result.stdout)["records"] == 40
    words = ["--model_file", llama / "tokenizer.model", "--seq_length", 256, "--json"]
    result = sft_process("audit", conversation, *words)
    assert (result.returncode, json.loads(result.stdout)["rows"]) == (0, 40), result.stderr


def test_a_file_name_cannot_draw_on_the_terminal(sft, tmp_path):
    result = sft("inspect", tmp_path / "\x1b[31mred\x1b]0;title\x07")
    assert result.returncode == 2
    assert "\x1b" not in result.stderr and "red" in result.stderr


def test_a_defect_of_ours_shows_a_sentence_and_keeps_the_traceback(home, monkeypatch, capsys):
    monkeypatch.setattr("sft_tui.commands.doctor.run_doctor", lambda _arguments: 1 / 0)
    assert run_command(["doctor"]) == 1
    output = capsys.readouterr()
    log = home / "sft-tui" / "state" / "sft-tui.log"
    assert "Traceback" not in output.err + output.out and str(log) in output.err
    assert "ZeroDivisionError" in log.read_text()


def test_a_reader_that_goes_away_is_no_error(home):
    command = f"{shlex.quote(sys.executable)} -m sft_tui --help | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert result.stdout.startswith("usage: sft-tui") and result.stderr == ""


def test_a_plan_as_a_script_is_what_the_plan_says(sft, make_llama, alpaca, fake_stack, tmp_path):
    settings = {
        "environment.python": fake_stack(mindspore="2.7.2", mindformers="1.7.0"),
        "environment.work_dir": tmp_path / "work dir",
        "model.hf_dir": make_llama("a llama"),
        "dataset.train_path": alpaca(),
        "dataset.seq_length": 512,
    }
    sft("profile", "new", "p", *(f"--set={name}={value}" for name, value in settings.items()))
    assert sft("plan", "p", "--script", tmp_path / "scripts").returncode == 0
    scripts = sorted((tmp_path / "scripts").glob("[!.]*.s*"))
    assert [path.name for path in scripts] == ["node_0.sh", "prepare.sh", "run_all.sh", "slurm.sbatch"]
    text = "".join(path.read_text() for path in scripts)
    for step in json.loads(sft("plan", "p", "--json").stdout)["plan"]["steps"]:
        words = shlex.join(step["argv"]).replace(f"{PACKAGE_DIR}/launch/", '"$here"/launch/')
        assert words in text
    runtime = tmp_path / "scripts" / "launch" / "runtime"
    assert (runtime / "runner.py").is_file()
    assert (tmp_path / "scripts" / "train.yaml").is_file()
    # what the launcher takes from us lies beside it
    look = "import runner; runner._make_importable(); import sft_tui.files.saved_states as found; print(found.__file__)"
    done = subprocess.run([sys.executable, "-c", look], cwd=runtime, env={}, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "scripts" / "files/saved_states.py"), done.stderr
