"""A training from a ready `.ckpt`: what it is comes from the file, what it does not tell from YAML or config.json."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checks.examine import examine
from sft_tui.checks.ready import inspect_ready
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.jobs.completion import sign_inputs
from sft_tui.launch.yaml.base_yaml import parse_base
from sft_tui.launch.yaml.model_words import feed_forward_size
from tests.unit.ready_ckpt import BASE, llama_shapes, without, write_ckpt

NAME = "/y/base.yaml"
GPT2 = """\
model:
  model_config: {type: GPT2Config, seq_length: 96, max_position_embeddings: 2048, num_heads: 4, expand_ratio: 4,
                 vocab_size: 256, hidden_size: 64, num_layers: 2, hidden_act: fast_gelu, hidden_dropout_rate: 0.2}
"""


@pytest.fixture
def ckpt(tmp_path) -> Path:
    return write_ckpt(tmp_path / "ready.ckpt", llama_shapes())


def the_problem(report) -> Problem:
    [problem] = report.problems
    assert problem.hint and problem.exit_code == 2
    return problem


def test_the_yaml_tells_what_shapes_do_not(ckpt):
    report = inspect_ready(ckpt, base_yaml=BASE, base_name=NAME)
    config = report.config
    assert report.problems == () and config is not None
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (4, 2, 16)
    assert (config.hidden_size, config.num_layers, config.vocab_size, config.intermediate_size) == (64, 2, 1024, 176)
    # left out there: MindFormers' own defaults, and the table of positions as long as a row
    assert (config.rms_norm_eps, config.rope_theta, config.max_position_embeddings) == (1e-6, 10000.0, 256)
    assert (config.bos_token_id, config.eos_token_id) == (1, 7)
    assert report.parameters == sum(dims[0] * (dims[1] if len(dims) > 1 else 1) for dims in llama_shapes().values())


def test_nothing_is_guessed(ckpt):
    problem = the_problem(inspect_ready(ckpt))
    assert (problem.field, problem.severity) == ("model.ckpt", "error")
    for name in ("num_heads", "rms_norm_eps", "theta", "max_position_embedding", "bos_token_id", "eos_token_id"):
        assert name in problem.message
    assert "training.base_yaml" in problem.hint and "model.hf_dir" in problem.hint
    assert the_problem(inspect_ready(ckpt, alone=True)).severity == "warning"
    for key in ("num_heads", "rms_norm_eps"):
        lacking = "".join(line for line in BASE.splitlines(keepends=True) if not line.strip().startswith(key))
        report = inspect_ready(ckpt, base_yaml=lacking, base_name=NAME)
        problem = the_problem(report)
        assert report.config is None and problem.field == "training.base_yaml"
        assert NAME in problem.message and f"has no {key}, which {ckpt}" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("num_layers: 2", "num_layers: 3", "num_layers is 3, the checkpoint has 2"),
        ("hidden_size: 64", "hidden_size: 128", "hidden_size is 128, the checkpoint has 64"),
        ("vocab_size: 1024", "vocab_size: 32000", "vocab_size is 32000, the checkpoint has 1024"),
        ("n_kv_heads: 2", "n_kv_heads: 4", "n_kv_heads is 4, the checkpoint has 2"),
        ("    n_kv_heads: 2\n", "", "n_kv_heads is 4 by MindFormers' rule, the checkpoint has 2"),
        (
            "multiple_of: 16",
            "multiple_of: 256",
            "intermediate_size is 256 by MindFormers' rule, the checkpoint has 176",
        ),
        ("multiple_of: 16", "intermediate_size: 172", "intermediate_size is 172, the checkpoint has 176"),
        ("num_heads: 4", "num_heads: 5", "num_heads 5"),
        ("num_heads: 4", "num_heads: 64", "n_kv_heads is 2, the checkpoint has 32"),
        ("num_heads: 4", "num_heads: '4'", "num_heads is '4'"),
        ("1.0e-6", "1e-6", "rms_norm_eps is '1e-6'"),
        ("LlamaConfig", "GPT2Config", "type GPT2Config"),
        ("multiple_of: 16", "multiple_of: 16\n    qkv_concat: True", "qkv_concat is True"),
    ],
)
def test_a_yaml_of_another_model_is_named_with_both_values(ckpt, old, new, words):
    assert old in BASE
    problem = the_problem(inspect_ready(ckpt, base_yaml=BASE.replace(old, new), base_name=NAME))
    assert (problem.field, problem.severity) == ("training.base_yaml", "error")
    assert words in problem.message and NAME in problem.message


def test_the_feed_forward_layer_is_as_mindformers_computes_it():
    assert feed_forward_size(4096) == 11008  # Llama 2 7B
    assert feed_forward_size(8192, 4096, 1.3) == 28672  # Llama 2 70B
    assert feed_forward_size(64, "many") is None


def test_a_config_json_comes_before_the_yaml(make_llama, edit_json, tmp_path):
    folder, path = make_llama(), tmp_path / "a.ckpt"
    convert_weight(folder, path, family="llama")
    for file in folder.glob("*.safetensors*"):
        file.unlink()  # nothing but config and tokenizer
    report = inspect_ready(path, config_dir=str(folder))
    assert report.problems == () and report.config is not None and report.config.num_heads == 4
    problem = the_problem(inspect_ready(path, base_yaml=BASE, base_name=NAME, config_dir=str(folder)))
    assert problem.severity == "warning" and "is not of" in problem.message, "its sizes are replaced, as always"
    edit_json(folder / "config.json", vocab_size=999)
    report = inspect_ready(path, config_dir=str(folder))
    problem = the_problem(report)
    assert report.config is None and problem.field == "model.hf_dir"
    assert "embedding_weight has the shape [1024, 64]" in problem.message and "[999, 64]" in problem.message


def test_gpt2_has_its_positions_in_the_file(make_hf_family, tmp_path):
    path = tmp_path / "a.ckpt"
    convert_weight(make_hf_family("gpt2"), path, family="gpt2")
    report = inspect_ready(path, base_yaml=GPT2, base_name=NAME)
    config = report.config
    # MindFormers' own file says 2048, and its ready checkpoint has fewer
    assert config is not None and config.max_position_embeddings == 96 and config.tied
    assert (config.num_heads, config.num_kv_heads, config.intermediate_size) == (4, 4, 256)
    assert (config.dropout, config.attention_dropout, config.eos_token_id) == (0.2, 0.1, 50256)
    problem = the_problem(report)
    assert problem.severity == "warning" and "hidden_act fast_gelu, and gelu is trained with" in problem.message
    report = inspect_ready(path, base_yaml=GPT2.replace("expand_ratio: 4", "expand_ratio: 3"), base_name=NAME)
    assert any("expand_ratio is 3, the checkpoint has 4" in p.message for p in report.problems)


def test_a_missing_output_layer_is_taken_where_the_yaml_ties_it(tmp_path):
    path = write_ckpt(tmp_path / "a.ckpt", without(llama_shapes(), "lm_head"))
    problem = the_problem(inspect_ready(path, base_yaml=BASE, base_name=NAME))
    assert "has no lm_head.weight" in problem.message and "tie_word_embeddings: True" in problem.hint
    tied = BASE.replace("    num_heads", "    tie_word_embeddings: True\n    num_heads")
    report = inspect_ready(path, base_yaml=tied, base_name=NAME)
    assert report.problems == () and report.config is not None and report.config.tied


def test_a_training_checkpoint_is_taken_with_a_warning(tmp_path):
    state = {f"adam_m.{name}": dims for name, dims in llama_shapes().items()}
    path = write_ckpt(tmp_path / "a.ckpt", {**llama_shapes(), **state, "global_step": (1,)}, {"global_step": "Int32"})
    problem = the_problem(inspect_ready(path, base_yaml=BASE, base_name=NAME))
    assert problem.severity == "warning" and "new optimizer" in problem.hint
    assert "adam_m.model.tok_embeddings.embedding_weight and 21 more" in problem.message


@pytest.fixture
def start(home, make_llama, alpaca, fake_stack, tmp_path):
    """A profile that starts from a ready checkpoint; `start(section__field=value)` changes it."""
    folder, base = make_llama(), tmp_path / "base.yaml"
    convert_weight(folder, tmp_path / "a.ckpt", family="llama")
    config = BASE.replace("n_kv_heads: 2", "n_kv_heads: 4").replace("multiple_of: 16", "intermediate_size: 172")
    base.write_text(config)
    python = fake_stack(mindspore="2.9.0", mindformers="1.9.0")

    def make(**changes):
        values = {
            "environment": {"python": str(python), "device_target": "CPU", "work_dir": str(home / "w")},
            "model": {"ckpt": str(tmp_path / "a.ckpt"), "tokenizer_model": str(folder / "tokenizer.model")},
            "dataset": {"train_path": str(alpaca()), "seq_length": 192},
            "training": {"base_yaml": str(base)},
        }
        for dotted, value in changes.items():
            section, _, field = dotted.partition("__")
            values[section][field] = value
        return Profile.model_validate({"name": "p", **values})

    make.folder, make.ckpt, make.base = folder, tmp_path / "a.ckpt", base
    return make


def test_a_plan_starts_from_the_file_and_begins_anew_when_it_changes(start):
    found = examine(start())
    assert not found.errors, found.errors
    plan, path = found.plan, str(start.ckpt)
    assert plan is not None and found.facts is not None and found.workload is not None
    assert plan.step("convert-weight").not_needed == f"weights are taken from {path} as they are"
    assert plan.step("inspect").argv[-4:] == ("inspect", path, "--base_yaml", str(start.base))
    for step in ("evaluate-before", "train"):
        config = next(file for file in plan.files if file.path.endswith(f"/{step}.yaml"))
        assert parse_base(config.text)["load_checkpoint"] == path
        assert path in plan.step(step).inputs
        assert "weights_loaded" in [output.kind for output in plan.step(step).outputs]
    signed = sign_inputs(plan.step("train"))
    os.utime(start.ckpt, ns=(1, 1))
    assert sign_inputs(plan.step("train"))[path] != signed[path]


def test_a_folder_beside_it_tells_the_rest(start):
    found = examine(start(model__hf_dir=str(start.folder), model__tokenizer_model="", training__base_yaml=""))
    assert not found.errors and found.plan is not None
    assert found.plan.step("inspect").argv[-3:] == (str(start.ckpt), "--config_path", str(start.folder))
    assert found.facts.tokenizer_model == str(start.folder / "tokenizer.model")


def test_a_file_that_changed_is_looked_at_again(start):
    assert not examine(start()).errors
    write_ckpt(start.ckpt, llama_shapes(layers=3, kv=64, intermediate=172))
    assert any("num_layers is 2, the checkpoint has 3" in p.message for p in examine(start()).errors)


def test_what_does_not_go_with_a_ready_checkpoint(start):
    def errors(**changes):
        return {p.field: p for p in examine(start(**changes)).errors}

    assert "is trained from its Hugging Face folder" in errors(model__family="qwen3")["model.ckpt"].message
    assert "holds a model of type llama, not gpt2" in errors(model__family="gpt2")["model.family"].message
    found = errors(model__tokenizer_model="")
    assert found["model.tokenizer_model"].message == "Not chosen yet." and "model.hf_dir" not in found
    assert set(errors(training__base_yaml="")) == {"model.ckpt"}
    # one message for a YAML that cannot be read
    assert set(errors(training__base_yaml="/nowhere.yaml")) == {"training.base_yaml"}
    relative = [p.message for p in examine(start(model__ckpt="a.ckpt")).errors if p.field == "model.ckpt"]
    assert "a.ckpt is not an absolute path." in relative
    profile = start()
    own = Path(profile.environment.work_dir) / "runs" / profile.training.run_name / "checkpoint_network" / "own.ckpt"
    own.parent.mkdir(parents=True)
    shutil.copy(start.ckpt, own)
    assert "of this very run" in errors(model__ckpt=str(own))["training.run_name"].message
    assert "training.run_name" not in errors(model__ckpt=str(own), training__run_name="another")


def test_the_files_of_the_tokenizer_of_gpt2_lie_beside_it(home, make_hf_family, start, fake_stack, tmp_path):
    path, folder = tmp_path / "g.ckpt", tmp_path / "words"
    convert_weight(make_hf_family("gpt2"), path, family="gpt2")
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "vocab.json").write_text("{}")
    start.base.write_text(GPT2)
    changes = {"model__family": "gpt2", "model__ckpt": str(path), "model__tokenizer_model": f"{folder}/tokenizer.json"}
    found = [p.message for p in examine(start(**changes)).problems if p.field == "model.tokenizer_model"]
    assert f"{folder} has no merges.txt, which MindFormers' tokenizer reads." in found
