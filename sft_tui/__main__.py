"""Entry point: `sft-tui`, `python -m sft_tui`, and `python /path/to/sft_tui` under any interpreter.

`python /path/to/sft_tui ...` works under any interpreter: this file makes the package importable from its folder. So
`preprocess`, which needs MindSpore, runs under the training interpreter with nothing of ours installed there, and the
supervisor starts from a checkout as from a wheel. Therefore `cli`, `core` (but for profiles, plan and job),
`checkpoint`, `dataset`, `families`, `files` and `launch` import on Python 3.9 without textual, rich and pydantic.
"""

from __future__ import annotations

import sys


def _make_importable() -> None:
    """Run as a folder, Python puts the package's inside on sys.path: put the package itself there instead."""
    import importlib.util
    from pathlib import Path

    package = Path(__file__).resolve().parent
    if sys.path and Path(sys.path[0]).resolve() == package:
        sys.path.pop(0)
    spec = importlib.util.spec_from_file_location(
        "sft_tui", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sft_tui"] = module
    spec.loader.exec_module(module)


def main() -> int:
    """Run the command line; the supervisor of a job starts here too, without loading the rest."""
    if sys.argv[1:2] == ["_supervise"]:
        from sft_tui.jobs.supervisor import supervise_command

        return supervise_command(sys.argv[2:])
    if sys.argv[1:2] == ["_node"]:
        from sft_tui.cluster.node_agent import node_command

        return node_command(sys.argv[2:])
    if sys.argv[1:2] == ["_run_nodes"]:
        from sft_tui.cluster.node_job import run_nodes_command

        return run_nodes_command(sys.argv[2:])
    from sft_tui.cli import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    if not __package__:
        _make_importable()
    sys.exit(main())
