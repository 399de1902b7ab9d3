"""inspect and convert-weight as a user calls them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sft_tui.core.progress import Progress
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.logs.training_log import parse_line

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def make_family(tmp_path):
    def make(*words):
        folder = tmp_path / "-".join(words)
        subprocess.run([sys.executable, GOLDEN / "make_hf_family.py", folder, *words], check=True)
        return folder

    return make


def error(result):
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


def test_there_and_back_with_a_verdict_and_its_cost(sft_process, make_llama, tmp_path):
    llama, ckpt, back = make_llama(), tmp_path / "out.ckpt", tmp_path / "back"
    result = sft_process("convert-weight", "--input_path", llama, "--output_path", ckpt, "--dtype", "keep", "--verify")
    assert result.returncode == 0, result.stderr
    assert re.search(r"verified: 21 tensors are equal to the source after the cast, in \d", result.stdout)
    result = sft_process("convert-weight", "--reversed", "--input_path", ckpt, "--output_path", back, "--verify")
    assert result.returncode == 0, result.stderr
    assert "21 tensors in one file, 230,208 parameters" in result.stdout
    assert "copied beside them: config.json, generation_config.json, tokenizer.model" in result.stdout
    assert "verified: 21 tensors" in result.stdout
    assert sft_process("inspect", back).returncode == 0


def test_json_tells_all_of_it(sft, make_llama, tmp_path):
    llama, ckpt, back = make_llama(), tmp_path / "out.ckpt", tmp_path / "back"
    words = ["convert-weight", "--input_path", llama, "--output_path", ckpt, "--verify", "--json"]
    first = json.loads(sft(*words).stdout)
    assert (first["reused"], first["verified"]["ok"], first["verified"]["seconds"] >= 0) == (False, True, True)
    second = sft(*words, "--reuse")
    assert second.returncode == 0, second.stderr
    assert "progress: convert" not in second.stderr
    again = json.loads(second.stdout)
    assert (again["reused"], again["verified"]["tensors"]) == (True, 21)
    other = json.loads(sft(*words, "--reuse", "--dtype", "bf16").stdout)
    assert (other["reused"], other["bytes_written"] < first["bytes_written"]) == (False, True)
    words = ["convert-weight", "--reversed", "--input_path", ckpt, "--output_path", back, "--json"]
    told = json.loads(sft(*words).stdout)
    assert (told["tensors"], told["shards"], told["left_out"], told["verified"]) == (21, 1, [], None)


def test_progress_is_in_bytes_with_speed_and_ends_at_the_end(sft, make_llama, tmp_path):
    result = sft("convert-weight", "--input_path", make_llama(), "--output_path", tmp_path / "o.ckpt", "--verify")
    lines = [line for line in result.stderr.splitlines() if line.startswith("progress:")]
    facts = [parse_line(line) for line in lines]
    assert all(isinstance(fact, Progress) and fact.unit == "bytes" for fact in facts)
    for label in ("convert", "verify"):
        done = [(fact.done, fact.total) for fact in facts if fact.label == label]
        assert done[-1][0] == done[-1][1] > 0
    assert all("/s" in line for line in lines)
    assert lines[-1].endswith(" lm_head.weight")


def test_a_difference_is_an_error_that_names_the_tensor(sft, make_llama, tmp_path):
    llama, ckpt = make_llama(), tmp_path / "out.ckpt"
    words = ["convert-weight", "--input_path", llama, "--output_path", ckpt, "--reuse", "--verify"]
    assert sft(*words).returncode == 0
    with ckpt.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    code, text = error(sft(*words))
    assert (code, "differs from" in text, "lm_head.weight: differs in 1 of 65,536 values" in text) == (1, True, True)
    report = json.loads(sft(*words, "--json").stdout)
    assert report["verified"]["differences"][0]["name"] == "lm_head.weight"


def test_mindformers_words_and_a_file_in_place_of_the_folder(sft, make_family, tmp_path):
    folder = make_family("gpt2")
    result = sft(
        "convert-weight", "--model", "gpt", "--input_path", folder / "model.safetensors", "--output_path",
        tmp_path / "gpt.ckpt",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    result = sft(
        "convert-weight", "--model", "qwen2_5", "--input_path", make_family("qwen2"), "--output_path",
        tmp_path / "qwen.ckpt",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--config_path", "x"], "--config_path goes with --reversed"),
        (["--reversed", "--reuse"], "--reuse does not go with --reversed"),
        (["--force", "--reuse"], "not allowed with argument"),
        (["--model", "bert"], "Known: chatglm, deepseek_v3, glm4, gpt2, llama, qwen2, qwen3"),
        (["--dtype", "int8"], "invalid choice"),
    ],
)
def test_words_that_do_not_go_together(sft, make_llama, tmp_path, words, text):
    result = sft("convert-weight", "--input_path", make_llama(), "--output_path", tmp_path / "o.ckpt", *words)
    assert error(result)[0] == 2
    assert text in result.stderr


def test_a_pickle_that_wants_to_run_something_is_named(sft, make_llama):
    llama = make_llama()
    (llama / "model.safetensors").unlink()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w');"
            "z.writestr('a/data.pkl', b'cposix\\nsystem\\n(X\\x02\\x00\\x00\\x00idtR.'); z.close()",
            llama / "pytorch_model.bin",
        ],
        check=True,
    )
    code, text = error(sft("inspect", llama))
    assert (code, "wants to run 'posix.system'" in text) == (2, True)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["gpt2"], ["MindFormers 1.2, 1.3 wants a .ckpt", "2.1 does not train it: it no longer has this model"]),
        (["qwen2"], ["MindFormers 1.2, 1.3, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1 wants a .ckpt"]),
    ],
)
def test_inspect_tells_what_mindformers_wants(sft, make_family, words, lines):
    result = sft("inspect", make_family(*words))
    assert result.returncode == 0, result.stderr
    assert all(line in result.stdout for line in lines)
    assert "convert-weight would write a .ckpt of: fp32 4" in result.stdout


def test_a_folder_that_mindformers_loads_as_it_is_needs_no_conversion(sft, tmp_path):
    write_toy_qwen3(tmp_path / "qwen3")
    folder = tmp_path / "qwen3"
    result = sft("inspect", folder, "--mindformers", "1.7.0")
    assert result.returncode == 0, result.stderr
    assert "MindFormers 1.7.0 loads this folder as it is: nothing is to be converted" in result.stdout
    assert "4 heads of 16 (2 for keys and values), q and k norms" in result.stdout
    assert "tokenizer: 632 ids, 371 merges, ends with <|im_end|>" in result.stdout
    report = json.loads(sft("inspect", folder, "--json").stdout)
    assert (report["mindformers"]["1.9"], report["mindformers"]["1.2"]) == ("folder", "no training")
    assert (report["model_type"], report["direct"], report["convertible"]) == ("qwen3", True, False)
    assert report["tokenizer"]["chat_template"] == "tokenizer_config.json"
    settings = (folder / "tokenizer_config.json").read_text()
    (folder / "tokenizer_config.json").write_text(settings.replace("{%- set thought = '' -%}", "{{ ''.__class__ }}"))
    hostile = sft("inspect", folder)
    assert (hostile.returncode, "it reaches for `__class__`" in hostile.stderr) == (0, True)
    (folder / "tokenizer_config.json").write_text(settings)
    old = sft("inspect", folder, "--mindformers", "1.3.2")
    assert (old.returncode, "MindFormers 1.7, 1.8, 1.9, 2.0, 2.1 does." in old.stderr) == (4, True)
    code, text = error(sft("convert-weight", "--model", "qwen3", "--input_path", folder, "--output_path", "o.ckpt"))
    assert (code, "loads the Hugging Face folder as it is" in text) == (2, True)
    (folder / "model.safetensors").write_bytes(b"short")
    assert sft("inspect", folder, "--mindformers", "1.7.0").returncode == 2


def test_a_family_that_no_release_trains_is_told(sft, make_family):
    folder = make_family("qwen2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    done = sft("inspect", folder, "--mindformers", "1.9.0")
    assert (done.returncode, "model_type 'mamba' is not a known family" in done.stderr) == (2, True)
