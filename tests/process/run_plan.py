"""`sft-tui run` for the plan in a file: PLAN_FILE [--detach]. Only the look at model, data and machine is left out."""

import sys
from pathlib import Path

from sft_tui.cli import run_command
from sft_tui.commands import run
from sft_tui.core.plan import Plan

if __name__ == "__main__":
    plan = Plan.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    run.plan_of = lambda name, **_how: (plan, ())
    sys.exit(run_command(["run", plan.profile, *sys.argv[2:]]))
