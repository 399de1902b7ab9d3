"""A training on two hosts: seconds until the whole job has stopped, for each thing that can end it.

python -m tests.benchmarks.nodes.failures

Two network namespaces with an sshd each, workers that a stub of msrun starts (as bare msrun, it would wait for 30 s
after a worker died). Wants root, iproute2 and openssh-server.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from tests.process.nodes.two_hosts import HEAD, OTHER, Hosts, Work

DEADLINE = 90.0


def eventually(look: Callable[[], object], what: str, within: float = DEADLINE) -> object:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    sys.exit(f"not within {within} s: {what}")


def head_job(work: Work):
    """The state of the job on the head, read from its folder."""
    return next(f for f in work.hosts.jobs("head") if f.id == work.job).load_state()


def until_over(work: Work) -> float:
    """Seconds until no worker is left and the job has ended."""
    begin = time.monotonic()
    eventually(work.is_over, "no worker is left")
    eventually(lambda: head_job(work).finished, "the job has ended")
    return time.monotonic() - begin


def killed(rank: int) -> Callable[[Work], float]:
    def measure(work: Work) -> float:
        work.start()
        os.kill(work.pid(rank), signal.SIGKILL)
        return until_over(work)

    return measure


def failed(work: Work) -> float:
    work.start()
    (work.folder / "fail_1").touch()
    return until_over(work)


def stopped(*flags: str) -> Callable[[Work], float]:
    def measure(work: Work) -> float:
        work.start()
        begin = time.monotonic()
        work.hosts.sft("jobs", "stop", *flags, work.job)
        until_over(work)
        return time.monotonic() - begin

    return measure


def lost(what: str) -> Callable[[Work], float]:
    """Until the head says that it does not reach the node; the job goes on, and is found again."""

    def measure(work: Work) -> float:
        work.start()
        begin = time.monotonic()
        work.hosts.kill_sshd() if what == "sshd" else work.hosts.link("down")
        eventually(lambda: "not reachable since" in head_job(work).headline(), "it is said")
        took = time.monotonic() - begin
        begin = time.monotonic()
        work.hosts.start_sshd() if what == "sshd" else work.hosts.link("up")
        eventually(lambda: "not reachable" not in head_job(work).headline(), "it is found again")
        work.remark = f"found again after {time.monotonic() - begin:.1f} s, and ended well"
        work.go()
        eventually(lambda: head_job(work).outcome == "succeeded", "it ends")
        return took

    return measure


def cut_and_killed(work: Work) -> float:
    """The part beyond the cut cannot be stopped: until the head has ended, and said so."""
    work.start()
    work.hosts.link("down")
    eventually(lambda: "not reachable since" in head_job(work).headline(), "it is said")
    begin = time.monotonic()
    os.kill(work.pid(0), signal.SIGKILL)
    eventually(lambda: head_job(work).finished, "the head has ended")
    return time.monotonic() - begin


def refused(prepare: Callable[[Work], object]) -> Callable[[Work], float]:
    def measure(work: Work) -> float:
        held = prepare(work)
        begin = time.monotonic()
        result = work.submit()
        took = time.monotonic() - begin
        if result.returncode != 4:
            sys.exit(f"it was not refused: {result.stderr}")
        del held
        return took

    return measure


def other_data(work: Work) -> None:
    work.other_dir = work.folder.with_name(f"{work.folder.name}-other")
    work.other_dir.mkdir()
    (work.other_dir / "data").write_text("ROWS")


def wrong_key(work: Work) -> None:
    for socket_file in (work.hosts.folder / "run").rglob("*"):
        if socket_file.is_socket():
            socket_file.unlink()  # no connection of before is left
    work.hosts.trust("other_key")


CASES: dict[str, Callable[[Work], float]] = {
    "a worker on node 0 is killed": killed(0),
    "a worker on node 1 is killed": killed(1),
    "a worker on node 1 raises an error": failed,
    "jobs stop": stopped(),
    "jobs stop --now": stopped("--now"),
    "sshd of node 1 is killed: said, the job goes on": lost("sshd"),
    "the link is cut: said, the job goes on": lost("link"),
    "the link is cut and node 0 fails: the head has ended": cut_and_killed,
    "at start: the link is cut": refused(lambda work: work.hosts.link("down")),
    "at start: another host key": refused(wrong_key),
    "at start: other data on node 1": refused(other_data),
}


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("network namespaces want root")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="n") as name:
        hosts = Hosts(Path(name))
        (hosts.folder / "run").mkdir()
        try:
            hosts.set_up()
            print(f"head {HEAD}, other {OTHER}: seconds until the whole job has stopped, where nothing else is said")
            for number, (case, measure) in enumerate(CASES.items()):
                folder = hosts.folder / f"work{number}"
                folder.mkdir()
                work = Work(hosts, folder, eventually)
                took = measure(work)
                print(f"{case:54} {took:5.1f}  {getattr(work, 'remark', '')}", flush=True)
                hosts.trust("host_key")
                hosts.link("up")
                hosts.await_connection()
                work.go()
        finally:
            hosts.tear_down()


if __name__ == "__main__":
    main()
