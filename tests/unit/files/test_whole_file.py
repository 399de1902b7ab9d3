"""A reader sees the old content or the new; a disk that fills up destroys nothing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sft_tui.files.append import append_line
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.whole_file import PartialFile, remove_leftovers, remove_stale, write_private
from sft_tui.files.whole_folder import PartialFolder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this container may not mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def limit_file_size(size):
    """Run in a child: files cannot grow beyond `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def in_child(work, size):
    """Exit code of `work` in a child whose files are limited; 7: it raised OSError."""
    pid = os.fork()
    if pid == 0:
        limit_file_size(size)
        try:
            work()
        except OSError:
            os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_file_is_private_and_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "neu ä\n")
    assert path.read_text(encoding="utf-8") == "neu ä\n"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["a.json"]


def test_missing_folders_are_made_private_and_present_ones_left_alone(tmp_path):
    tmp_path.chmod(0o755)
    make_private_dir(tmp_path / "a" / "b")
    make_private_dir(tmp_path / "a" / "b")
    assert (mode(tmp_path), mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o755, 0o700, 0o700)


def test_a_full_disk_leaves_the_old_content_and_no_litter(small_disk):
    path = small_disk / "state.json"
    write_private(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_private(path, "x" * 200_000)
    assert path.read_text() == "old"
    assert os.listdir(small_disk) == ["state.json"]
    write_private(path, "new")
    assert path.read_text() == "new"


def test_a_line_is_appended_whole_or_not_at_all_on_a_full_disk(small_disk):
    path = small_disk / "events.jsonl"
    line, count = "x" * 3000, 0
    with pytest.raises(OSError):
        while count < 100:
            append_line(path, line)
            count += 1
    assert path.read_text() == f"{line}\n" * count


def test_a_write_cut_short_leaves_the_old_content(tmp_path):
    path = tmp_path / "a"
    write_private(path, "old")
    assert in_child(lambda: write_private(path, "x" * 10_000), 1000) == 7
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_line_cut_short_is_taken_back(tmp_path):
    path = tmp_path / "events"
    append_line(path, "first")
    assert in_child(lambda: append_line(path, "x" * 1000), 500) == 7
    append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"
    assert mode(path) == 0o600


def test_a_writer_killed_at_any_moment_leaves_whole_content(tmp_path):
    path = tmp_path / "state.json"
    write_private(path, "0" * 50_000)
    script = (
        "import sys; from pathlib import Path; from sft_tui.files.whole_file import write_private\n"
        "print('ready', flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    n = (n + 1) % 10; write_private(Path(sys.argv[1]), str(n) * 50_000)"
    )
    root = Path(__file__).parents[3]
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=root)
    assert child.stdout.readline() == b"ready\n"
    for _ in range(200):
        text = path.read_text()
        assert len(text) == 50_000 and len(set(text)) == 1
    child.kill()
    child.communicate()
    text = path.read_text()
    assert len(text) == 50_000 and len(set(text)) == 1


def test_only_what_nobody_works_at_and_of_this_very_name_is_left_over(tmp_path):
    killed, other = tmp_path / ".out.0123456789ab.partial", tmp_path / ".out.json.0123456789ab.partial"
    killed.mkdir()
    (killed / "a").touch()
    other.touch()
    with PartialFile(tmp_path / "out", locked=True) as file, PartialFolder(tmp_path / "out") as folder:
        remove_leftovers(tmp_path / "out")
        assert set(tmp_path.iterdir()) == {file.path, folder.path, other}
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize(
    "remove", [lambda folder: remove_leftovers(folder / "out"), lambda folder: remove_stale(folder, 0)]
)
def test_what_we_never_leave_is_left_alone_and_holds_nobody_up(tmp_path, remove):
    os.mkfifo(tmp_path / ".out.0123456789ab.partial")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").touch()
    (tmp_path / ".out.aaaaaaaaaaaa.partial").symlink_to(tmp_path / "mine")
    (tmp_path / ".out.september_04.partial").mkdir()
    (tmp_path / ".out.quarterly_01.partial").touch()
    before = sorted(tmp_path.rglob("*"))
    with deadline(5):
        remove(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@contextmanager
def deadline(seconds):
    """Fail instead of hanging."""

    def late(_number, _frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_folder_takes_the_place_of_the_one_before_as_a_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with PartialFolder(target) as folder:
        (folder.path / "new").touch()
        assert os.listdir(target) == ["old"]
        folder.publish()
    assert (os.listdir(tmp_path), os.listdir(target)) == (["out"], ["new"])


def test_files_leave_their_folder_for_the_place_beside_it(tmp_path):
    with PartialFolder(tmp_path / "out") as folder:
        (folder.path / "out0").write_text("new")
        (folder.path / "out1").write_text("unfinished")
        folder.sync_files(["out0"])
        folder.publish_files(["out0"])
    assert os.listdir(tmp_path) == ["out0"]
