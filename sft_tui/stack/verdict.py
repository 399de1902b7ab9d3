"""Whether what is installed fits together: MindFormers, MindSpore, CANN, driver, Python.

What each release came out with stands in stack/releases.py.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Literal, Optional

from sft_tui.core.facts import EnvironmentFacts
from sft_tui.core.release import Release
from sft_tui.stack.releases import (
    VERSIONS,
    find_release,
    fits,
    has_ended,
    next_supported,
    takes_transformers,
    version_key,
)

Word = Literal["fits", "out of support", "untested", "does not fit"]


@dataclass(frozen=True)
class VersionVerdict:
    """What is to be said of one installed thing: `found` is its version, `reason` why it is not simply `fits`."""

    thing: str
    found: str
    word: Word
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.thing} {self.found}: {self.word}" + (f", because {self.reason}" if self.reason else "")


def judge(facts: EnvironmentFacts, today: Optional[datetime.date] = None) -> tuple[VersionVerdict, ...]:
    """A verdict on every thing that was found; what is missing is a problem of its own, and not judged.

    `today` decides about the end of support; without it the clock does.
    """
    version = facts.mindformers_version
    if not version:
        return ()
    release = find_release(version)
    if release is None:
        return (VersionVerdict("MindFormers", version, "untested", f"known releases are {', '.join(VERSIONS)}"),)
    verdicts = [_judge_support(release, version, today or datetime.datetime.now().date())]
    if facts.mindspore:
        verdicts.append(_judge_mindspore(release, facts.mindspore))
    transformers = facts.packages.get("transformers", "")
    if transformers and release.transformers:
        verdicts.append(_judge_transformers(release, transformers))
    for thing, found, wanted in (
        ("CANN", facts.cann, release.cann),
        ("Ascend driver", facts.driver, release.driver),
    ):
        if found:
            verdicts.append(_judge_stack(thing, found, wanted, release))
    if facts.python_version:
        verdicts.append(_judge_python(release, facts.python_version))
    return tuple(verdicts)


def _judge_support(release: Release, found: str, today: datetime.date) -> VersionVerdict:
    if not has_ended(release, today):
        return VersionVerdict("MindFormers", found, "fits")
    newer = next_supported(release, today)
    reason = f"its support ended on {release.end_of_life}"
    if newer is not None:
        reason += f"; next: {newer.mindformers} with MindSpore {' or '.join(newer.mindspore)} and CANN {newer.cann}"
    return VersionVerdict("MindFormers", found, "out of support", reason)


def _judge_mindspore(release: Release, found: str) -> VersionVerdict:
    if fits(release, found):
        return VersionVerdict("MindSpore", found, "fits")
    wanted = " or ".join(release.mindspore)
    reason = f"MindFormers {release.mindformers} runs with MindSpore {wanted}"
    if fits(release, found, cpu=True):
        return VersionVerdict("MindSpore", found, "untested", f"{reason}; this one was seen to train on CPU alone")
    return VersionVerdict("MindSpore", found, "does not fit", reason)


def _judge_transformers(release: Release, found: str) -> VersionVerdict:
    if takes_transformers(release, found):
        return VersionVerdict("transformers", found, "fits")
    alone = "" if release.transformers.startswith(">=") else " alone"
    reason = f"MindFormers {release.mindformers} is made for transformers {release.transformers}{alone}"
    return VersionVerdict("transformers", found, "does not fit", reason)


def _judge_stack(thing: str, found: str, wanted: str, release: Release) -> VersionVerdict:
    if version_key(found) == version_key(wanted):
        return VersionVerdict(thing, found, "fits")
    reason = f"MindFormers {release.mindformers} came out with {wanted}"
    have, want = version_key(found)[:2], version_key(wanted)[:2]
    if have and have < want:
        return VersionVerdict(thing, found, "does not fit", f"{reason}, which is newer")
    return VersionVerdict(thing, found, "untested", reason)


def _judge_python(release: Release, found: str) -> VersionVerdict:
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    oldest, newest = (".".join(map(str, numbers)) for numbers in (release.python_from, release.python))
    if release.python_from <= numbers <= release.python:
        return VersionVerdict("Python", found, "fits")
    reason = f"its MindSpore has wheels for Python {oldest} to {newest}"
    return VersionVerdict("Python", found, "does not fit", reason)
