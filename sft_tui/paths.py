"""Where things are on this machine. The only reader of environment variables."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import platformdirs

JOB_MARK = "SFT_TUI_JOB"  # environment variable of every step: the folder of its job
PACKAGE_DIR = Path(__file__).resolve().parent


def in_job() -> bool:
    """Whether this process is, or was started by, a step of a job."""
    return bool(os.environ.get(JOB_MARK))


def variable(name: str) -> str:
    """An environment variable that other programs have made known (HF_TOKEN, HTTPS_PROXY), or an empty string."""
    return os.environ.get(name, "").strip()


def _home() -> Path | None:
    """`SFT_TUI_HOME` puts configuration and state below one folder (a shared disk, a test)."""
    home = os.environ.get("SFT_TUI_HOME", "")
    return Path(home).expanduser().absolute() if home else None


def config_dir() -> Path:
    """Folder of profiles and settings."""
    home = _home()
    return home / "config" if home else Path(platformdirs.user_config_dir("sft-tui"))


def state_dir() -> Path:
    """Folder of jobs and of our own log."""
    home = _home()
    return home / "state" if home else Path(platformdirs.user_state_dir("sft-tui"))


def profiles_dir() -> Path:
    """One TOML file per profile."""
    return config_dir() / "profiles"


def jobs_dir() -> Path:
    """One folder per job."""
    return state_dir() / "jobs"


def error_log() -> Path:
    """The file that holds tracebacks, which never reach a terminal."""
    return state_dir() / "sft-tui.log"


def own_dirs() -> tuple[Path, ...]:
    """The folders in which nobody else may write."""
    return (config_dir(), profiles_dir(), state_dir(), jobs_dir())


def runtime_dir() -> Path | None:
    """This user's folder for sockets, gone after the last session (XDG_RUNTIME_DIR); None where there is none."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) if folder.startswith("/") and Path(folder).is_dir() else None


def boot_id() -> str:
    """Differs after each start of the machine; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def styles_dir() -> Path:
    """Folder of the Textual CSS: beside the package in a checkout, inside it in a wheel."""
    for folder in (PACKAGE_DIR.parent / "styles", PACKAGE_DIR / "styles"):
        if (folder / "app.tcss").is_file():
            return folder
    raise FileNotFoundError(f"app.tcss is neither beside nor inside {PACKAGE_DIR}: install sft-tui again")


def own_command() -> tuple[str, ...]:
    """How to call sft-tui as it runs now: by its console script if that is what runs, else by its folder."""
    script = Path(sys.executable).parent / "sft-tui"
    if Path(sys.argv[0]).absolute() == script.absolute():
        return (str(script),)
    return (sys.executable, str(PACKAGE_DIR))


def command_under(python: str) -> tuple[str, ...]:
    """How to call sft-tui under another interpreter: Python runs a folder that has a `__main__.py`."""
    if _same_interpreter(Path(python), Path(sys.executable)):
        return own_command()
    return (python, str(PACKAGE_DIR))


def _same_interpreter(one: Path, other: Path) -> bool:
    """`python` and `python3.11` of one environment; environments of one base interpreter differ by their folder."""
    return one.parent == other.parent and one.resolve() == other.resolve()


def visible_npus() -> tuple[int, ...]:
    """NPUs that the environment leaves to this process, in the order that MindSpore numbers them; empty: all."""
    text = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", "")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) for part in parts) if parts and all(p.isdecimal() for p in parts) else ()


def prefers_chinese() -> bool:
    """The language of the terminal is Chinese, by the variables that programs go by."""
    named = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next((value for value in named if value), "").startswith("zh")


def job_of_this_step() -> Path | None:
    """The folder of the job that started this process as a step; None for one that a person started."""
    folder = os.environ.get(JOB_MARK, "")
    return Path(folder) if folder else None


def find_executable(name: str) -> str:
    """Full path of a program on PATH, or an empty string."""
    return shutil.which(name) or ""


def whole_path(text: str) -> str:
    """A typed path with `~` and the current folder filled in, since steps run elsewhere."""
    return str(Path(text).expanduser().absolute()) if text else text


def program_path(text: str) -> str:
    """The same for a program; a bare name stays one, to be looked up on PATH."""
    return whole_path(text) if os.sep in text or text.startswith("~") else text


def terminal_is_utf8() -> bool:
    """Whether the locale says that the terminal shows UTF-8.

    Python itself sets LC_CTYPE=C.UTF-8 where it finds the C locale, so a LANG that was set counts before that one.
    """
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    everything, characters, language = (os.environ.get(name, "") for name in names)
    if characters == "C.UTF-8" and language in ("C", "POSIX"):
        characters = ""
    return "utf" in (everything or characters or language).lower()


def child_environment(additions: dict[str, str], search_paths: dict[str, str]) -> dict[str, str]:
    """The environment of a step: the submitter's, with additions; `search_paths` go in front of what is there."""
    environment = {**os.environ, **additions}
    for name, value in search_paths.items():
        old = environment.get(name, "")
        environment[name] = f"{value}:{old}" if old else value
    return environment
