"""A node that says what no node says costs that node."""

from __future__ import annotations

import json
import resource
import sys
import time

import pytest

from sft_tui.cluster.bounded_talk import LAST_WORDS
from sft_tui.cluster.node_messages import read_facts, read_folder, read_message
from sft_tui.cluster.ssh import Ssh, SshError, run_all
from sft_tui.core.nodes import Node

HERE = Node(host="localhost")
FACTS = {
    "hostname": "n", "machine": "m", "python_missing": False, "python_version": "3.11", "packages": {"numpy": "1"},
    "cann": "", "sft_tui": None, "mindformers": "", "files": {"/a": [1, "x"], "/b": None}, "marker": "",
    "disk_free": 1, "cores": 1, "npus": 0, "npu_users": [], "port": "ok", "time": 1.0,
}  # fmt: skip
OTHERS = [None, 1, -1, 1e300, "x", "\x1b]52;c;eA==\x07", [], [1], {}, {"a": 1}, True, 10**400]


@pytest.mark.parametrize("form", ["[]", "null", "1", '"x"', "{}", "NaN", "[" * 100_000, '{"time": ' + "9" * 5000 + "}"])
def test_json_of_another_form_is_no_answer(form):
    with pytest.raises(ValueError, match=r"."):
        read_facts(form)
    with pytest.raises(ValueError, match=r"."):
        read_folder(form)
    assert read_message(form.encode()) in (None, {"beat": True})


@pytest.mark.parametrize("field", FACTS)
def test_each_fact_is_of_its_form_or_the_answer_is_none(field):
    assert read_facts(json.dumps(FACTS))["files"] == {"/a": (1, "x"), "/b": None}
    without = {name: value for name, value in FACTS.items() if name != field}
    for facts in (without, *({**FACTS, field: other} for other in OTHERS)):
        try:
            seen = read_facts(json.dumps(facts))
        except ValueError:
            continue
        assert type(seen[field]) is type(FACTS[field]) or field in ("sft_tui", "time")
        assert "\x1b" not in repr(seen[field]).encode().decode("unicode_escape")


@pytest.mark.parametrize(
    "message",
    [
        {"ranks": [0]}, {"died": "killed", "rank": 1, "signal": "SIGKILL", "time": 1.0}, {"tail": ["a"]},
        {"state": "finished", "outcome": "failed", "reason": "r", "time": 1.0}, {"log": "a\n", "offset": 2},
    ],
)  # fmt: skip
def test_a_message_is_of_its_form_or_none(message):
    assert read_message(json.dumps(message).encode()) == message
    for name in message:
        for other in [[{}], {"x": 1}, None, 10**400, -5]:
            seen = read_message(json.dumps({**message, name: other}).encode())
            assert seen is None or type(seen[name]) is type(message[name])


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"died": "x" * 9000, "rank": 1, "signal": "SIGKILL", "time": 1.0}, "died"),
        ({"state": "finished", "outcome": "failed", "reason": "x" * 9000, "time": 1.0}, "reason"),
        ({"tail": ["before", "x" * 9000, "after"]}, "tail"),
        ({"tail": ["\ud800 before", "x" * 5000, "after"]}, "tail"),
    ],
)
def test_a_long_line_is_cut_and_costs_nothing_else(message, field):
    seen = read_message(json.dumps(message).encode())
    assert {**seen, field: 0} == {**message, field: 0}
    for text, sent in zip(*([item[field]] if field != "tail" else item[field] for item in (seen, message))):
        assert len(text) == min(len(sent), 5000) and (text[:4000] == sent[:4000] or "before" in text)


def test_of_a_tail_with_too_many_lines_the_last_are_kept():
    seen = read_message(json.dumps({"tail": [str(number) for number in range(3000)]}).encode())
    assert seen["tail"][-1] == "2999" and 0 < len(seen["tail"]) < 3000


def test_a_path_is_refused_and_never_cut():
    with pytest.raises(ValueError, match="folder"):
        read_folder(json.dumps({"folder": "/" + "x" * 9000}))


def test_what_only_the_head_says_is_not_taken_from_a_node():
    assert read_message(b'{"refused": "x"}') == read_message(b'{"lost": "x"}') == {"beat": True}


def test_a_flood_on_stderr_stays_out_of_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = (
        "import sys\nfor _ in 'x' * 300: sys.stderr.write('x' * 10**6)\nsys.stderr.write('\\nthe reason'); sys.exit(3)"
    )
    with pytest.raises(SshError, match="the reason") as caught:
        Ssh().run(HERE, [sys.executable, "-c", script])
    assert caught.value.code == 3 and len(str(caught.value)) < LAST_WORDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kB"


def test_an_answer_without_an_end_is_cut_off():
    with pytest.raises(SshError, match="said more than 16 MB"):
        Ssh().run(HERE, ["sh", "-c", "yes"])


def test_one_that_hangs_is_left_with_all_that_it_started():
    began = time.monotonic()
    with pytest.raises(SshError, match="did not answer"):
        Ssh().run(HERE, ["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.3)
    assert time.monotonic() - began < 3


def test_an_error_of_ours_costs_the_item_that_met_it():
    def call(item):
        return 1 // item

    found = {item: (answer, error) for item, answer, error in run_all([0, 1], call)}
    assert found[1] == (1, None)
    assert "ZeroDivisionError" in str(found[0][1])


@pytest.mark.parametrize(
    "name",
    [
        "UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking", "ProxyCommand", "LocalCommand",
        "PermitLocalCommand", "KnownHostsCommand", "Include", "Match", "RemoteCommand", "PKCS11Provider",
        "SecurityKeyProvider", "ForwardAgent", "ForwardX11", "ControlPath", "XAuthLocation", "SendEnv", "SetEnv",
        "NoHostAuthenticationForLocalhost", "CheckHostIP", "UpdateHostKeys", "VerifyHostKeyDNS", "BatchMode", "Tunnel",
        "LocalForward", "RemoteForward", "DynamicForward", "ProxyUseFdpass", "CanonicalizeHostname", "LogLevel",
    ],
)  # fmt: skip
def test_an_option_that_runs_a_command_or_loosens_a_check_is_refused(name):
    for option in (f"{name}=/dev/null", f"{name.lower()}=yes", f"{name} /dev/null", f"Compression=yes\n{name}=x"):
        with pytest.raises(ValueError, match="options"):
            Node(host="a", options=(option,))
    assert Node(host="a", options=("Compression=yes",)).options == ("Compression=yes",)
