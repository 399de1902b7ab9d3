"""How each screen looks: SVG snapshots of a session in which nothing depends on the machine or the time."""

import time
from pathlib import Path

import pytest

from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.checks.environment_and_data import needed_bytes
from sft_tui.checks.examine import Findings
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.job import Event, JobState, StepState
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.problem import Problem
from sft_tui.dataset.audit.report import MaskedExample, Tally
from sft_tui.dataset.read.inspect import DataReport
from sft_tui.launch.plan.steps import build_plan
from sft_tui.launch.yaml.workload import plan_workload
from sft_tui.metrics.alerts import WatchOut
from sft_tui.metrics.points import Mark, MetricPoint
from sft_tui.monitor.host import HostLoad
from sft_tui.results.finished_runs import FinishedRun
from sft_tui.results.summary import RunSummary
from sft_tui.stack.releases import find_release
from sft_tui.store.job_store import JobFolder
from sft_tui.tui import app as wizard_app
from sft_tui.tui import background, bridge
from sft_tui.tui.app import SftApp
from sft_tui.tui.job_view import JobView
from sft_tui.tui.session import WIZARD_STEPS
from sft_tui.tui.text import job_text

NOW = 1_000_000.0
ENVIRONMENT = EnvironmentFacts(
    python="/opt/train/bin/python",
    python_version="3.11.9",
    packages={"mindspore": "2.7.2", "mindformers": "1.7.0"},
    mindformers_version="1.7.0",
    msrun="/opt/train/bin/msrun",
    cann="8.2.RC1",
    driver="25.2.0",
    npu_smi="/usr/local/bin/npu-smi",
    release=find_release("1.7.0"),
)
MODEL = ModelConfig(
    family="llama", hidden_size=4096, num_layers=32, num_heads=32, num_kv_heads=32, intermediate_size=11008,
    vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None,
    tied=False, torch_dtype="float16", bos_token_id=1, eos_token_id=2, pad_token_id=None,
    architectures=("LlamaForCausalLM",),
)  # fmt: skip


def _findings(profile):
    checkpoint = CheckpointReport(
        Path("/data/models/Llama-2-7b-hf"),
        config=MODEL,
        parameters=6_738_415_616,
        dtype="fp16",
        shards=2,
        total_bytes=13_476_831_232,
        shapes_agree=True,
        output_sizes={"fp32": 26_953_662_464},
    )
    train = DataReport(
        "/data/alpaca.parquet", 24_500_000, 52_002, 20_679, 0, 0, (),
        "alpaca records, Parquet, columns guessed: instruction=prompt, output=response",
    )  # fmt: skip
    sample = _sample(profile.dataset.seq_length)
    facts = Facts(
        own_command=("sft-tui",),
        training_command=("/opt/train/bin/python", "/opt/sft_tui"),
        package_dir="/opt/sft_tui",
        environment=ENVIRONMENT,
        model=MODEL,
        tokenizer_model="/data/models/Llama-2-7b-hf/tokenizer.model",
        train_records=49_402,
        eval_records=2_600,
    )
    bad = profile.name == "bad"
    problems = (Problem("model.hf_dir", "/data/models does not exist.", "Choose the folder."),) if bad else ()
    plan = None if bad else build_plan(profile, facts)
    workload = plan_workload(profile, facts)
    needed = needed_bytes(profile, checkpoint, train)
    return Findings(
        problems,
        ENVIRONMENT,
        checkpoint,
        train,
        None,
        32000,
        facts,
        plan,
        sample=sample,
        workload=workload,
        needed_bytes=needed,
    )


def _sample(seq_length):
    tally = Tally(seq_length + 1)
    for number in range(200):
        tally.add_row(90 + 7 * number, 40, 31_999)
    tally.cut = 3
    tally.mask("empty_answer", MaskedExample("17", "the answer is empty", 96))
    return tally.report("/data/alpaca.parquet", "conversations", seq_length)


