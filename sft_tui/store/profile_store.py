"""Reads and writes profiles: one TOML file each. A draft with mistakes is kept as it was typed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, MutableMapping

from sft_tui.core.profile_defaults import NAME_PATTERN
from sft_tui.errors import InvalidInputError
from sft_tui.files.private_dir import make_private_dir
from sft_tui.files.small_file import NotRegularError, read_small_text
from sft_tui.files.whole_file import remove_stale, write_private
from sft_tui.paths import find_executable, program_path, whole_path

MAX_PROFILE_BYTES = 1 << 20  # a long one has 10 kB
MAX_PROFILE_KEYS = 3000  # of a list of nodes as well

if TYPE_CHECKING:
    import tomlkit

    from sft_tui.core.profile import DeviceTarget


_SET_ASIDE = re.compile(r"\.broken-[0-9]+$")  # copies of files that could not be read: no profiles


class NotAProfileError(InvalidInputError):
    """The file of a profile was read, and what it holds is none."""


def profile_path(profiles_dir: Path, name: str) -> Path:
    """File of a profile. Raises InvalidInputError for a name that is not one (or would leave the folder)."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInputError(
            f"{name!r} is not a profile name.",
            "Use letters, digits, dot, dash and underscore; start with a letter or digit.",
        )
    return profiles_dir / f"{name}.toml"


def list_profiles(profiles_dir: Path) -> list[str]:
    """Names of all profiles."""
    stems = (path.stem for path in profiles_dir.glob("*.toml"))
    return sorted(stem for stem in stems if re.fullmatch(NAME_PATTERN, stem) and not _SET_ASIDE.search(stem))


def load_profile_data(profiles_dir: Path, name: str) -> dict[str, Any]:
    """What the file of a profile says, not yet validated. Raises InvalidInputError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = profile_path(profiles_dir, name)
    try:
        text = _read_text(path)
    except FileNotFoundError:
        known = ", ".join(list_profiles(profiles_dir)) or "none yet"
        raise InvalidInputError(
            f"There is no profile {name!r} (there are: {known}).", f"sft-tui profile new {name}"
        ) from None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.", "Check your rights on it.") from error
    except NotRegularError:
        raise
    except InvalidInputError as error:
        raise NotAProfileError(error.message, error.hint) from error
    try:
        data = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise NotAProfileError(f"{path} is not TOML: {error}.", "Mend the line, or remove the file.") from error
    except RecursionError:
        raise NotAProfileError(f"{path} is nested too deeply.", "Mend it, or remove the file.") from None
    return {**data, "name": name}


def _read_text(path: Path) -> str:
    """The text of a profile, if it can be one: to parse 100,000 keys takes half a minute. Raises as `small_file`."""
    text = read_small_text(path, MAX_PROFILE_BYTES)
    keys = text.count("=")
    if keys > MAX_PROFILE_KEYS:
        raise InvalidInputError(f"{path} has about {keys:,} keys: no profile has so many.", "Is it another file?")
    return text


def save_profile_data(profiles_dir: Path, name: str, data: dict[str, Any]) -> Path:
    """Write a profile, valid or not, comments of the file kept. Raises OSError, InvalidInputError."""
    import tomlkit

    from sft_tui.core.profile import SCHEMA_VERSION

    path = profile_path(profiles_dir, name)
    make_private_dir(profiles_dir)
    remove_stale(profiles_dir)
    document = _existing(path)
    _bring_up_to_date(document, {"schema_version": SCHEMA_VERSION, **data, "name": name})
    text = tomlkit.dumps(document)
    if not path.is_file() or read_small_text(path, MAX_PROFILE_BYTES) != text:
        write_private(path, text)
    return path


def _bring_up_to_date(table: MutableMapping[str, Any], content: dict[str, Any]) -> None:
    """Change what differs, and only that: what stays keeps its comments and its spelling."""
    import tomlkit

    for key in [key for key in table if key not in content]:
        del table[key]
    for key, value in content.items():
        old = table.get(key)
        if isinstance(value, dict) and isinstance(old, MutableMapping):
            _bring_up_to_date(old, value)
        elif key not in table or type(tomlkit.item(old).unwrap()) is not type(value) or old != value:
            table[key] = value


def _existing(path: Path) -> tomlkit.TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(_read_text(path))
    except FileNotFoundError:
        return tomlkit.document()
    except NotRegularError:
        raise  # nothing that we made: it stays
    except (InvalidInputError, TOMLKitError, RecursionError):
        set_aside(path)  # somebody's slip in an editor: not ours to destroy
        return tomlkit.document()


def set_aside(path: Path) -> Path:
    """Give a file that cannot be read a name of its own, for it is somebody's slip in an editor; that name.

    Raises OSError.
    """
    number = 1
    while True:
        aside = path.with_name(f"{path.stem}.broken-{number}{path.suffix}")
        try:
            os.link(path, aside)  # unlike a rename it never takes the place of an earlier copy
        except FileExistsError:
            number += 1
            continue
        except OSError:  # a file system without links
            path.replace(aside)
            return aside
        path.unlink()
        return aside


def new_profile_data(name: str) -> dict[str, Any]:
    """The data of a new profile on this host."""
    from sft_tui.core.profile import default_data

    device: DeviceTarget = "Ascend" if find_executable("npu-smi") else "CPU"
    work_dir = str(Path.home() / "sft-tui" / name)
    return default_data(name, work_dir=work_dir, python=sys.executable, device_target=device)


def parse_typed(section: str, field: str, text: str) -> Any:  # noqa: ANN401 - the field's own type
    """What a user typed, as the field's type; paths made whole."""
    from sft_tui.core.profile import PATH_FIELDS, parse_field

    value = parse_field(section, field, text)
    if f"{section}.{field}" not in PATH_FIELDS or not isinstance(value, str):
        return value
    return program_path(value) if field == "python" else whole_path(value)
