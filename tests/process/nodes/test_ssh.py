"""A job that was started over SSH, and a connection that breaks: a real sshd on loopback, with keys of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from sft_tui.jobs import client

LOOPBACK = "127.0.0.1"
WAITS = "while [ ! -e go ]; do sleep 0.02; done; echo done > one"


def find_sshd():
    found = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if found is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (Debian: openssh-server)")
    return found


def find_account():
    """The name that this user logs in with."""
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        pytest.skip("this user has no account to log in to")
    if Path(account.pw_shell).name in ("nologin", "false"):
        pytest.skip(f"{account.pw_name} has no shell to log in with")
    return account.pw_name


def make_key(path):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


class SshServer:
    """An sshd of this test alone."""

    def __init__(self, folder, eventually):
        self.folder, self.eventually = folder, eventually
        self.user = find_account()
        folder.mkdir(mode=0o700)
        self.log = folder / "sshd.log"
        self.process = None
        self.port = 0

    def start(self, program):
        host_key = make_key(self.folder / "host_key")
        (self.folder / "authorized_keys").write_text(make_key(self.folder / "user_key"))
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self.port = probe.getsockname()[1]
        (self.folder / "known_hosts").write_text(f"[{LOOPBACK}]:{self.port} {host_key}")
        settings = {
            "ListenAddress": LOOPBACK,
            "Port": self.port,
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",  # folders above this one belong to others
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with self.log.open("wb") as log:
            command = [program, "-D", "-e", "-f", str(config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
        self.eventually(lambda: "Server listening" in self.said() or self.process.poll() is not None, "sshd listens")
        assert self.process.poll() is None, self.said()
        greeting = subprocess.run(self.command("echo", "welcome"), capture_output=True, text=True, timeout=60)
        if "account is locked" in self.said():
            pytest.skip(f"sshd does not let {self.user} in: the account is locked")
        assert greeting.stdout == "welcome\n", greeting.stderr + self.said()

    def said(self):
        return self.log.read_text(errors="replace")

    def command(self, *words, terminal=False):
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
        }
        return [
            "ssh", "-F", "/dev/null", "-tt" if terminal else "-T", "-p", str(self.port),
            "-i", str(self.folder / "user_key"), *(f"-o{name}={value}" for name, value in options.items()),
            f"{self.user}@{LOOPBACK}", shlex.join(["env", *self.environment(), *words]),
        ]  # fmt: skip

    def environment(self):
        """What a session does not have by itself."""
        return [f"{name}={os.environ[name]}" for name in ("SFT_TUI_HOME", "PYTHONPATH") if name in os.environ]

    def sessions(self):
        """The processes of sshd that serve a connection."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        found = []
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if process.name().startswith("sshd"):
                    found.append(process)
        return found

    def break_sessions(self):
        for session in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):  # the one before may have taken it along
                session.kill()

    def stop(self):
        if self.process is not None:
            self.break_sessions()
            self.process.kill()
            self.process.wait()


@pytest.fixture
def ssh(lab, eventually):
    program = find_sshd()
    separation = Path("/run/sshd")  # where sshd of root shuts itself in; the service makes it when it starts
    made = os.geteuid() == 0 and not separation.exists()
    if made:
        separation.mkdir(mode=0o755)
    server = SshServer(lab.home / "ssh", eventually)
    try:
        server.start(program)
        yield server
    finally:
        server.stop()
        if made:
            separation.rmdir()


@pytest.mark.parametrize("terminal", [True, False], ids=["in a terminal", "without a terminal"])
@pytest.mark.parametrize("broken", ["session", "client"])
def test_a_connection_that_breaks_is_not_noticed_and_a_new_one_sees_the_same(lab, ssh, eventually, broken, terminal):
    plan = lab.plan(lab.step("one", WAITS, outputs=("one",)), lab.step("two", "echo two > two", outputs=("two",)))
    first_log, second_log = lab.home / "first.log", lab.home / "second.log"
    with first_log.open("wb") as log:
        command = ssh.command(*lab.run_command(plan), terminal=terminal)
        first = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL)
    eventually(lambda: "One" in first_log.read_text(errors="replace"), "the step is on the screen")
    folder = client.running_job(lab.jobs_dir, "p")
    before = lab.step_runs(folder, "one")
    [ui] = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == lab.run_command(plan)]

    if broken == "session":
        ssh.break_sessions()
    else:
        first.kill()
    first.wait(timeout=20)
    eventually(lambda: not ssh.sessions(), "the connection is gone")
    assert client.read_state(folder) == before

    with second_log.open("wb") as log:
        second = subprocess.Popen(
            ssh.command(*lab.command("jobs", "attach")), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL
        )
    eventually(lambda: "One" in second_log.read_text(), "the new connection shows the step")
    (lab.work / "go").touch()
    assert second.wait(timeout=20) == 0
    state = lab.wait(folder)
    assert (state.outcome, [step.status for step in state.steps]) == ("succeeded", ["done", "done"])
    eventually(lambda: not ui.is_running(), "the first UI has ended")

    seen = second_log.read_text().splitlines()
    assert seen[-1].startswith("job succeeded")
    here = subprocess.run(lab.command("jobs", "attach"), capture_output=True, text=True, timeout=60)
    assert here.stdout.splitlines() == seen
    if not terminal:
        assert seen[: len(first_log.read_text().splitlines())] == first_log.read_text().splitlines()
