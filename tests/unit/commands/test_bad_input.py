"""Everything that is wrong is said before any long work: file, row or tensor, what to do, exit code 2 or 4."""

import json
import re

import pytest


@pytest.fixture
def new_profile(sft, make_llama, alpaca, fake_stack, tmp_path):
    """Makes a profile that is in order but for what is set."""

    def make(**fields):
        settings = {
            "environment.python": fake_stack(mindspore="2.7.2", mindformers="1.7.0"),
            "environment.work_dir": tmp_path / "work",
            "environment.device_target": "CPU",
            "model.hf_dir": fields.pop("hf_dir", None) or make_llama(),
            "dataset.train_path": fields.pop("train_path", None) or alpaca(),
            "dataset.seq_length": 512,
            **{name.replace("__", "."): value for name, value in fields.items()},
        }
        made = sft("profile", "new", "p", *(f"--set={name}={value}" for name, value in settings.items()))
        assert made.returncode == 0, made.stderr
        return settings

    return make


def check(sft, code, *words):
    """`plan`, `run` and `profile validate` all say it, and nothing was started."""
    for command in (["plan", "p"], ["run", "p"], ["profile", "validate", "p"]):
        result = sft(*command)
        assert result.returncode == code, (command, result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        for word in words:
            assert word in result.stderr, (command, word, result.stderr)
    assert json.loads(sft("jobs", "list", "--json").stdout)["jobs"] == []


def test_a_profile_in_order_has_a_plan(sft, new_profile):
    new_profile()
    result = sft("plan", "p", "--json")
    plan = json.loads(result.stdout)
    assert (result.returncode, plan["problems"]) == (0, []), result.stderr
    assert [s["id"] for s in plan["plan"]["steps"]][-1] == "summary"


def test_missing_model_folder(sft, new_profile, tmp_path):
    new_profile(hf_dir=tmp_path / "nowhere")
    check(sft, 2, "model.hf_dir", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("field", "code"), [("model.hf_dir", 2), ("environment.python", 4)])
def test_a_process_says_it_and_exits_with_it(sft_process, new_profile, tmp_path, field, code):
    new_profile(**{field: tmp_path / "nowhere"})
    check(sft_process, code, field, str(tmp_path / "nowhere"))


def test_half_downloaded_model(sft, new_profile, make_llama):
    folder = make_llama("half", "--shards", "2")
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:5000])
    new_profile(hf_dir=folder)
    check(sft, 2, "model.hf_dir", shard.name)


def test_shard_missing_from_disk(sft, new_profile, make_llama):
    folder = make_llama("lacking", "--shards", "3")
    (folder / "model-00002-of-00003.safetensors").unlink()
    new_profile(hf_dir=folder)
    check(sft, 2, "model-00002-of-00003.safetensors")


def test_tensor_missing_from_the_index(sft, new_profile, make_llama):
    folder = make_llama("index", "--shards", "2")
    index = folder / "model.safetensors.index.json"
    data = json.loads(index.read_text())
    del data["weight_map"]["model.norm.weight"]
    index.write_text(json.dumps(data))
    new_profile(hf_dir=folder)
    check(sft, 2, "model.norm.weight")


