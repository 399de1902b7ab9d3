"""Nothing that a command prints acts on the terminal, whatever names and values hold."""

import io
import json
import sys

import pytest

from sft_tui.commands._common.gated_console import GatedConsole
from sft_tui.commands._common.output_gate import beside_gate, gated_output
from sft_tui.paths import profiles_dir
from sft_tui.store.profile_store import new_profile_data, save_profile_data
from tests import terminal_payloads

NAME = f"x{terminal_payloads.FILE_NAME}"
LINES = [
    ("inspect", "{folder}"),
    ("inspect", "{folder}", "--json"),
    ("convert-weight", "--model", "llama", "--input_path", "{folder}", "--output_path", "{folder}/o.ckpt"),
    ("convert-alpaca", "--data_path", "{folder}/data.json", "--output_path", "{folder}/c.json"),
    ("preprocess", "--dataset_type", "qa", "--input_glob", "{folder}/*", "--model_file", "{folder}/t.model",
     "--seq_length", "64", "--output_file", "{folder}/o.mindrecord"),
    ("audit", "{folder}/data.json", "--model_file", "{folder}/t.model", "--seq_length", "64"),
    ("audit", "{folder}/data.json", "--model_file", "{folder}/t.model", "--seq_length", "64", "--json"),
    ("diagnose", "{folder}"),
    ("diagnose", "{folder}", "--json"),
    ("profile", "show", "first"),
    ("profile", "show", "first", "--json"),
    ("profile", "validate", "first"),
    ("profile", "validate", "first", "--json"),
    ("profile", "new", NAME),
    ("plan", "first"),
    ("plan", "first", "--json"),
    ("plan", NAME),
    ("run", "first"),
    ("jobs", "show", NAME),
    ("jobs", "list"),
    ("no such command " + NAME,),
    ("plan", "first", NAME),
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(part for part in line if part.isascii())[:40])
def test_no_command_sends_it_to_the_terminal(sft, tmp_path, line):
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": NAME, "architectures": [NAME]}))
    (folder / "data.json").write_text(json.dumps([{NAME: 1, "instruction": NAME}]))
    (folder / f"worker_0{NAME}.log").write_text(f"RuntimeError: {terminal_payloads.ALL}\nTraceback\n")
    data = new_profile_data("first")
    data["model"]["hf_dir"] = data["dataset"]["train_path"] = str(folder)
    data["training"]["run_name"] = NAME
    data["nodes"]["hosts"] = [{"host": NAME}]
    save_profile_data(profiles_dir(), "first", data)
    result = sft(*(part.replace("{folder}", str(folder)) for part in line))
    for text in (result.stdout, result.stderr):
        assert terminal_payloads.found_in(text.encode(errors="backslashreplace")) == []
        assert "\x1b" not in text
    if "--json" in line:
        json.loads(result.stdout)


def test_a_plain_print_goes_through_the_gate(capsys):
    with gated_output():
        print(terminal_payloads.ALL)
        print(terminal_payloads.ALL, file=sys.stderr)
        sys.stdout.writelines([terminal_payloads.ALL])
        print("\r\x1b[2Kours", file=beside_gate(sys.stderr))
    seen = capsys.readouterr()
    assert terminal_payloads.found_in((seen.out + seen.err).encode()) == []
    assert "\x1b" not in seen.out and seen.err.count("\x1b") == 1


def test_a_bar_keeps_its_own_control_sequences_and_no_others(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    console = GatedConsole(highlight=False)
    console.print(f"{terminal_payloads.ALL}!", style="bold", markup=False)
    console.show_cursor(False)
    assert terminal_payloads.found_in(terminal.getvalue().encode()) == []
    assert "\x1b[1m" in terminal.getvalue() and "\x1b[?25l" in terminal.getvalue()