def _look_at(profile):
    summary = RunSummary("/data/sft/runs/run1", "/data/sft/runs/run1/final.ckpt", 32, 10.392, 5.671, 31.7, 18.2)
    runs = (FinishedRun("run1", NOW, summary),)
    return bridge.ProfileExamined(profile, _findings(profile), frozenset({"inspect", "convert-weight"}), runs, None)


def _job():
    titles = ("Inspect the model folder", "Convert weights", "Convert alpaca data", "Fine-tune", "Evaluate after")
    ids = ("inspect", "convert-weight", "convert-alpaca", "train", "evaluate-after")
    status = ("done", "done", "done", "running", "todo")
    steps = tuple(
        StepState(
            id=i, title=t, status=s, started_at=None if s == "todo" else NOW - 100,
            ended_at=NOW - 90 if s == "done" else None,
        )
        for i, t, s in zip(ids, titles, status)
    )  # fmt: skip
    view = JobView(JobFolder(Path("/data/state/jobs/7-demo")))
    state = JobState(id="7-demo", profile="demo", lifecycle="running", submitted_at=NOW - 200, steps=steps)
    rows = [MetricPoint(n, 96, 10.4 - n / 12 + n % 3 / 4, 390, 1e-4, 1.2, 65536.0, at=NOW) for n in range(1, 49)]
    marks = [Mark("evaluation", 0, NOW, 10.392, 32_600.0), Mark("checkpoint", 24, NOW)]
    sign = WatchOut("slow", NOW, "steps take 31 % longer than usual (step 48)", "Look at the host's load.")
    event = Event(kind="watch_out", time=NOW, step="train", data=sign.as_data())
    view.take(state, (event,), (*rows, *marks))
    view.take_log("train", "/data/sft/runs/run1/log/train/worker_0.log", tuple(f"line {n}" for n in range(1, 60)))
    return view


@pytest.fixture
def fixed_app(profile, monkeypatch):
    """The wizard on a machine that is always the same."""

    def make(name):
        profile(
            name,
            rehearsal=name == "demo",
            environment__python="/opt/train/bin/python",
            environment__device_target="Ascend",
            environment__work_dir="/data/sft",
            model__hf_dir="/data/models/Llama-2-7b-hf",
            dataset__train_path="/data/alpaca.parquet",
            training__epochs="many" if name == "bad" else 1,
        )
        monkeypatch.setattr(background, "look_at", _look_at)
        monkeypatch.setattr(wizard_app, "find_job", lambda name: None)
        monkeypatch.setattr(job_text.time, "time", lambda: NOW)
        load = HostLoad(42.0, 3.5, 192, 210_000_000_000, 1_500_000_000_000, 3_200_000_000_000)
        monkeypatch.setattr(bridge, "sample", lambda disk: bridge.HostSampled(load))
        monkeypatch.setattr(background, "EXAMINE_DELAY", 0.05)
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        app = SftApp(name)
        app.CURSOR_BLINK = False
        return app

    return make


CASES = [
    *((step.key, "demo", (80, 24)) for step in WIZARD_STEPS),
    ("f2", "bad", (80, 24)),
    ("f7", "bad", (80, 24)),
    ("f12", "demo", (80, 24)),
    ("f4", "demo", (160, 50)),
    ("f5", "demo", (80, 90)),
    ("f7", "demo", (160, 50)),
    ("f8", "demo", (160, 50)),
]


@pytest.mark.parametrize(("key", "name", "size"), CASES, ids=[f"{k}-{n}-{w}x{h}" for k, n, (w, h) in CASES])
def test_looks(snap_compare, fixed_app, key, name, size):
    app = fixed_app(name)

    async def ready(pilot):
        deadline = time.monotonic() + 20
        while app.session.findings is None or app.session.examining or app.session.host is None:
            assert time.monotonic() < deadline, "the machine was not looked at"
            await pilot.pause(0.02)
        if name == "demo" and key == "f8":
            app.session.job = _job()
        await pilot.press(key)
        await pilot.pause()
        for blinking in app.screen.query("Input"):
            blinking.cursor_blink = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=ready)
