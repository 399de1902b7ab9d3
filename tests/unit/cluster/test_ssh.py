"""Commands on nodes, with a stub `ssh` that does with its words what sshd does: hand them to `sh -c`."""

import json
import os
import sys
import tempfile
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_tui.cluster import ssh as ssh_module
from sft_tui.cluster.ssh import Ssh, SshError, control_dir, is_this_host, run_all
from sft_tui.core.nodes import Node

NODE = Node(host="elsewhere", user="trainer", port=2222, options=("Compression=yes",))
STUB = '#!/bin/sh\nfor word; do last=$word; done\nexec sh -c "$last"\n'


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Puts an `ssh` of this content on PATH."""

    def put(content=STUB):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "ssh").write_text(content)
        (folder / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


@settings(max_examples=settings.default.max_examples // 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)
        | st.sampled_from(
            ["$(touch pwned)", "`id`", "a b", "'", '"', "\n", "-o", "é 中", "$HOME", "\\", "*", ";exit 3"]
        ),
        max_size=5,
    )
)
def test_words_arrive_as_they_were_whatever_is_in_them(stub, words):
    stub()
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    out = Ssh().run(NODE, [sys.executable, "-c", script, *words])
    assert json.loads(out) == words


def test_a_node_that_is_not_this_host_is_reached_with_its_own_settings_and_checked_keys():
    argv = Ssh(connect_seconds=7).command(NODE, ["echo", "a b"])
    assert argv[-3:] == ["--", "elsewhere", "echo 'a b'"]
    options = [argv[i + 1] for i, word in enumerate(argv) if word == "-o"]
    assert options[0] == "Compression=yes" and {"BatchMode=yes", "ConnectTimeout=7"} <= set(options)
    assert not [o for o in options if "HostKey" in o or "KnownHosts" in o]
    assert argv[argv.index("-p") + 1] == "2222" and argv[argv.index("-l") + 1] == "trainer"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ssh: connect to host x port 22: Connection refused", "unreachable"),
        ("ssh: connect to host x port 22: Connection timed out", "unreachable"),
        ("ssh: Could not resolve hostname x: Name or service not known", "unreachable"),
        ("root@x: Permission denied (publickey).", "key refused"),
        ("No ED25519 host key is known for x\nHost key verification failed.", "host key"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "host key"),
        ("something else\x1b[31m", "broken"),
    ],
)
def test_what_ssh_says_becomes_what_is_wrong_and_what_to_do(stub, said, kind):
    stub(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 255\n")
    with pytest.raises(SshError) as caught:
        Ssh().run(NODE, ["true"])
    error = caught.value
    assert error.kind == kind and "elsewhere" in error.message and error.hint and "\x1b" not in str(error)
    assert ("HAS CHANGED" in said) == ("ssh-keygen -R" in error.hint)


def test_a_command_that_fails_there_is_no_fault_of_the_connection(stub):
    stub()
    with pytest.raises(SshError, match="no such thing") as caught:
        Ssh().run(NODE, ["sh", "-c", "echo no such thing >&2; exit 3"])
    assert (caught.value.kind, caught.value.code) == ("failed", 3)


def test_a_node_that_hangs_is_given_up(stub):
    stub("#!/bin/sh\nexec sleep 60\n")
    begin = time.monotonic()
    with pytest.raises(SshError) as caught:
        Ssh().run(NODE, ["true"], timeout=0.5)
    assert caught.value.kind == "timeout" and time.monotonic() - begin < 30


def test_without_ssh_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SshError) as caught:
        Ssh().run(NODE, ["true"])
    assert caught.value.kind == "no ssh"


def test_this_host_needs_no_connection(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for host in ("localhost", "127.0.0.1"):
        assert Ssh().run(Node(host=host), ["echo", "here"]) == "here\n"
    assert not is_this_host(Node(host="localhost", user="nobody-else"))
    assert not is_this_host(Node(host="localhost", port=2222))
    assert not is_this_host(Node(host="192.0.2.77"))


def test_all_are_asked_at_once_and_an_error_of_one_is_its_own():
    def call(number):
        time.sleep(0.2)
        if number == 3:
            raise SshError("timeout", "three")
        return number * 2

    begin = time.monotonic()
    answers = {item: (answer, error) for item, answer, error in run_all(range(40), call)}
    assert time.monotonic() - begin < 4
    assert answers[2] == (4, None) and answers[3][1].message == "three"


def test_the_folder_of_shared_connections_is_ours_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(ssh_module, "CONTROL_PATH_LONGEST", 200)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = control_dir()
    assert os.stat(made).st_mode & 0o777 == 0o700 and made.startswith(str(tmp_path))
    os.chmod(made, 0o777)
    other = control_dir()
    assert other != made and os.stat(other).st_mode & 0o777 == 0o700
