from __future__ import annotations

import shlex

from sft_tui.core.plan import Step
from sft_tui.launch.plan.documented import documented_command
from sft_tui.launch.plan.steps import build_plan


def step(*argv):
    return Step(id="train", title="Train", argv=argv, cwd="/w")


def test_one_worker_is_python(make_profile, make_facts):
    plan = build_plan(make_profile(), make_facts())
    assert documented_command(plan.step("train")).startswith(
        "python run_mindformer.py --config /w/runs/run1/train.yaml"
    )
    assert "--run_mode eval" in documented_command(plan.step("evaluate-before"))
    assert documented_command(plan.step("convert-weight")) == ""
    assert documented_command(plan.step("preprocess-train")) == ""


def test_what_mindformers_does_not_have_is_no_documented_command(make_profile, make_direct_facts):
    plan = build_plan(make_profile(model__family="qwen3"), make_direct_facts())
    assert documented_command(plan.step("evaluate-before")) == documented_command(plan.step("export")) == ""
    assert "--run_mode finetune" in documented_command(plan.step("train"))


def test_several_workers_are_the_launcher(make_profile, make_facts):
    plan = build_plan(make_profile(nodes__worker_num=8), make_facts())
    words = shlex.split(documented_command(plan.step("train")))
    assert words[:2] == ["bash", "scripts/msrun_launcher.sh"] and words[3:] == ["8"]
    assert words[2].startswith("run_mindformer.py --config /w/runs/run1/train.yaml --run_mode finetune")


def test_several_nodes_take_nine_arguments_and_names_stay_quoted():
    argv = (
        "/p/msrun", "--worker_num=16", "--local_worker_num=8", "--master_addr=10.0.0.1", "--master_port=8118",
        "--node_rank=1", "--log_dir=/w/a b", "--join=True", "--cluster_time_out=7200", "/m/run_mindformer.py",
        "--config", "/w/$(x) 'y'.yaml", "--run_mode", "finetune",
    )  # fmt: skip
    words = shlex.split(documented_command(step(*argv)))
    assert words[3:] == ["16", "8", "10.0.0.1", "8118", "1", "/w/a b", "True", "7200"]
    assert shlex.split(words[2])[1:3] == ["--config", "/w/$(x) 'y'.yaml"]
