"""How long a look at a profile takes: after an edit against the first look, and a plan for 64 nodes against one.

    python -m tests.benchmarks.examine

Prints seconds of processor time, ratios, and the limits that were set. A Llama of a few tensors with 2,000 records is
made for it, and where MindFormers' own YAML of Qwen3 is installed the same on the direct route.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
RECORDS = 2_000
LENGTH = 256
LIMITS = {"learning rate": 0.05, "template": 0.3, "seq_length": 0.3}


def seconds(work: Callable[[], Any], times: int = 1) -> float:
    """The fewest of several tries, by processor time: other programs count less."""
    best = float("inf")
    for _ in range(times):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


def write_data(path: Path) -> Path:
    records = [
        {"instruction": f"Say {n}.", "input": "" if n % 3 else f"number {n}", "output": f"It is {n}."}
        for n in range(RECORDS)
    ]
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def write_model(folder: Path) -> Path:
    subprocess.run([sys.executable, GOLDEN / "make_hf_llama.py", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / "tokenizer.model").write_bytes((GOLDEN / "tokenizer.model").read_bytes())
    return folder


def write_qwen3(folder: Path) -> Path:
    from sft_tui.demo.toy_qwen3 import write_toy_qwen3

    write_toy_qwen3(folder)
    return folder


def profile_of(folder: Path, model: Path, family: str, **changes: dict[str, Any]) -> Any:
    from sft_tui.core.profile import Profile

    data: dict[str, dict[str, Any]] = {
        "environment": {"python": sys.executable, "device_target": "CPU", "work_dir": str(folder / "work")},
        "model": {"hf_dir": str(model), "family": family},
        "dataset": {"train_path": str(folder / "data.json"), "seq_length": LENGTH},
        "training": {},
        "nodes": {},
    }
    for section, fields in changes.items():
        data[section].update(fields)
    return Profile.model_validate({"name": "bench", **data})


def look(title: str, folder: Path, model: Path, family: str) -> list[str]:
    """Seconds of the first look at a profile, and after edits of one field."""
    from sft_tui.checks.examine import examine

    begun = time.process_time()
    first = examine(profile_of(folder, model, family))
    spent = time.process_time() - begun
    if first.plan is None:
        return [f"{title}: no plan: {'; '.join(p.message for p in first.errors)}"]
    lines = [f"{title}: first look {spent:.3f} s"]
    examine(profile_of(folder, model, family, training={"learning_rate": 9e-5}))

    def edit(section: str, field: str, values: Iterator[Any]) -> Callable[[], Any]:
        return lambda: examine(profile_of(folder, model, family, **{section: {field: next(values)}}))

    edits = {
        "nothing": lambda: examine(profile_of(folder, model, family)),
        "learning rate": edit("training", "learning_rate", (n * 1e-6 for n in range(1, 100))),
        "seq_length": edit("dataset", "seq_length", iter(range(LENGTH + 1, LENGTH + 100))),
    }
    if family == "llama":
        names = ("vicuna_v1.1", "llama-2", "alpaca", "zero_shot", "one_shot", "koala_v1")
        edits["template"] = edit("dataset", "template", iter(names[1:]))
    for name, work in edits.items():
        took = seconds(work, 4)
        limit = LIMITS.get(name)
        against = f", limit {limit} s: {took / limit:.2f}" if limit else ""
        lines.append(f"  edit of {name}: {took:.4f} s, {took / spent:.3f} of the first look{against}")
    return lines


def nodes(folder: Path, model: Path) -> list[str]:
    """build_plan for 1 and 64 nodes, in the head's working folder and in one of each node's own."""
    from sft_tui.checks.examine import examine
    from sft_tui.launch.plan.steps import build_plan

    one = profile_of(folder, model, "llama", environment={"device_target": "Ascend"}, nodes={"worker_num": 8})
    found = examine(profile_of(folder, model, "llama"))
    assert found.facts is not None
    facts = dataclasses.replace(found.facts, train_records=100_000, eval_records=5_000)
    build_plan(one, facts)
    alone = seconds(lambda: build_plan(one, facts), 7)
    lines = [f"build_plan: 1 node {alone:.4f} s, YAML kept"]
    for how, own in (("the same working folder", False), ("a working folder each", True)):
        hosts = [
            {"host": f"node{n}", "local_worker_num": 8, **({"work_dir": f"/data{n}/w"} if own else {})}
            for n in range(64)
        ]
        many = profile_of(folder, model, "llama", environment={"device_target": "Ascend"}, nodes={"hosts": hosts})
        took = seconds(lambda many=many: build_plan(many, facts), 7)  # type: ignore[misc]
        lines.append(f"build_plan: 64 nodes, {how}: {took:.4f} s")
    # from nothing: no section of the YAML is kept
    fewest = {count: min(_plan_in_new_process(folder, model, count) for _ in range(5)) for count in (1, 64)}
    lines += [f"build_plan: {count} nodes, in a new process: {took:.4f} s" for count, took in fewest.items()]
    lines.append(f"build_plan: 64 nodes against 1 in a new process: {fewest[64] / fewest[1]:.2f}, limit 1.5")
    return lines


def _plan_in_new_process(folder: Path, model: Path, count: int) -> float:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.benchmarks import examine as bench
from sft_tui.checks.examine import examine
from sft_tui.launch.plan.steps import build_plan
folder, model = Path({str(folder)!r}), Path({str(model)!r})
facts = examine(bench.profile_of(folder, model, "llama", environment={{"work_dir": "/nowhere"}})).facts
hosts = [{{"host": f"node{{n}}", "local_worker_num": 8}} for n in range({count})]
profile = bench.profile_of(folder, model, "llama", environment={{"device_target": "Ascend"}}, nodes={{"hosts": hosts}})
begun = time.process_time()
build_plan(profile, facts)
print(time.process_time() - begun)
"""
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Make the inputs, look, print."""
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SFT_TUI_HOME"] = str(folder / "home")
        write_data(folder / "data.json")
        llama = write_model(folder / "llama")
        for line in look("Llama, YAML built", folder, llama, "llama"):
            print(line)
        for line in look("Qwen3, MindFormers' YAML", folder, write_qwen3(folder / "qwen3"), "qwen3"):
            print(line)
        for line in nodes(folder, llama):
            print(line)


if __name__ == "__main__":
    main()
