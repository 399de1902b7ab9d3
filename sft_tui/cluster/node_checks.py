"""Judges what a node said of itself, against the head. Pure: no clock, no connection."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Final, Literal

from sft_tui.core.nodes import Launch, NodePart
from sft_tui.core.terminal_text import short_duration, short_size
from sft_tui.errors import SftError

Verdict = Literal["ok", "warning", "failed"]
CHECKS: Final = ("reach", "rank", "clock", "sft-tui", "versions", "code", "files", "disk", "devices", "port")
CLOCK_WARNS, CLOCK_FAILS = 30.0, 300.0  # seconds
LEAST_FREE: Final = 64 << 20
STATES_OF_WEIGHTS: Final = 3  # a training checkpoint: weights and two moments of AdamW
_WEIGHTS: Final[dict[Verdict, int]] = {"ok": 0, "warning": 1, "failed": 2}


@dataclass(frozen=True)
class NodeFinding:
    """One cell of the matrix."""

    rank: int
    host: str
    check: str
    verdict: Verdict
    text: str = ""
    hint: str = ""

    @property
    def weight(self) -> int:
        """The worse, the more."""
        return _WEIGHTS[self.verdict]


@dataclass(frozen=True)
class NodeAnswer:
    """What a node said. `skew`: how far its clock is ahead; `took`: the whole exchange. Both in seconds."""

    facts: dict[str, Any]
    skew: float
    took: float


def describe_error(part: NodePart, error: SftError) -> list[NodeFinding]:
    """The node could not be asked."""
    return [NodeFinding(part.rank, part.node.host, "reach", "failed", error.message.rstrip("."), error.hint)]


def judge(launch: Launch, part: NodePart, answer: NodeAnswer, head: NodeAnswer, token: str) -> list[NodeFinding]:
    """All findings of one node. `token`: what a disk shared with the head would show in its marker file."""
    judge = _Judge(launch, part, answer, head, bool(token) and answer.facts["marker"] == token)
    return [
        NodeFinding(part.rank, part.node.host, "reach", "ok"),
        judge.rank(), judge.clock(), judge.sft_tui(), judge.versions(), judge.code(), judge.files(), judge.disk(),
        judge.devices(), judge.port(),
    ]  # fmt: skip


class _Judge:
    def __init__(self, launch: Launch, part: NodePart, answer: NodeAnswer, head: NodeAnswer, shared: bool) -> None:
        self._launch, self._part, self._answer, self._shared = launch, part, answer, shared
        self._facts, self._head = answer.facts, head.facts

    def _find(self, check: str, verdict: Verdict = "ok", text: str = "", hint: str = "") -> NodeFinding:
        return NodeFinding(self._part.rank, self._part.node.host, check, verdict, text, hint)

    def rank(self) -> NodeFinding:
        if self._facts["port"] == "not here" and self._part.rank == 0:
            text = f"it is node 0, but {self._launch.master_addr} is no address of it"
            return self._find("rank", "failed", text, "Put the master first, or mend nodes.master_addr.")
        return self._find("rank")

    def clock(self) -> NodeFinding:
        # it was read at some time of the exchange: that much is not known
        skew = self._answer.skew
        off = skew if skew > 0 else min(0.0, skew + self._answer.took)
        if abs(off) <= CLOCK_WARNS:
            return self._find("clock")
        text = f"its clock is {short_duration(abs(off))} {'ahead' if off > 0 else 'behind'}"
        return self._find("clock", "failed" if abs(off) > CLOCK_FAILS else "warning", text, "Set it by NTP (chrony).")

    def sft_tui(self) -> NodeFinding:
        found, ours = self._facts["sft_tui"], self._head["sft_tui"]
        version = ours["version"] if ours else ""
        pip = f"{self._part.python} -m pip install sft-tui{f'=={version}' if version else ''}"
        if not found:
            return self._find("sft-tui", "failed", "sft-tui is not there", f"On it: {pip}")
        if ours and found["checksum"] != ours["checksum"]:
            text = f"its sft-tui {found['version']} is not the head's {version}: their code differs"
            return self._find("sft-tui", "failed", text, f"On it: {pip}")
        return self._find("sft-tui")

    def versions(self) -> NodeFinding:
        if self._facts["python_missing"]:
            return self._find(
                "versions", "failed", f"{self._part.python} is not there", "Install it, or name the node's own python."
            )
        ours, theirs = self._version_row(self._head), self._version_row(self._facts)
        differs = [f"{name} {theirs[name] or 'missing'} (head: {ours[name] or 'none'})" for name in ours
                   if ours[name] != theirs[name]]  # fmt: skip
        if not differs:
            return self._find("versions")
        only_patch = len(differs) == 1 and ours["Python"].split(".")[:2] == theirs["Python"].split(".")[:2] \
            and differs[0].startswith("Python")  # fmt: skip
        hint = "Install the same as on the head."
        return self._find("versions", "warning" if only_patch else "failed", ", ".join(differs), hint)

    @staticmethod
    def _version_row(facts: dict[str, Any]) -> dict[str, str]:
        names = {"MindSpore": "mindspore", "MindFormers": "mindformers"}
        row = {label: str(facts["packages"].get(name, "")) for label, name in names.items()}
        return {"Python": str(facts["python_version"]), **row, "CANN": str(facts["cann"])}

    def code(self) -> NodeFinding:
        if self._facts["mindformers"] == self._head["mindformers"]:
            return self._find("code")
        text = f"{self._launch.mindformers_home} is {'another' if self._facts['mindformers'] else 'not there'}"
        return self._find("code", "failed", text, f"rsync -a {self._launch.mindformers_home}/ to it.")

    def files(self) -> NodeFinding:
        for path in self._launch.inputs:
            inside = path.startswith(f"{self._launch.work_dir}/")
            if self._shared and inside:
                continue
            there = self._launch.path_on(self._part, path)
            ours, theirs = self._head["files"].get(path), self._facts["files"].get(there)
            copy = shlex.join(["rsync", "-a", path, f"{self._part.node.host}:{there}"])
            if ours is None and not inside:
                return self._find("files", "failed", f"{path} is missing on the head", "Mend the profile.")
            if ours is None:
                text = f"its working folder is not shared with the head, where {path} is not made yet"
                return self._find(
                    "files", "failed", text, f"sft-tui run PROFILE --until preprocess-train makes it; then {copy}"
                )
            if theirs is None:
                why = ", and the folder is not shared" if inside else " there"
                return self._find("files", "failed", f"{there} is missing{why}", copy)
            if theirs != ours:
                text = f"{there} is another file ({short_size(theirs[0])}; the head's: {short_size(ours[0])})"
                return self._find("files", "failed", text, copy)
        return self._find("files", text="the working folder is shared" if self._shared else "")

    def disk(self) -> NodeFinding:
        known = [found[0] for found in self._head["files"].values() if found]
        needed = LEAST_FREE + STATES_OF_WEIGHTS * max(known, default=0)
        free = self._facts["disk_free"]
        if free >= needed:
            return self._find("disk")
        text = f"{short_size(free)} are free at {self._part.work_dir}; one checkpoint needs {short_size(needed)}"
        return self._find("disk", "failed", text, "Make room, or give the node another work_dir.")

    def devices(self) -> NodeFinding:
        wanted = self._part.node.local_worker_num
        if self._launch.device == "CPU":
            few = self._facts["cores"] < wanted
            text = f"{self._facts['cores']} cores for {wanted} workers" if few else ""
            return self._find("devices", "warning" if few else "ok", text)
        if self._facts["npus"] < wanted:
            text = f"{self._facts['npus']} NPUs for {wanted} workers"
            return self._find("devices", "failed", text, "Give it fewer workers; in a container, pass the devices.")
        if self._facts["npu_users"]:
            text = f"process {', '.join(self._facts['npu_users'])} uses an NPU"
            return self._find("devices", "failed", text, "Wait for its end, or stop it.")
        return self._find("devices")

    def port(self) -> NodeFinding:
        said, where = self._facts["port"], f"{self._launch.master_addr} port {self._launch.master_port}"
        if said in ("ok", "not here"):
            return self._find("port")
        if said == "in use":
            return self._find("port", "failed", f"{where} is in use", "Choose another nodes.master_port.")
        if said == "unknown name":
            text = f"the name {self._launch.master_addr} is not known there"
            return self._find("port", "failed", text, "Give the address: nodes.master_addr.")
        text = f"{where} cannot be reached from it ({said})"
        return self._find("port", "failed", text, "Open it in the firewall, or mend nodes.master_addr.")
