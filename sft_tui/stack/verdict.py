"""Whether what is installed fits together: MindFormers, MindSpore, CANN, driver, Python.

The rows are what each release of MindFormers says of itself in its README, and what was seen to run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Optional

from sft_tui.core.facts import EnvironmentFacts, StackTraits
from sft_tui.stack.compatibility import fits, is_version

Word = Literal["fits", "untested", "does not fit"]


@dataclass(frozen=True)
class Release:
    """A release of MindFormers, and the CANN, the driver and the newest Python that it came out with."""

    mindformers: str
    cann: str
    driver: str
    python: tuple[int, int] = (3, 11)


# which MindSpore each runs with stands in stack/compatibility.py
RELEASES: tuple[Release, ...] = (
    Release("1.2", "8.0.RC2", "24.1.RC2", (3, 10)),
    Release("1.3", "8.0.0", "24.1.0"),
    Release("1.6", "8.2.RC1", "25.2.0"),
    Release("1.7", "8.3.RC1", "25.3.RC1"),
    Release("1.8", "8.5.0", "25.5.0"),
    Release("1.9", "9.0.0", "26.0.RC1"),
)


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one installed thing: `found` is its version, `reason` why it is not simply `fits`."""

    thing: str
    found: str
    word: Word
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.thing} {self.found}: {self.word}" + (f", because {self.reason}" if self.reason else "")


def find_release(mindformers_version: str) -> Optional[Release]:
    """The release that a version ("1.7.0") belongs to, or None."""
    return next((release for release in RELEASES if is_version(mindformers_version, release.mindformers)), None)


def judge(facts: EnvironmentFacts) -> tuple[Verdict, ...]:
    """A verdict on every thing that was found; what is missing is a problem of its own, and not judged."""
    version = facts.mindformers_version
    if not version:
        return ()
    release = find_release(version)
    if release is None:
        known = ", ".join(item.mindformers for item in RELEASES)
        return (Verdict("MindFormers", version, "untested", f"known releases are {known}"),)
    verdicts = [Verdict("MindFormers", version, "fits")]
    if facts.mindspore and facts.traits is not None:
        verdicts.append(_judge_mindspore(facts.traits, facts.mindspore))
    transformers = facts.packages.get("transformers", "")
    if transformers and facts.traits is not None and facts.traits.transformers:
        verdicts.append(_judge_transformers(facts.traits, transformers))
    for thing, found, wanted in (
        ("CANN", facts.cann, release.cann),
        ("Ascend driver", facts.driver, release.driver),
    ):
        if found:
            verdicts.append(_judge_stack(thing, found, wanted, release))
    if facts.python_version:
        verdicts.append(_judge_python(release, facts.python_version))
    return tuple(verdicts)


def _judge_mindspore(traits: StackTraits, found: str) -> Verdict:
    if fits(traits, found):
        return Verdict("MindSpore", found, "fits")
    wanted = " or ".join(traits.mindspore)
    reason = f"MindFormers {traits.mindformers} runs with MindSpore {wanted}"
    return Verdict("MindSpore", found, "does not fit", reason)


def _judge_transformers(traits: StackTraits, found: str) -> Verdict:
    if found == traits.transformers:
        return Verdict("transformers", found, "fits")
    reason = f"MindFormers {traits.mindformers} is made for transformers {traits.transformers} alone"
    return Verdict("transformers", found, "does not fit", reason)


def _judge_stack(thing: str, found: str, wanted: str, release: Release) -> Verdict:
    if version_key(found) == version_key(wanted):
        return Verdict(thing, found, "fits")
    reason = f"MindFormers {release.mindformers} came out with {wanted}"
    have, want = version_key(found)[:2], version_key(wanted)[:2]
    if have and have < want:
        return Verdict(thing, found, "does not fit", f"{reason}, which is newer")
    return Verdict(thing, found, "untested", reason)


def _judge_python(release: Release, found: str) -> Verdict:
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    newest = ".".join(map(str, release.python))
    if (3, 9) <= numbers <= release.python:
        return Verdict("Python", found, "fits")
    return Verdict("Python", found, "does not fit", f"its MindSpore has wheels for Python 3.9 to {newest}")


def version_key(version: str) -> tuple[int, ...]:
    """Numbers to compare by: 8.3.RC1 comes before 8.3.0, and both after 8.2. Empty when there are none."""
    found = re.match(r"[vV]?(\d+(?:\.\d+)*)(?:\.?(RC|T|alpha|beta)(\d*))?", version.strip())
    if not found:
        return ()
    numbers = [int(part) for part in found[1].split(".")]
    numbers += [0] * (3 - len(numbers))
    before = found[2] is not None and found[2].upper() == "RC"
    return (*numbers[:3], 0 if before else 1, int(found[3] or 0) if before else 0)
