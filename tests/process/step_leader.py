"""A step with a helper in its group and a worker in a session of its own, as msrun has; it ends by the file `go`."""

import os
import signal
import sys
import time

signal.signal(signal.SIGINT, signal.SIG_DFL)
with open("runs", "a") as file:
    file.write(os.path.basename(os.environ["SFT_TUI_JOB"]) + " one\n")


def start(name, session):
    pid = os.fork()
    if pid == 0:
        if session:
            os.setsid()
        with open(name + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(name + ".new", name)
        while True:
            time.sleep(60)
    return pid


helpers = {start("worker", True): "worker", start("member", False): "member"}
while not os.path.exists("go"):
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        sys.exit(f"RuntimeError: {helpers[pid]} was ended by {signal.Signals(os.WTERMSIG(status)).name}")
    time.sleep(0.01)
with open("one.out", "w") as file:
    file.write("done")
