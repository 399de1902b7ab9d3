"""Commands and YAML for the tree of each MindFormers version, line by line as they were read and found right.

`SFT_TUI_WRITE_GOLDEN=1 pytest tests/unit/launch/test_goldens.py` writes them anew: read the diff then.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path

import pytest

from sft_tui.launch.plan.steps import build_plan
from sft_tui.stack.probe import source_version
from sft_tui.stack.releases import find_release

GOLDEN = Path(__file__).parents[2] / "golden" / "launch"
COMMON = ("run_mindformer.py", "convert_weight.py", "scripts/msrun_launcher.sh", "mindformers/__init__.py")
# version -> file names of its source tree, as far as they matter
TREES = {
    "1.2.0": (*COMMON, "configs/llama2/finetune_llama2_7b.yaml", "mindformers/tools/dataset_preprocess/llama/x.py"),
    "1.3.2": (*COMMON, "configs/llama2/finetune_llama2_7b.yaml", "research/llama3/finetune_llama3_70b.yaml"),
    "1.6.0": (*COMMON, "configs/qwen3/predict_qwen3.yaml", "toolkit/x.py"),
    "1.7.0": (*COMMON, "configs/qwen3/finetune_qwen3.yaml", "toolkit/x.py"),
    "1.9.0": (*COMMON, "configs/qwen3/finetune_qwen3.yaml", "configs/telechat3/x.yaml", "toolkit/x.py"),
}
NPUS = {"environment__device_target": "Ascend", "nodes__worker_num": 8}
CASES = {
    "eight NPUs, data parallel": NPUS,
    "eight NPUs, 2 x 2 x 2, LoRA, sink mode": {
        **NPUS, "training__model_parallel": 2, "training__pipeline_stage": 2, "training__micro_batch_num": 4,
        "training__method": "lora", "training__sink_size": 2,
    },
    "one NPU": {"environment__device_target": "Ascend"},
    "one worker on CPU": {},
}  # fmt: skip


def write(make_profile, make_facts, home, version):
    for name in TREES[version]:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    (home / "mindformers" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    found = source_version(home)
    lines = []
    for case, changes in CASES.items():
        facts = make_facts(found, mindformers_home=str(home), run_mindformer=str(home / "run_mindformer.py"))
        release = find_release(found)
        if changes.get("environment__device_target") is None and not release.cpu:
            continue
        facts = dataclasses.replace(facts, train_records=950, eval_records=50)
        plan = build_plan(make_profile(**changes), facts)
        lines += [f"# {case}", f"$ {shlex.join(plan.step('train').argv)}"]
        lines += [f"$ {shlex.join(plan.step('evaluate-after').argv)}"]
        lines += [f"{name}={value}" for name, value in plan.step("train").search_paths.items()]
        lines += [next(file.text for file in plan.files if file.path.endswith("/train.yaml"))]
    return "\n".join(lines).replace(str(home), "/mindformers")


@pytest.mark.parametrize("version", TREES)
def test_commands_and_yaml(make_profile, make_facts, tmp_path, version):
    text = write(make_profile, make_facts, tmp_path / "home", version)
    golden = GOLDEN / f"mindformers-{version}.txt"
    if os.environ.get("SFT_TUI_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


DIRECT_CASES = {
    "eight NPUs, 4 x 2": {**NPUS, "training__model_parallel": 2},
    "two workers on CPU": {"nodes__worker_num": 2},
}


@pytest.mark.parametrize("version", ["1.7.0", "1.9.0"])
def test_commands_and_yaml_of_the_direct_route(make_profile, make_direct_facts, version):
    lines = []
    for case, changes in DIRECT_CASES.items():
        plan = build_plan(make_profile(model__family="qwen3", **changes), make_direct_facts(version))
        lines += [f"# {case}", *(f"$ {shlex.join(step.argv)}" for step in plan.steps if not step.not_needed)]
        wanted = ("/train.yaml", "/evaluate-after.yaml")
        lines += [f"## {file.path}\n{file.text}" for file in plan.files if file.path.endswith(wanted)]
    text, golden = "\n".join(lines), GOLDEN / f"direct-{version}.txt"
    if os.environ.get("SFT_TUI_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_versions_differ_only_where_they_have_to():
    direct = [set((GOLDEN / f"direct-{version}.txt").read_text().splitlines()) for version in ("1.7.0", "1.9.0")]
    assert direct[1] - direct[0] == {"    fp32_residual_connection: True"}
    assert direct[0] - direct[1] == {'    residual_dtype: "float32"'}
    texts = {version: (GOLDEN / f"mindformers-{version}.txt").read_text().splitlines() for version in TREES}
    new = set(texts["1.7.0"]) - set(texts["1.2.0"])
    assert {"  betas:", "  type: AdamW", "use_graceful_exit: true"} <= new
    assert texts["1.6.0"] == texts["1.7.0"] == texts["1.9.0"]
