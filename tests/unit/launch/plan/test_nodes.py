"""A plan for several nodes: what the head runs, and what each node runs."""

from sft_tui.core.nodes import parse_hosts
from sft_tui.launch.plan.nodes import launches
from sft_tui.launch.plan.steps import build_plan

HOSTS = [*parse_hosts("n0*2"), {"host": "n1", "local_worker_num": 2, "python": "/their/bin/python", "work_dir": "/v"}]


def test_each_node_gets_its_own_msrun_and_the_head_follows_them(make_profile, make_facts):
    plan = build_plan(make_profile(nodes__hosts=HOSTS, nodes__master_port=8200), make_facts())
    train = plan.step("train")
    assert train.argv == ("/own/sft-tui", "_run_nodes", "/w/runs/run1/train.nodes.json")
    assert (train.workers, train.devices, train.graceful_exit) == (4, (), "")
    assert plan.stop_grace_seconds > 30
    # on CPU the evaluation stays on the head
    assert plan.step("evaluate-after").argv[0] == "/env/bin/python"
    [launch] = launches(plan)
    first, second = (part.plan.steps[0] for part in launch.parts)
    assert first.argv[:9] == (
        "/env/bin/msrun", "--worker_num=4", "--local_worker_num=2", "--master_addr=n0", "--master_port=8200",
        "--node_rank=0", "--log_dir=/w/runs/run1/msrun_log/train/node_0", "--join=True", "--cluster_time_out=600",
    )  # fmt: skip
    assert (second.argv[0], second.argv[5]) == ("/their/bin/msrun", "--node_rank=1")
    assert second.training_log == "/v/runs/run1/msrun_log/train/node_1/worker_3.log"
    assert (second.cwd, second.search_paths["PATH"]) == ("/v/runs/run1", "/their/bin")
    [config] = launch.parts[1].plan.files
    assert config.path == "/v/runs/run1/train.yaml" and "/v/data/train.mindrecord" in config.text
    assert "/w/" not in config.text and "data_parallel: 4" in config.text
    assert launch.inputs == ("/w/weights/llama.ckpt", "/w/data/train.mindrecord")
    assert launch.path_on(launch.parts[1], "/w/weights/llama.ckpt") == "/v/weights/llama.ckpt"
    assert launch.parts[1].plan.stop_grace_seconds == 30


def test_npus_hold_slices_so_every_node_evaluates_too(make_profile, make_facts):
    profile = make_profile(nodes__hosts=HOSTS, environment__device_target="Ascend")
    plan = build_plan(profile, make_facts(visible_npus=(4, 5)))
    assert [launch.step for launch in launches(plan)] == ["evaluate-before", "train", "evaluate-after"]
    assert launches(plan)[0].parts[1].plan.steps[0].devices == ("npu:0", "npu:1")


def test_without_nodes_nothing_is_spread(make_profile, make_facts):
    assert launches(build_plan(make_profile(nodes__worker_num=2), make_facts())) == []
