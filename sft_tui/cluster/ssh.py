"""Commands on other hosts, by the system's OpenSSH: the user's own configuration, keys and known hosts apply."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO, Callable, Final, Iterator, Literal, Optional, Sequence, TypeVar, Union

from sft_tui.cluster.bounded_talk import OUT_AT_MOST, SaidTooMuchError, communicate
from sft_tui.core.nodes import Node
from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import SftError
from sft_tui.files.runtime_folder import make_runtime_folder
from sft_tui.paths import find_executable

PARALLEL: Final = 72  # nodes at a time
CONNECT_SECONDS: Final = 10
ALIVE_SECONDS, ALIVE_COUNT = 5, 3  # a link that is cut is noticed after their product
CONTROL_PATH_LONGEST: Final = 40  # %C and ssh's temporary suffix take 60 more; a socket's path ends at 108

Kind = Literal["no ssh", "unreachable", "key refused", "host key", "timeout", "broken", "failed"]
Child = subprocess.Popen[bytes]
_T = TypeVar("_T")
_SSH_FAILED = 255  # ssh(1): its own error; every other status is the remote command's
# what ssh says, in the order in which it tells most
_SIGNS: Final[tuple[tuple[str, Kind, str, str], ...]] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "host key", "its host key is not the one that is known", "If it was "
     "installed anew: ssh-keygen -R {host}, then ssh {target} once and compare the new key. Else somebody is between."),
    ("Host key verification failed", "host key", "its host key is not known", "ssh {target} once, compare the key "
     "and accept it."),
    ("Permission denied", "key refused", "it refused the key", "ssh-copy-id {target}, or load the key: ssh-add."),
    ("Could not resolve hostname", "unreachable", "its name is not known", "Check the name, or use its address."),
    ("Connection refused", "unreachable", "nothing answers on its SSH port", "Check the port, and that sshd runs."),
    ("timed out", "unreachable", "it did not answer", "Check that it is up, and the network between."),
    ("No route to host", "unreachable", "there is no route to it", "Check that it is up, and the network between."),
    ("Network is unreachable", "unreachable", "there is no route to it", "Check the network of this host."),
)  # fmt: skip


class SshError(SftError):
    """A command could not be run on a node, or failed there. `code` is the remote exit code, if it was run."""

    exit_code = 4

    def __init__(self, kind: Kind, message: str, hint: str = "", code: int = _SSH_FAILED) -> None:
        super().__init__(message, hint)
        self.kind, self.code = kind, code


class Ssh:
    """Runs commands on nodes; connections to a host are shared for a minute."""

    def __init__(self, *, connect_seconds: int = CONNECT_SECONDS) -> None:
        self._connect_seconds = connect_seconds
        self._control_dir = control_dir()

    def command(self, node: Node, words: Sequence[str]) -> list[str]:
        """The argument list for a command there; on this host the command itself. Raises SshError without ssh."""
        if is_this_host(node):
            return list(words)
        program = find_executable("ssh")
        if not program:
            raise SshError("no ssh", "There is no ssh on this host.", "Debian: apt install openssh-client.")
        options = [
            "BatchMode=yes", "ControlMaster=auto", f"ControlPath={self._control_dir}/%C", "ControlPersist=60",
            f"ConnectTimeout={self._connect_seconds}", f"ServerAliveInterval={ALIVE_SECONDS}",
            f"ServerAliveCountMax={ALIVE_COUNT}",
        ]  # fmt: skip
        # of an option that is given twice ssh takes the first: the node's own come first
        argv = [program, "-T", *(word for option in (*node.options, *options) for word in ("-o", option))]
        argv += ["-p", str(node.port)] if node.port else []
        argv += ["-l", node.user] if node.user else []
        argv += ["-i", node.identity_file] if node.identity_file else []
        # sshd hands one text to the login shell: every word is quoted for it
        return [*argv, "--", node.host, shlex.join(words)]

    def run(self, node: Node, words: Sequence[str], *, stdin: str = "", timeout: float = 60.0) -> str:
        """What the command wrote to stdout. Raises SshError."""
        with self.open(node, words) as child:
            try:
                out, err = communicate(child, stdin.encode(), timeout)
            except (TimeoutError, subprocess.TimeoutExpired):
                _kill(child, node)
                raise SshError("timeout", f"{node.host} did not answer within {timeout:.0f} s.", _up(node)) from None
            except SaidTooMuchError:
                _kill(child, node)
                raise SshError(
                    "failed", f"{node.host} said more than {OUT_AT_MOST >> 20} MB.", "Look at its login files."
                ) from None
            except BaseException:
                _kill(child, node)
                raise
        if child.returncode:
            raise translate(node, child.returncode, err.decode(errors="replace"))
        return out.decode(errors="replace")

    def open(self, node: Node, words: Sequence[str], stderr: Union[int, IO[bytes]] = subprocess.PIPE) -> Child:
        """Start the command with pipes to it. Raises SshError if it cannot be started."""
        argv = self.command(node, words)
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True, cwd="/"
            )
        except OSError as error:
            raise SshError("failed", f"{argv[0]} could not be started: {error.strerror}.") from error


def _kill(child: Child, node: Node) -> None:
    """With what it started, on this host: an ssh may hold a connection that others share."""
    if is_this_host(node):
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)  # it leads a session
    child.kill()


def translate(node: Node, code: int, said: str) -> SshError:
    """What ssh, or the command on the node, wanted to say."""
    said = neutralise(said[-100_000:]).strip()
    last = (said.splitlines() or [f"exit code {code}"])[-1][:300]
    if code != _SSH_FAILED or is_this_host(node):
        return SshError("failed", f"On {node.host}: {last}", code=code)
    for sign, kind, text, hint in _SIGNS:
        if sign in said:
            return SshError(kind, f"{node.host}: {text}.", hint.format(host=node.host, target=_target(node)))
    return SshError("broken", f"The connection to {node.host} broke: {last}", _up(node))


def _target(node: Node) -> str:
    port = f"-p {node.port} " if node.port else ""
    return f"{port}{node.user}@{node.host}" if node.user else f"{port}{node.host}"


def _up(node: Node) -> str:
    return f"Try ssh {_target(node)}."


def is_this_host(node: Node) -> bool:
    """The node is this machine and this user: no connection is needed."""
    # another port is that of a container, as a rule
    if (node.user and node.user != _user()) or node.port not in (0, 22):
        return False
    name = socket.gethostname()
    if node.host in ("localhost", name, name.partition(".")[0]):
        return True
    try:
        # numbers only: to ask a name server for each of many nodes takes seconds
        numeric = socket.AI_NUMERICHOST
        family, kind, _, _, address = socket.getaddrinfo(node.host, 0, type=socket.SOCK_STREAM, flags=numeric)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)  # only an address of one's own can be bound
    except OSError:
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an account
        return ""


def run_all(
    items: Sequence[_T], call: Callable[[_T], object], parallel: int = PARALLEL
) -> Iterator[tuple[_T, object, Optional[SftError]]]:
    """Call for all at once, at most `parallel` at a time: item, answer and error, in the order of the answers."""
    with ThreadPoolExecutor(max_workers=min(parallel, max(1, len(items)))) as pool:
        futures = {pool.submit(call, item): item for item in items}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result(), None
            except SftError as error:
                yield futures[future], None, error
            except Exception as error:  # noqa: BLE001 - the edge of a thread: what one item met must not end all others
                yield futures[future], None, SftError(f"sft-tui itself failed: {error!r}"[:300], "Please report it.")


def control_dir() -> str:
    """A short private folder for the sockets of shared connections. Raises OSError."""
    folder = make_runtime_folder(longest=CONTROL_PATH_LONGEST)
    # where somebody else made it, connections would go through their hands
    if folder is not None:
        return str(folder)
    own = tempfile.mkdtemp(prefix="sft-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own
