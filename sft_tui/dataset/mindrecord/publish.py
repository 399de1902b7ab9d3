"""Puts a finished MindRecord in its place: all its files, whole, or none."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

from sft_tui.dataset.mindrecord.manifest import FileStamp, load_manifest, manifest_path, stamp_file
from sft_tui.files.whole_file import naming, sync_folder
from sft_tui.files.whole_folder import PartialFolder


def output_names(name: str, file_partition: int) -> List[str]:
    """The files that FileWriter makes of one name: itself, or with several partitions name0, name1, ..."""
    if file_partition == 1:
        return [name]
    width = len(str(file_partition - 1))
    return [f"{name}{index:0{width}d}" for index in range(file_partition)]


def publish(folder: PartialFolder, output_file: Path, file_partition: int) -> None:
    """Move the whole new files to their place, and remove those of an earlier run that are no part of it.

    A MindRecord's index (.db) keeps the name of its file and cannot be read after a renaming; moving both to another
    folder is harmless. So `folder` has the files under their last names. Raises EnvironmentNotFitError.
    """
    old = load_manifest(output_file)
    names = _all_names(output_file, file_partition)
    with naming(output_file):
        folder.sync_files(names)
        # From here until the new manifest is written, no manifest vouches for what is there.
        manifest_path(output_file).unlink(missing_ok=True)
        folder.publish_files(names)
        for stamp in old.files if old else ():
            if Path(stamp.path).name not in names:
                output_file.with_name(Path(stamp.path).name).unlink(missing_ok=True)
        sync_folder(output_file.parent)


def stamp_outputs(output_file: Path, file_partition: int) -> Tuple[FileStamp, ...]:
    """The stamps of the published files, for the manifest."""
    names = _all_names(output_file, file_partition)
    return tuple(stamp_file(output_file.with_name(name), name) for name in names)


def _all_names(output_file: Path, file_partition: int) -> List[str]:
    return [name + end for name in output_names(output_file.name, file_partition) for end in ("", ".db")]