def test_alpaca_that_is_not_json(sft, new_profile, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('[{"instruction": "a", "output": ')
    new_profile(train_path=path)
    check(sft, 2, "dataset.train_path", str(path))


def test_alpaca_record_without_output(sft, new_profile, alpaca):
    path = alpaca("lacking.json", change=lambda records: records[16].pop("output"))
    new_profile(train_path=path)
    check(sft, 2, "dataset.train_path", "17", "output")


def test_tokenizer_with_more_pieces_than_the_model(sft, new_profile, make_llama):
    new_profile(hf_dir=make_llama("small", "--vocab", "512"))
    check(sft, 2, "model.tokenizer_model", "1024", "512")


def test_sequence_length_over_the_models(sft, new_profile):
    new_profile(dataset__seq_length=8192)
    check(sft, 2, "dataset.seq_length", "8192", "4096")


def test_interpreter_that_is_not_there(sft, new_profile, tmp_path):
    new_profile(environment__python=tmp_path / "python")
    check(sft, 4, "environment.python", str(tmp_path / "python"))


def test_interpreter_without_mindspore(sft, new_profile, bare_python):
    new_profile(environment__python=bare_python)
    check(sft, 4, "environment.python", "has no MindSpore")


def test_mindformers_that_does_not_fit_the_mindspore(sft, new_profile, fake_stack):
    new_profile(environment__python=fake_stack(mindspore="2.4.10", mindformers="1.7.0"))
    check(sft, 4, "MindFormers 1.7.0", "MindSpore 2.4.10", "2.7.1 or 2.7.2")


def test_mindformers_that_is_not_known(sft, new_profile, fake_stack):
    new_profile(environment__python=fake_stack(mindspore="2.7.2", mindformers="0.8.0"))
    check(sft, 4, "MindFormers 0.8.0", "1.7")


def test_source_folder_that_is_none(sft, new_profile, tmp_path):
    new_profile(environment__mindformers_home=tmp_path)
    check(sft, 4, "environment.mindformers_home", "not a MindFormers source folder")


def test_working_folder_that_cannot_be_written(sft, new_profile, read_only_disk):
    new_profile(environment__work_dir=read_only_disk / "work")
    check(sft, 2, "environment.work_dir", str(read_only_disk))


def test_working_folder_on_a_full_disk(sft, new_profile, small_disk):
    new_profile(environment__work_dir=small_disk / "work", nodes__worker_num=2, dataset__seq_length=4096)
    check(sft, 4, "environment.work_dir", "free")


def test_port_in_use(sft, new_profile, taken_port):
    new_profile(nodes__worker_num=2, nodes__master_port=taken_port)
    check(sft, 4, "nodes.master_port", str(taken_port))


def test_all_problems_are_told_at_once(sft, new_profile, tmp_path):
    new_profile(hf_dir=tmp_path / "nowhere", environment__python=tmp_path / "python")
    check(sft, 2, "model.hf_dir", "environment.python")


def test_values_of_the_wrong_type_are_told_at_once(sft):
    result = sft("profile", "new", "p", "--set=training.epochs=many", "--set=training.learning_rate=-1")
    assert result.returncode == 2
    assert sft("profile", "list").stdout.startswith("No profiles")
    assert "training.epochs: 'many' is not a whole number" in result.stderr
    assert "training.learning_rate" in result.stderr


@pytest.mark.parametrize("command", [["plan"], ["run"], ["profile", "show"], ["profile", "validate"]])
def test_unknown_profile(sft, command):
    result = sft(*command, "nobody")
    assert result.returncode == 2
    assert "There is no profile 'nobody'" in result.stderr


def test_unknown_step(sft, new_profile):
    new_profile()
    result = sft("run", "p", "--until", "dance")
    assert result.returncode == 2
    assert "no step 'dance'" in result.stderr and "convert-weight" in result.stderr


def test_a_template_that_is_none(sft, new_profile):
    new_profile(dataset__template="vicuna_v9")
    check(sft, 2, "dataset.template", "vicuna_v9")


def test_a_sequence_length_that_cuts_every_answer_away(sft, new_profile):
    new_profile(dataset__seq_length=64)
    check(sft, 2, "dataset.seq_length", "Nothing is left to learn")


def test_a_relative_path_in_the_file(sft, new_profile, home):
    new_profile()
    path = home / "sft-tui/config/profiles/p.toml"
    path.write_text(re.sub(r'hf_dir = ".*"', 'hf_dir = "./llama"', path.read_text()))
    check(sft, 2, "model.hf_dir", "not an absolute path")


def test_a_working_folder_with_a_name_too_long(sft, new_profile):
    new_profile(environment__work_dir="/tmp/" + "x" * 300)
    check(sft, 2, "environment.work_dir", "too long")


def test_the_same_data_held_out_and_trained_on(sft, new_profile, alpaca):
    path = alpaca()
    new_profile(train_path=path, dataset__eval_path=path)
    assert "dataset.eval_path" in sft("plan", "p").stderr


def test_a_home_that_cannot_be_written(sft_process, read_only_disk, monkeypatch):
    monkeypatch.setenv("SFT_TUI_HOME", str(read_only_disk / "home"))
    result = sft_process("profile", "new", "p")
    assert result.returncode == 4
    assert str(read_only_disk) in result.stderr and "Traceback" not in result.stderr


def test_a_rehearsal_does_not_take_the_users_own_profile(sft, tmp_path):
    sft("profile", "new", "demo", "--set=training.epochs=7")
    result = sft("demo", tmp_path / "demo", "--headless")
    assert (result.returncode, "Your own profile" in result.stderr) == (2, True)
    assert json.loads(sft("profile", "show", "demo", "--json").stdout)["training"]["epochs"] == 7


def test_a_record_of_a_mindrecord_is_not_shown(sft, tmp_path):
    file = tmp_path / "o.mindrecord"
    file.write_bytes(b"\0")
    done = sft("audit", file, "--model_file", tmp_path / "t.model", "--seq_length", 8, "--record", 3)
    assert done.returncode == 2 and "is a MindRecord: --record shows a record of a data file" in done.stderr
