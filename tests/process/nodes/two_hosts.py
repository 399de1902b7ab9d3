"""Two hosts on one machine: network namespaces joined by a cable that can be cut; an sshd and a home, and a job."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from sft_tui.core.nodes import Launch, Node, NodePart
from sft_tui.core.plan import Output, Plan, PlannedFile, Step
from sft_tui.errors import SftError
from sft_tui.jobs import process
from sft_tui.paths import PACKAGE_DIR
from sft_tui.store.job_store import list_jobs

HERE = Path(__file__).parents[1]
HEAD, OTHER = "10.77.0.1", "10.77.0.2"
PORT = 8118
QUICK = ("ConnectTimeout=3", "ServerAliveInterval=1")


def run(*words):
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Hosts:
    """`head` is where commands are given; `other` is reached over SSH."""

    def __init__(self, folder):
        self.folder = folder
        tag = os.getpid() % 100_000
        self.head_space, self.other_space = f"sft{tag}a", f"sft{tag}b"
        self.sshd = None
        self.bin = folder / "bin"
        self.homes = {"head": folder / "head", "other": folder / "other"}

    def set_up(self):
        for space, address, link in ((self.head_space, HEAD, "va"), (self.other_space, OTHER, "vb")):
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
            if link == "vb":
                run("ip", "-n", self.head_space, "link", "add", "va", "type", "veth", "peer", "vb", "netns", space)
                run("ip", "-n", self.head_space, "addr", "add", f"{HEAD}/24", "dev", "va")
                run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "vb")
                run("ip", "-n", self.head_space, "link", "set", "va", "up")
                run("ip", "-n", space, "link", "set", "vb", "up")
        for home in self.homes.values():
            home.mkdir()
        self._write_keys()
        self.start_sshd()

    def _write_keys(self):
        for name in ("host_key", "user_key", "other_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        (self.folder / "authorized_keys").write_text((self.folder / "user_key.pub").read_text())
        self.trust("host_key")
        config = self.folder / "ssh_config"
        config.write_text(
            f"IdentityFile {self.folder}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {self.folder}/known_hosts\n"
            "GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
        )
        self.bin.mkdir()
        # ssh reads its files in the home of the account, whatever HOME says
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
        (self.bin / "ssh").chmod(0o755)
        home = self.homes["other"]
        (self.folder / "sshd_config").write_text(
            f"ListenAddress {OTHER}\nHostKey {self.folder}/host_key\nAuthorizedKeysFile {self.folder}/authorized_keys\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin prohibit-password\nSetEnv HOME={home} SFT_TUI_HOME={home}/sft-tui\n"
        )

    def trust(self, key):
        """What the user takes for the key of the other host."""
        public = (self.folder / f"{key}.pub").read_text()
        (self.folder / "known_hosts").write_text(f"{OTHER} {public}")

    def start_sshd(self):
        with (self.folder / "sshd.log").open("ab") as log:
            words = ["ip", "netns", "exec", self.other_space, "/usr/sbin/sshd", "-D", "-e"]
            self.sshd = subprocess.Popen(
                [*words, "-f", str(self.folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + 20
        while b"Server listening" not in (self.folder / "sshd.log").read_bytes()[self._log_seen() :]:
            assert self.sshd.poll() is None and time.monotonic() < deadline, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)

    def _log_seen(self):
        seen, self._seen = getattr(self, "_seen", 0), 0
        return seen

    def kill_sshd(self):
        """The server and its connections, and nothing below them."""
        self._seen = (self.folder / "sshd.log").stat().st_size
        below = [p for p in psutil.Process(self.sshd.pid).children(recursive=True) if p.name().startswith("sshd")]
        for one in [psutil.Process(self.sshd.pid), *below]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.sshd.wait()

    def link(self, state):
        run("ip", "-n", self.other_space, "link", "set", "vb", state)

    def await_connection(self):
        """After a cut the kernel holds the neighbour for dead for some seconds."""
        run("ip", "-n", self.head_space, "neigh", "flush", "all")
        connect = f"import socket; socket.create_connection(('{OTHER}', 22), 1)"
        words = ["ip", "netns", "exec", self.head_space, sys.executable, "-c", connect]
        deadline = time.monotonic() + 20
        while subprocess.run(words, check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, "the other host is not reached"
            time.sleep(0.1)

    def environment(self):
        home = self.homes["head"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SFT_TUI")}
        return {
            **kept, "HOME": str(home), "SFT_TUI_HOME": f"{home}/sft-tui", "PATH": f"{self.bin}:{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
        }  # fmt: skip

    def command(self, *words, timeout=120):
        """Run on the head."""
        return subprocess.run(
            ["ip", "netns", "exec", self.head_space, sys.executable, *map(str, words)],
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def sft(self, *words, timeout=120):
        return self.command(PACKAGE_DIR, *words, timeout=timeout)

    def jobs(self, host):
        return list_jobs(self.homes[host] / "sft-tui/state/jobs")

    def tear_down(self):
        for host in self.homes:
            for folder in self.jobs(host):
                with contextlib.suppress(SftError):
                    process.signal_process(folder.load_state().supervisor, signal.SIGKILL)
        for space in (self.head_space, self.other_space):
            listed = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
            for pid in listed.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)


class Work:
    """A job of one step on both hosts, with workers that train until they may end."""

    def __init__(self, hosts, folder, eventually):
        self.hosts, self.folder, self.eventually = hosts, folder, eventually
        self.other_dir = folder
        self.other_python = sys.executable
        self.workers = 1  # on each host
        (folder / "data").write_text("rows")

    def launch(self):
        parts = []
        pythons = (sys.executable, self.other_python)
        for rank, (host, work_dir) in enumerate(((HEAD, self.folder), (OTHER, self.other_dir))):
            log_dir = f"{work_dir}/log/node_{rank}"
            argv = (
                sys.executable, str(HERE / "msrun_stub.py"), f"--worker_num={2 * self.workers}",
                f"--local_worker_num={self.workers}",
                f"--node_rank={rank}", f"--log_dir={log_dir}", str(self.folder),
            )  # fmt: skip
            step = Step(
                id=f"train-node{rank}", title="Train", argv=argv, cwd=str(work_dir), devices=("cpu",),
                training_log=f"{log_dir}/worker_{(rank + 1) * self.workers - 1}.log",
                outputs=(Output(path=f"{work_dir}/checkpoint", kind="checkpoint_folder"),),
            )  # fmt: skip
            plan = Plan(profile="p", steps=(step,), stop_grace_seconds=3)
            parts.append(
                NodePart(
                    rank=rank,
                    node=Node(host=host, options=QUICK, local_worker_num=self.workers),
                    python=str(pythons[rank]),
                    work_dir=str(work_dir),
                    plan=plan,
                )
            )
        return Launch(
            step="train", master_addr=HEAD, master_port=PORT, worker_num=2 * self.workers, device="CPU",
            package_dir=str(PACKAGE_DIR),
            python=sys.executable, mindformers_home="", work_dir=str(self.folder), inputs=(f"{self.folder}/data",),
            parts=tuple(parts),
        )  # fmt: skip

    def plan(self):
        path = f"{self.folder}/train.nodes.json"
        train = Step(
            id="train", title="Train", argv=(sys.executable, str(PACKAGE_DIR), "_run_nodes", path),
            cwd=str(self.folder), least_grace=20, inputs=(path,),
            outputs=(Output(path=f"{self.folder}/checkpoint", kind="checkpoint_folder"),),
        )  # fmt: skip
        file = PlannedFile(path=path, text=self.launch().model_dump_json())
        return Plan(profile="p", steps=(train,), files=(file,), stop_grace_seconds=20)

    def submit(self):
        """`sft-tui run` on the head."""
        file = self.folder / "plan.json"
        file.write_text(self.plan().model_dump_json())
        return self.hosts.command(HERE / "run_plan.py", file, "--detach")

    def start(self):
        result = self.submit()
        assert result.returncode == 0, result.stdout + result.stderr
        self.job = result.stdout.strip().splitlines()[-1]
        self.says(f"all {2 * self.workers} ranks on 2 nodes have started")
        return self

    def show(self):
        return json.loads(self.hosts.sft("jobs", "show", self.job, "--json").stdout)

    def says(self, text, within=40.0):
        """Wait until the headline says so."""
        self.eventually(lambda: text in self.show()["reason"], f"the job says {text!r}", within)

    def end(self, within=60.0):
        self.eventually(lambda: self.show()["lifecycle"] == "finished", "the job ends", within)
        return self.show()

    def go(self):
        (self.folder / "go").touch()

    def pid(self, rank):
        return int((self.folder / f"worker_{rank}.pid").read_text())

    def is_over(self):
        """No worker is left, and no part reads as running."""
        return not any(psutil.pid_exists(self.pid(rank)) for rank in range(2 * self.workers))

    def log(self):
        return self.hosts.sft("jobs", "log", self.job).stdout
