"""LoRA and a base YAML with the real MindSpore and MindFormers, on CPU and through the command line."""

import json
from pathlib import Path

import pytest
import yaml

from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

pytestmark = pytest.mark.real


@pytest.fixture
def lora(home, tmp_path):
    """Saves the profile `lora`: the rehearsal with adapters; `lora(training__epochs=1)` changes a field."""

    def make(**changes):
        data = write_workspace(tmp_path / "demo")
        data.update(name="lora", rehearsal=False)
        data["training"].update(method="lora", run_name="lora", learning_rate=2e-2)
        for name, value in changes.items():
            section, _, field = name.partition("__")
            data[section][field] = value
        save_profile_data(profiles_dir(), "lora", data)
        return Path(data["environment"]["work_dir"])

    return make


def test_adapters_are_trained_and_the_rest_stays(sft, lora):
    work_dir = lora()
    result = sft("run", "lora", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((work_dir / "runs/lora/summary.json").read_text())
    assert summary["perplexity_after"] < summary["perplexity_before"]
    log = (work_dir / "runs/lora/log/train/rank_0/info.log").read_text()
    assert "mindpet_delta_lora_a" in log, "the adapters are new, and named as not loaded"
    before, after = weights(work_dir / "weights/llama.ckpt"), weights(Path(summary["checkpoint"]))
    adapters = {name for name in after if "mindpet_delta_lora" in name}
    assert len(adapters) == 2 * 4 * 2  # two layers, four matrices, a and b
    assert set(before) == set(after) - adapters
    assert all(before[name] == after[name] for name in before), "frozen weights have changed"


def weights(path):
    from mindspore import load_checkpoint

    return {name: parameter.asnumpy().tobytes() for name, parameter in load_checkpoint(str(path)).items()}


def test_a_base_yaml_trains_with_the_changes_of_the_profile(sft, lora, tmp_path):
    """Started from what was built for another run, with a comment that has to stay."""
    work_dir = lora(training__epochs=1, training__evaluate=False)
    built = json.loads(sft("plan", "lora", "--json").stdout)["plan"]["files"][0]["text"]
    base = tmp_path / "finetune_toy.yaml"
    other = yaml.safe_load(built)
    other["model"]["model_config"].update(hidden_size=4096, vocab_size=32000, num_layers=32)
    other["runner_config"]["epochs"] = 50
    base.write_text("# whose base this is\n" + yaml.safe_dump(other, sort_keys=False))
    lora(training__epochs=1, training__evaluate=False, training__base_yaml=str(base), training__run_name="based")
    shown = sft("plan", "lora")
    assert "-    hidden_size: 4096" in shown.stdout and f"--- {base}" in shown.stdout
    result = sft("run", "lora", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "# whose base this is" in (work_dir / "runs/based/train.yaml").read_text()
