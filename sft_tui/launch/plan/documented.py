"""Gives the command of the MindFormers documentation that does what a step does."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from sft_tui.core.plan import Step

_LAUNCHER = "scripts/msrun_launcher.sh"
_SCRIPT = "run_mindformer.py"
# msrun_launcher.sh takes these by their place: two of them for one node, all for several
_ONE_NODE = ("worker_num",)
_SEVERAL_NODES = (
    "worker_num", "local_worker_num", "master_addr", "master_port", "node_rank", "log_dir", "join", "cluster_time_out",
)  # fmt: skip


def documented_command(step: Step) -> str:
    """What the documentation of MindFormers would have one type in its source folder; "" for other steps.

    For networks of ours it has none.
    """
    argv = list(step.whole_argv)
    program = PurePosixPath(argv[0]).name if argv else ""
    place = next((n for n, word in enumerate(argv) if PurePosixPath(word).name in ("runner.py", _SCRIPT)), -1)
    if place < 0 or step.own_network or "--run_mode" not in argv or argv[argv.index("--run_mode") + 1] == "held_out":
        return ""  # held_out is a mode of ours
    script = shlex.join([_SCRIPT, *argv[place + 1 :]])
    if program != "msrun":
        return f"python {script}"
    flags = dict(word[2:].split("=", 1) for word in argv[1:place] if word.startswith("--") and "=" in word)
    several = flags.get("local_worker_num", flags.get("worker_num")) != flags.get("worker_num")
    wanted = _SEVERAL_NODES if several else _ONE_NODE
    return shlex.join(["bash", _LAUNCHER, script, *(flags.get(name, "") for name in wanted)])
