"""The hosts that a training runs on, as a user names them, and what each of them is to do."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Mapping

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sft_tui.core.plan import Plan

# neither can be taken for an option, nor holds anything that a shell would read
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}$")]
UserName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63})?$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^(/[^\x00-\x1f\x7f]*)?$")]
# options of ssh that neither run a command nor loosen a check
HARMLESS_OPTIONS: Final = (
    "AddressFamily", "BindAddress", "BindInterface", "CertificateFile", "Ciphers", "Compression", "ConnectTimeout",
    "ConnectionAttempts", "GSSAPIAuthentication", "HostKeyAlgorithms", "HostKeyAlias", "IPQoS", "IdentitiesOnly",
    "IdentityAgent", "KexAlgorithms", "MACs", "PreferredAuthentications", "ProxyJump", "PubkeyAcceptedAlgorithms",
    "ServerAliveInterval", "ServerAliveCountMax", "TCPKeepAlive",
)  # fmt: skip
SshOption = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(HARMLESS_OPTIONS)})=[A-Za-z0-9_/~][A-Za-z0-9_.,:@/%~+-]*$")
]
_TYPED = re.compile(
    r"^(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]]*\]|[^:*\s]+)(?::(?P<port>\d+))?(?:\s*\*\s*(?P<workers>\d+))?$"
)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")


class Node(_Data):
    """One host. Port 0, and whatever is empty: as the user's ssh, or the profile, has it."""

    host: HostName = Field(title="Host", description="Name or address, as ssh is given it.")
    user: UserName = Field("", title="User", description="Empty: as your ssh has it.")
    port: int = Field(0, ge=0, le=65_535, strict=True, title="Port", description="Of its sshd. 0: as your ssh has it.")
    identity_file: AbsolutePath = Field("", title="Key file", description="Empty: as your ssh has it.")
    options: tuple[SshOption, ...] = Field(
        (), title="Options of ssh", description="Name=value, a space between: ProxyJump=gate ConnectTimeout=5"
    )
    local_worker_num: int = Field(
        1, ge=1, le=64, strict=True, title="Workers", description="One for each NPU of it; every node has as many."
    )
    python: AbsolutePath = Field("", title="Python", description="Interpreter there. Empty: as on this host.")
    work_dir: AbsolutePath = Field("", title="Folder", description="Working folder there. Empty: as on this host.")

    @property
    def typed(self) -> str:
        """`user@host:22*8`, as `parse_hosts` reads it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{user}{host}{port}*{self.local_worker_num}"


def parse_hosts(text: str) -> list[dict[str, Any]]:
    """`user@host:22*8, host2*8` as data of nodes: worker count after a star, IPv6 in brackets. Raises ValueError."""
    nodes: list[dict[str, Any]] = []
    for part in filter(None, (piece.strip() for piece in re.split(r"[,\n]", text))):
        match = _TYPED.match(part)
        if match is None:
            raise ValueError(f"{part!r} is not a node: write user@host:port*workers, for example trainer@node7*8")
        node: dict[str, Any] = {"host": match["host"].strip("[]"), "local_worker_num": int(match["workers"] or 1)}
        if match["user"]:
            node["user"] = match["user"]
        if match["port"]:
            node["port"] = int(match["port"])
        nodes.append(node)
    return nodes


def parse_node(texts: Mapping[str, str]) -> dict[str, Any]:
    """What was typed for the fields of one node, as data; kept as typed where it does not fit."""
    node: dict[str, Any] = {name: text.strip() for name, text in texts.items()}
    for name in ("port", "local_worker_num"):
        if re.fullmatch(r"[0-9]{1,9}", node[name]):
            node[name] = int(node[name])
    node["options"] = node["options"].split()
    return node


def show_field(value: object) -> str:
    """The value of one field of a node as text, the way `parse_node` reads it."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)


def show_hosts(value: object) -> str:
    """Data of nodes as one line of text; what is none as it is."""
    items = value if isinstance(value, (list, tuple)) else [value]
    try:
        return ", ".join(Node.model_validate(item).typed for item in items)
    except ValidationError:
        return str(value)


def keep_details(typed: object, before: object) -> object:
    """Newly typed nodes, each with what a line of text has no place for and the same host had before."""
    if not isinstance(typed, list) or not isinstance(before, (list, tuple)):
        return typed
    known = {item.get("host"): item for item in before if isinstance(item, dict)}
    kept = ("identity_file", "options", "python", "work_dir")
    return [{**{k: v for k, v in known.get(n["host"], {}).items() if k in kept}, **n} for n in typed]


class NodePart(_Data):
    """What one node does: its place, and the plan that its own supervisor runs."""

    rank: int
    node: Node
    python: str
    work_dir: str
    plan: Plan

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"node {self.rank} ({self.node.host})"


class Launch(_Data):
    """One step of a job that several nodes do together. `inputs` are the head's paths."""

    schema_version: Literal[1] = 1
    step: str
    master_addr: str
    master_port: int
    worker_num: int
    device: str  # CPU or Ascend
    package_dir: str
    python: str
    mindformers_home: str
    work_dir: str
    inputs: tuple[str, ...]
    parts: tuple[NodePart, ...]

    def path_on(self, part: NodePart, path: str) -> str:
        """Where a file of the head's working folder is on that node."""
        below = f"{self.work_dir}/"
        return f"{part.work_dir}/{path[len(below) :]}" if path.startswith(below) else path
