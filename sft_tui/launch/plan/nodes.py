"""Spreads the distributed steps of a plan over the nodes of a profile. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from sft_tui.core.facts import Facts
from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Plan, PlannedFile, Step
from sft_tui.core.profile import Profile

ON_NODES = ("evaluate-before", "train", "evaluate-after")  # the steps that a node may have a part of
PASS_ON_SECONDS = 20.0  # more than the nodes have to end in: the head waits for their word


@dataclass(frozen=True)
class NodeSteps:
    """The distributed steps as one node runs them, by the id of the head's step, and the files that they read."""

    steps: dict[str, Step]
    files: tuple[PlannedFile, ...]


def profile_on(profile: Profile, node: Node) -> Profile:
    """The profile as it is on that node: its interpreter, its working folder."""
    changes = {k: v for k, v in (("python", node.python), ("work_dir", node.work_dir)) if v}
    if not changes:
        return profile
    return profile.model_copy(update={"environment": profile.environment.model_copy(update=changes)})


def facts_on(facts: Facts, node: Node) -> Facts:
    """The facts as they are on that node, as far as its interpreter tells; which NPUs it shows is its own matter."""
    environment = facts.environment
    if node.python:
        msrun = str(PurePosixPath(node.python).parent / "msrun")
        environment = replace(environment, python=node.python, msrun=msrun)
    return replace(facts, environment=environment, visible_npus=())


def spread(plan: Plan, profile: Profile, facts: Facts, on_nodes: list[NodeSteps]) -> Plan:
    """The plan of the head: each distributed step becomes one that starts it on all nodes and follows them.

    `on_nodes` are the parts of the nodes in the order of node_rank.
    """
    steps, files = list[Step](), {file.path: file for file in plan.files}
    for step in plan.steps:
        if step.argv[0] != facts.environment.msrun or step.not_needed:
            steps.append(step)
            continue
        launch = _launch(step, profile, facts, on_nodes)
        path = f"{step.cwd}/{step.id}.nodes.json"
        files[path] = PlannedFile(path=path, text=launch.model_dump_json(indent=1) + "\n")
        steps.append(_head_step(step, profile, facts, path))
    grace = plan.stop_grace_seconds + PASS_ON_SECONDS
    return plan.model_copy(update={"steps": tuple(steps), "files": tuple(files.values()), "stop_grace_seconds": grace})


def _head_step(step: Step, profile: Profile, facts: Facts, path: str) -> Step:
    # the parts use the devices, save on request, and prove what every rank has loaded
    here = tuple(o for o in step.outputs if o.kind in ("checkpoint_folder", "perplexity"))
    changes = {
        "argv": (*facts.own_command, "_run_nodes", path),
        "inputs": (path, *step.inputs),
        "outputs": here,
        "training_log": "",
        "devices": (),
        "graceful_exit": "",
        "least_grace": PASS_ON_SECONDS,
        "workers": profile.nodes.worker_num,
    }
    return step.model_copy(update=changes)


def _launch(step: Step, profile: Profile, facts: Facts, on_nodes: list[NodeSteps]) -> Launch:
    parts = []
    for rank, (node, theirs) in enumerate(zip(profile.nodes.hosts, on_nodes)):
        own = theirs.steps[step.id]
        config = tuple(file for file in theirs.files if file.path in own.inputs)
        work_dir = _normal(node.work_dir or profile.environment.work_dir)
        grace = profile.training.stop_grace_seconds
        part = Plan(profile=profile.name, stop_grace_seconds=grace, steps=(own,), files=config)
        python = node.python or facts.environment.python
        parts.append(NodePart(rank=rank, node=node, python=python, work_dir=work_dir, plan=part))
    configs = {file.path for node in on_nodes for file in node.files}
    return Launch(
        step=step.id,
        master_addr=profile.nodes.master,
        master_port=profile.nodes.master_port,
        worker_num=profile.nodes.worker_num,
        device=profile.environment.device_target,
        package_dir=facts.package_dir,
        python=facts.environment.python,
        mindformers_home=facts.environment.mindformers_home,
        work_dir=_normal(profile.environment.work_dir),
        inputs=tuple(path for path in step.inputs if path not in configs),
        parts=tuple(parts),
    )


def _normal(path: str) -> str:
    return str(PurePosixPath(path))


def launches(plan: Plan) -> list[Launch]:
    """What a plan starts on nodes; empty where it stays on this host."""
    files = {file.path: file.text for file in plan.files}
    return [Launch.model_validate_json(files[s.argv[-1]]) for s in plan.steps if "_run_nodes" in s.argv]
