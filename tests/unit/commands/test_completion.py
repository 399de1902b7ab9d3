"""Shells complete our commands: each is started for real, and asked; zsh through a terminal, as it has to be."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

from sft_tui.cli import build_parser
from sft_tui.commands.completion import FILES, FOLDERS, find_actions

pytest.importorskip("shtab", reason="needs shtab: pip install sft-tui")

JOBS = ["attach", "list", "log", "metrics", "rm", "show", "stop", "wait"]
CASES = [
    ("sft-tui jo", ["jobs"]),
    ("sft-tui jobs ", JOBS),
    ("sft-tui jobs st", ["stop"]),
    ("sft-tui completion ", ["bash", "fish", "zsh"]),
    ("sft-tui convert-weight --dtype ", ["bf16", "fp16", "fp32", "keep"]),
    ("sft-tui convert-alpaca --data_path al", ["alpaca.json"]),
    ("sft-tui inspect mo", ["model"]),
]
BASH = """
source ./script
COMP_WORDS=($1)
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
function=$(complete -p sft-tui | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "source ./script; complete -C $argv[1] | string split -f1 \\t"


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a file and a folder to be completed."""
    (tmp_path / "alpaca.json").touch()
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_script(shell):
    result = subprocess.run(
        [sys.executable, "-m", "sft_tui", "completion", shell], capture_output=True, text=True, check=True
    )
    with open("script", "w", encoding="utf-8") as file:
        file.write(result.stdout)


def offered(argv):
    lines = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stdout.splitlines()
    return sorted(line.rstrip("/") for line in lines)


@needs("bash")
def test_bash_completes(folder):
    write_script("bash")
    for line, expected in CASES:
        assert offered(["bash", "--norc", "-c", BASH, "bash", line]) == expected, line


@needs("fish")
def test_fish_completes(folder):
    write_script("fish")
    for line, expected in CASES:
        assert offered(["fish", "--no-config", "-c", FISH, line]) == expected, line


@needs("zsh")
def test_zsh_completes(folder):
    write_script("zsh")
    shell, terminal = pty.fork()
    if shell == 0:
        os.environ.update(TERM="dumb", PS1="> ")
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        type_and_read(
            terminal, 'autoload -U compinit; compinit -D -u; eval "$(<./script)"; echo is-"ready"\n', "is-ready"
        )
        assert type_and_read(terminal, "sft-tui jo\t", "jobs ")
        told = type_and_read(terminal, "\t", "Wait for a job")
        assert [name for name in JOBS if f"{name} " not in told] == []
    finally:
        os.close(terminal)
        os.waitpid(shell, 0)


def type_and_read(terminal, keys, until):
    """What the terminal shows, up to the words that are waited for."""
    os.write(terminal, keys.encode())
    shown, end = "", time.monotonic() + 30
    while until not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


def test_what_names_a_path_is_an_argument():
    named = {action.dest for action in find_actions(build_parser())}
    assert (FILES | FOLDERS) - named == set()


def test_another_shell_is_refused(sft):
    result = sft("completion", "tcsh")
    assert result.returncode == 2
    assert "invalid choice: 'tcsh'" in result.stderr
