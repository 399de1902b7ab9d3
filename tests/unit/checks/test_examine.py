"""What was found is taken again only where nothing that it depends on has changed."""

from __future__ import annotations

import json
import os
import sys

import pytest

from sft_tui.checkpoint.mapping.config_words import ConfigWords
from sft_tui.checks import examine as examine_module
from sft_tui.checks import refused_keys
from sft_tui.checks.examine import examine, keep_tokenizer
from sft_tui.checks.kept import Kept
from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.profile import Profile


def _counted(name, looks):
    look = getattr(examine_module, name)

    def counted(*arguments, **named):
        looks[name] += 1
        return look(*arguments, **named)

    return counted


@pytest.fixture
def sound(home, make_llama, alpaca, monkeypatch):
    """A profile of a small Llama; `make(section__field=value)` changes it. `looks` counts what was looked at anew."""
    model, data = make_llama(), alpaca()
    looks = dict.fromkeys(("inspect_checkpoint", "inspect_data", "load_tokenizer", "look_at_samples"), 0)
    for name in looks:
        monkeypatch.setattr(examine_module, name, _counted(name, looks))

    def make(**changes):
        values = {
            "environment": {"python": sys.executable, "device_target": "CPU", "work_dir": str(home / "w")},
            "model": {"hf_dir": str(model)},
            "dataset": {"train_path": str(data), "seq_length": 256},
            "training": {},
        }
        for dotted, value in changes.items():
            section, _, field = dotted.partition("__")
            values[section][field] = value
        return Profile.model_validate({"name": "p", **values})

    make.model, make.data, make.looks = model, data, looks
    return make


def looked(sound, profile):
    before = dict(sound.looks)
    found = examine(profile)
    return found, {name for name, count in sound.looks.items() if count > before[name]}


def test_an_edit_looks_at_what_depends_on_it_alone(sound):
    _, names = looked(sound, sound())
    assert names == set(sound.looks)
    assert looked(sound, sound())[1] == set()
    assert looked(sound, sound(training__learning_rate=3e-4))[1] == set()
    assert looked(sound, sound(dataset__seq_length=200))[1] == {"look_at_samples"}
    assert looked(sound, sound(dataset__template="alpaca"))[1] == {"look_at_samples"}


def test_a_mindformers_that_cannot_be_asked_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(refused_keys, "_refused", Kept())
    monkeypatch.setattr(refused_keys, "find_refused_keys", lambda *words: asked.append(words) or ([], "no import"))
    words = ConfigWords({"model_type": "qwen3", "odd": 1}, unknown=("odd",))
    for _ in range(3):
        [problem] = refused_keys.check_keys(EnvironmentFacts(python="/p"), "qwen3", words)
        assert problem.severity == "warning" and "no import" in problem.message
    refused_keys.check_keys(EnvironmentFacts(python="/p", packages={"numpy": "2"}), "qwen3", words)
    assert len(asked) == 2, "again after something was installed"


def test_a_file_that_changed_is_looked_at_again(sound):
    examine(sound())
    records = json.loads(sound.data.read_text())
    sound.data.write_text(json.dumps(records[:-1]))
    found, names = looked(sound, sound())
    assert names == {"inspect_data", "look_at_samples"} and found.train.count == len(records) - 1
    # the same size and time, as rsync -t and cp -p leave them: another file all the same
    copy = sound.data.with_name("copy.json")
    copy.write_text(sound.data.read_text().replace("Say", "Ask"))
    status = sound.data.stat()
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(sound.data)
    assert "inspect_data" in looked(sound, sound())[1]
    config = json.loads((sound.model / "config.json").read_text())
    (sound.model / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu"}))
    assert "inspect_checkpoint" in looked(sound, sound())[1]


def test_the_rest_of_a_download_is_gone_once_it_is_removed(sound):
    rest = sound.model / ".cache" / "huggingface" / "download"
    rest.mkdir(parents=True)
    (rest / "model.safetensors.abc.incomplete").write_text("")
    assert any("broken off" in p.message for p in examine(sound()).problems)
    (rest / "model.safetensors.abc.incomplete").unlink()
    assert not any("broken off" in p.message for p in examine(sound()).problems)


def test_a_tokenizer_is_loaded_anew_where_its_folder_changed(sound):
    path = sound.model / "tokenizer.model"
    first = keep_tokenizer(path)
    assert keep_tokenizer(path) is first
    (sound.model / "added.json").write_text("{}")
    assert keep_tokenizer(path) is not first


def test_a_configuration_that_is_added_to_the_source_is_offered(sound, tmp_path):
    folder = tmp_path / "mf" / "configs" / "llama2"
    folder.mkdir(parents=True)
    assert examine_module._base_configs(str(tmp_path / "mf"), "llama") == ()
    (folder / "finetune_llama2_7b.yaml").write_text("model:\n  model_config:\n    type: LlamaConfig\n")
    assert [path.name for path in examine_module._base_configs(str(tmp_path / "mf"), "llama")] == [
        "finetune_llama2_7b.yaml"
    ]
