"""What a node says of itself. This text is sent to a Python there, where sft-tui need not be: only its library is used.

Python 3.6 is enough to read it.
"""

import errno
import hashlib
import json
import os
import platform
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

PACKAGES = ("mindspore", "mindformers", "numpy", "transformers")
CANN = ("/usr/local/Ascend/ascend-toolkit/latest/version.cfg", "/usr/local/Ascend/cann/version.cfg")
WHOLE = 64 << 20  # larger files are compared by their size and by pieces from all over them
PIECES, PIECE = 64, 1 << 18
CONNECT_SECONDS = 3.0
MARKER_SECONDS = 2.0


def main(request: str) -> None:
    """Answer on stdout."""
    print(json.dumps(collect(json.loads(request), *sys.argv[1:])))


def collect(request: Dict[str, Any], found: str, python_missing: str) -> Dict[str, Any]:
    """Everything that was asked for; `found` is what a sft-tui on this node said of itself, or empty."""
    sft_tui = json.loads(found) if found else None
    if sft_tui:
        sft_tui["checksum"] = code_checksum(sft_tui["package_dir"])
    home = request["mindformers_home"]
    return {
        "hostname": socket.gethostname(),
        "machine": machine(),
        "python_missing": bool(python_missing),
        "python_version": platform.python_version(),
        "packages": versions(),
        "cann": cann_version(),
        "sft_tui": sft_tui,
        "mindformers": code_checksum(home) if home else "",
        "files": {path: fingerprint(Path(path)) for path in request["files"]},
        "marker": read_marker(Path(request["marker"])) if request["marker"] else "",
        "disk_free": disk_free(Path(request["work_dir"])),
        "cores": os.cpu_count() or 1,
        "npus": len(npus()),
        "npu_users": npu_users(),
        "port": look_at_port(request["master_addr"], request["master_port"], request["is_master"]),
        "time": time.time(),
    }


def machine() -> str:
    """The same for two names of one host; containers and network namespaces count as hosts."""
    try:
        return read("/proc/sys/kernel/random/boot_id") + os.readlink("/proc/self/ns/net")  # noqa: PTH115 - since 3.9
    except OSError:
        return ""


def read(path: str) -> str:
    """A small text file on one line. Raises OSError."""
    return " ".join(Path(path).read_text(errors="replace").split())[:200]


def versions() -> Dict[str, str]:
    """Distribution name to version, of those that matter."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        return {}
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cann_version() -> str:
    """The line of its version file, or an empty string."""
    for path in CANN:
        try:
            return read(path)
        except OSError:
            continue
    return ""


def code_checksum(folder: str) -> str:
    """One checksum over names and content of all Python files below the folder; empty where there are none."""
    digest, count = hashlib.sha256(), 0
    for path in sorted(Path(folder).rglob("*.py")):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            content = hashlib.sha256(path.read_bytes()).digest()
            digest.update(os.fsencode(str(name)) + b"\0" + content)
            count += 1
    return digest.hexdigest()[:16] if count else ""


def fingerprint(path: Path) -> Optional[Tuple[int, str]]:
    """Size and checksum of a file, or of all files of a folder; None where nothing is."""
    if path.is_dir():
        parts = [
            (os.fsencode(str(p.relative_to(path))), fingerprint(p)) for p in sorted(path.rglob("*")) if p.is_file()
        ]
        return sum(part[0] for _, part in parts if part), hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256()
            spread = [index * (size - PIECE) // (PIECES - 1) for index in range(PIECES)]
            for offset in spread if size > WHOLE else range(0, size, PIECE):
                file.seek(offset)
                digest.update(file.read(PIECE))
    except OSError:
        return None
    return size, digest.hexdigest()[:16]


def read_marker(path: Path) -> str:
    """What the head wrote there a moment ago; a file server may need a little."""
    deadline = time.monotonic() + MARKER_SECONDS
    while True:
        try:
            return path.read_text()
        except OSError:
            if time.monotonic() > deadline or not path.parent.is_dir():
                return ""
            time.sleep(0.25)


def disk_free(path: Path) -> int:
    """Bytes free where the folder is, or will be."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(str(path)).free


def npus() -> List[Path]:
    """The NPUs that are visible here."""
    return list(Path("/dev").glob("davinci[0-9]*"))


def npu_users() -> List[str]:
    """Processes that hold an NPU open, as far as this user may see them."""
    places = [place for place in Path("/proc").iterdir() if place.name.isdigit()] if npus() else []
    return [place.name for place in places if holds_npu(place / "fd")]


def holds_npu(descriptors: Path) -> bool:
    """Whether one of a process's open files is an NPU; False also of a process that is gone, or somebody else's."""
    try:
        links = list(descriptors.iterdir())
    except OSError:
        return False
    for link in links:
        try:
            if os.readlink(str(link)).startswith("/dev/davinci"):  # noqa: PTH115 - since 3.9
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def look_at_port(address: str, port: int, is_master: bool) -> str:
    """On the master whether the port can be had, elsewhere whether it can be reached: `ok`, or what is in the way."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return "unknown name"
    with socket.socket(family, kind) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            if is_master:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                return "ok"
            probe.connect(where)
        except ConnectionRefusedError:
            return "ok"  # the host answers, and nobody listens yet
        except socket.timeout:
            return "filtered"
        except OSError as error:
            names = {errno.EADDRINUSE: "in use", errno.EADDRNOTAVAIL: "not here"}
            return names.get(error.errno or 0, error.strerror or "error")
    return "in use"
