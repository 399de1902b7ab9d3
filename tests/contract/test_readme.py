"""The README tells the truth about its own commands."""

import re
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_pictures_are_there():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert pictures
    assert [p for p in pictures if not (ROOT / unquote(p)).is_file()] == []


def test_every_command_of_the_program_is_told():
    from sft_tui.cli import build_parser

    groups = [a for a in build_parser()._actions if a.dest == "==SUPPRESS==" and a.choices]
    names = [name for group in groups for name in group.choices]
    assert names
    assert [n for n in names if f"sft-tui {n}" not in README] == []


def test_ci_runs_the_test_command_of_the_readme():
    found = re.search(r"<!-- test command -->\n```bash\n(.+?)\n```", README, re.DOTALL)
    assert found and "python -m pytest" in found[1]
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
