"""Machines that do not fit: interpreters with other packages, a full disk, a taken port."""

import socket
import subprocess
import sys

import pytest


@pytest.fixture
def bare_python(tmp_path):
    """A Python without any package."""
    path = tmp_path / "bare-python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    yield from mount_tmpfs(tmp_path / "small", "size=1m")


@pytest.fixture
def read_only_disk(tmp_path):
    """A file system on which nobody can write, root neither."""
    yield from mount_tmpfs(tmp_path / "read-only", "size=1m,ro")


def mount_tmpfs(folder, options):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def taken_port():
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
