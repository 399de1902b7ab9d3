"""LoRA and a base YAML with the real MindSpore and MindFormers, on CPU and through the command line."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from sft_tui.checkpoint.copy.precision import SOURCE_TYPES, cast_values
from sft_tui.checkpoint.formats.safetensors_header import load_header
from sft_tui.demo.toy_qwen3 import write_toy_qwen3
from sft_tui.demo.workspace import write_workspace
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import save_profile_data

pytestmark = pytest.mark.real
REFERENCE = Path(__file__).parents[2] / "unit" / "launch" / "decoder_reference.py"


def save_lora(folder, family="llama", **training):
    """Saves the profile `lora`: the rehearsal in that folder with adapters; its working folder."""
    data = write_workspace(folder, family=family)
    data.update(name="lora", rehearsal=False)
    data["training"].update(
        {"method": "lora", "run_name": "lora", "epochs": 1, "learning_rate": 5e-2, **training},
    )
    save_profile_data(profiles_dir(), "lora", data)
    return Path(data["environment"]["work_dir"])


@pytest.mark.parametrize("based", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_adapters_are_trained_and_the_rest_stays(sft, rehearsed, tmp_path, based):
    """`based`: from a YAML that was built for another run, with a comment that has to stay, and without evaluation."""
    home = rehearsed("one worker")
    work_dir = save_lora(home / "demo")
    if based:
        base = write_base(sft, tmp_path)
        save_lora(home / "demo", base_yaml=str(base), evaluate=False)
        shown = sft("plan", "lora")
        assert "-    hidden_size: 4096" in shown.stdout and f"--- {base}" in shown.stdout
    result = sft("run", "lora", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ("# whose base this is" in (work_dir / "runs/lora/train.yaml").read_text()) == based
    summary = json.loads((work_dir / "runs/lora/summary.json").read_text())
    if based:
        assert summary["last_loss"] < summary["first_loss"]
    else:
        assert summary["perplexity_after"] < summary["perplexity_before"]
    log = (work_dir / "runs/lora/log/train/rank_0/info.log").read_text()
    assert "mindpet_delta_lora_a" in log, "the adapters are new, and named as not loaded"
    before, after = weights(work_dir / "weights/llama.ckpt"), weights(Path(summary["checkpoint"]))
    adapters = {name for name in after if "mindpet_delta_lora" in name}
    assert len(adapters) == 2 * 4 * 2  # two layers, four matrices, a and b
    assert set(before) == set(after) - adapters
    assert all(before[name] == after[name] for name in before), "frozen weights have changed"


def write_base(sft, folder):
    """What is built for the profile `lora`, as somebody would have it for a larger model."""
    built = json.loads(sft("plan", "lora", "--json").stdout)["plan"]["files"][0]["text"]
    other = yaml.safe_load(built)
    other["model"]["model_config"].update(hidden_size=4096, vocab_size=32000, num_layers=32)
    other["runner_config"]["epochs"] = 50
    base = folder / "finetune_toy.yaml"
    base.write_text("# whose base this is\n" + yaml.safe_dump(other, sort_keys=False))
    return base


def weights(path):
    from mindspore import load_checkpoint

    return {name: parameter.asnumpy().tobytes() for name, parameter in load_checkpoint(str(path)).items()}


@pytest.mark.nightly
def test_adapters_of_todays_models_come_back_merged_into_the_folder(sft, home, tmp_path):
    """The plain forward pass of the folder that comes out has learned, and so has no weight that was frozen.

    The model has an output layer of its own, as the larger ones have.
    """
    work_dir = save_lora(tmp_path / "demo", "qwen3", evaluate=False, lora_targets=".*linear_.*")
    run, base = work_dir / "runs/lora", tmp_path / "demo/toy-qwen3"
    write_toy_qwen3(base, tied=False)
    result = sft("run", "lora", timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    [file] = (run / "checkpoint_network/rank_0").glob("*-1_69.safetensors")
    saved = numbers(file)
    converted = numbers(next((run / "qwen3_ms_converted_weight").glob("*.safetensors")))
    assert all(np.array_equal(saved[name], values) for name, values in converted.items()), "frozen weights have changed"
    adapters = {name for name in saved if "lora_B" in name}
    assert len(adapters) == 2 * 4 and all(saved[name].any() for name in adapters)  # two layers, four matrices
    losses = [loss_on_data(folder, work_dir / "data/train.mindrecord") for folder in (base, run / "hf")]
    assert losses[1] < losses[0] - 0.3
    bare = sft("convert-weight", "--model", "qwen3", "--reversed", "--input_path", file, "--config_path", base,
               "--output_path", tmp_path / "bare")  # fmt: skip
    assert bare.returncode == 2 and "--lora_scaling" in bare.stderr


def numbers(file):
    """The floats of a safetensors file, as float32."""
    data, found = file.read_bytes(), {}
    for entry in load_header(file):
        part = data[entry.offset : entry.offset + entry.nbytes]
        if entry.dtype in SOURCE_TYPES:
            floats = cast_values(memoryview(part), SOURCE_TYPES[entry.dtype], "Float32")
            found[entry.name] = np.frombuffer(floats, "<f4").reshape(entry.shape)
    return found


def loss_on_data(folder, mindrecord, rows=30):
    """Of each trained token of the first rows alike, by a plain forward pass."""
    from mindspore.mindrecord import FileReader

    spec = importlib.util.spec_from_file_location("decoder_reference", REFERENCE)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reader = FileReader(str(mindrecord))
    data = [row for row, _ in zip(reader.get_next(), range(rows))]
    reader.close()
    return float(
        np.concatenate(
            [reference.token_losses(folder, np.array(row["input_ids"]), np.array(row["labels"])) for row in data]
        ).mean()
    )
