"""The profile: everything a user chose, typed and validated as a whole.

Field titles and descriptions are the labels and help lines that the wizard shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from sft_tui.core.nodes import Node, parse_hosts
from sft_tui.core.plan import STOP_GRACE_SECONDS
from sft_tui.core.profile_defaults import MAX_MASKED, MAX_REJECTED, NAME_PATTERN, WARN_CUT
from sft_tui.families.table import PLANNED

SCHEMA_VERSION: Final = 1

# no control characters: they are no part of a path, and NUL ends one
Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, pattern=NAME_PATTERN)]
DeviceTarget = Literal["CPU", "Ascend"]
WeightDtype = Literal["fp32", "fp16", "bf16", "keep"]
Switch = Literal["auto", "on", "off"]
DataKind = Literal["auto", "instructions", "text"]
if TYPE_CHECKING:
    FamilyName = str
else:
    FamilyName = Literal[tuple(PLANNED)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(_Section):
    """Where training runs and where its files go."""

    python: Text = Field(
        "",
        title="Training Python",
        description="Interpreter that has MindSpore and MindFormers. Empty: the one that runs sft-tui.",
    )
    mindformers_home: Text = Field(
        "",
        title="MindFormers source",
        description="A source checkout of MindFormers to train with. Empty: the installed package.",
    )
    device_target: DeviceTarget = Field(
        "Ascend", title="Device", description="Ascend for training on NPUs; CPU for a rehearsal."
    )
    work_dir: Text = Field(
        "",
        title="Working folder",
        description="Converted weights, MindRecord files, logs and checkpoints are written below it.",
    )
    device_memory_gb: float = Field(
        0.0, ge=0, le=4096, title="Device memory", description="GB of HBM of one NPU. 0: as npu-smi says, else 64."
    )


class Model(_Section):
    """The checkpoint to start from: a Hugging Face folder, or a ready `.ckpt`."""

    hf_dir: Text = Field(
        "", title="Model folder", description="Hugging Face folder with config.json and the safetensors files."
    )
    ckpt: Text = Field(
        "",
        title="Ready checkpoint",
        description="A .ckpt of MindSpore to start from as it is. Empty: converted from the model folder.",
    )
    tokenizer_model: Text = Field(
        "", title="Tokenizer", description="tokenizer.model or tokenizer.json. Empty: the one in the model folder."
    )
    family: FamilyName = Field(
        "llama",
        title="Family",
        description=" ".join(f"{name}: {family.about}." for name, family in PLANNED.items()),
    )


class Weights(_Section):
    """How the weights are converted."""

    dtype: WeightDtype = Field(
        "fp32", title="Precision", description="Of what is converted. fp32 as documented; keep: as in the source."
    )
    verify: bool = Field(
        True, title="Verify", description="Read both sides again and compare every tensor after converting."
    )


class Dataset(_Section):
    """The data: instructions with answers, or plain text."""

    train_path: Text = Field(
        "", title="Data file", description="JSON, JSON Lines, CSV, Parquet with records; or plain text."
    )
    eval_path: Text = Field(
        "", title="Held-out file", description="Never trained on. Empty: a share of the data file is held out."
    )
    kind: DataKind = Field(
        "auto", title="Kind of data", description="instructions: records. text: plain text, all of it trained on."
    )
    clean: Literal["auto", "wikitext", "none"] = Field(
        "auto", title="Cleaning", description="wikitext: its spacing undone, no headings. auto: where it is WikiText."
    )
    keep_all: bool = Field(
        False, title="Keep all", description="Of a text also what MindFormers' scripts lose; the last row is padded."
    )
    columns: Text = Field(
        "", title="Columns", description="Fields of the file: instruction=prompt,output=answer. Empty: found out."
    )
    eval_fraction: float = Field(
        0.05,
        ge=0.0,
        le=0.5,
        title="Held-out share",
        description="Used when no held-out file is given. 0: no evaluation.",
    )
    template: Text = Field(
        "vicuna_v1.1", title="Prompt template", description="Of FastChat. A Qwen3 folder has its own."
    )
    seq_length: int = Field(
        2048, ge=16, le=1_048_576, title="Sequence length", description="Tokens of a row; longer records are cut."
    )
    pack: bool = Field(
        False, title="Pack", description="Several whole records to a row: far fewer steps where records are short."
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", title="Bad records", description="fail: stop at the first. skip: list them beside the data, go on."
    )
    max_rejected: float = Field(
        MAX_REJECTED, ge=0.0, le=1.0, title="Skipped at most", description="Share of records that may be skipped."
    )
    on_unread: Literal["warn", "fail", "ignore"] = Field(
        "warn",
        title="Unread fields",
        description="Fields of a record that nobody reads: named and counted, or an error.",
    )
    max_masked: float = Field(
        MAX_MASKED,
        ge=0.0,
        le=1.0,
        title="Masked at most",
        description="Share of samples that may teach nothing, 0 to 1.",
    )
    warn_cut: float = Field(
        WARN_CUT,
        ge=0.0,
        le=1.0,
        title="Cut, warn above",
        description="Share of samples that may be cut without a warning.",
    )


class Training(_Section):
    """What msrun and MindFormers are told."""

    run_name: Name = Field("run1", title="Run name", description="Folder below runs/ for this run's output.")
    base_yaml: Text = Field(
        "", title="Base YAML", description="A finetune_*.yaml of MindFormers to start from. Empty: one is built."
    )
    method: Literal["full", "lora"] = Field(
        "full", title="Method", description="full: all parameters. lora: small adapters beside frozen weights."
    )
    epochs: int = Field(1, ge=1, le=10_000, title="Epochs", description="Passes over the training data.")
    batch_size: int = Field(
        1, ge=1, le=65_536, title="Batch size", description="Samples at a time: of a data parallel rank, a micro batch."
    )
    learning_rate: float = Field(1e-5, gt=0, le=1, title="Learning rate", description="Peak of the cosine schedule.")
    warmup_ratio: float = Field(0.03, ge=0, lt=1, title="Warm-up ratio", description="Share of steps that warm up.")
    weight_decay: float = Field(0.0, ge=0, le=1, title="Weight decay", description="Of AdamW.")
    max_grad_norm: float = Field(
        1.0, gt=0, allow_inf_nan=False, title="Gradient clipping", description="Largest global norm of gradients."
    )
    save_checkpoint_steps: int = Field(
        0, ge=0, title="Checkpoint steps", description="Steps between two checkpoints. 0: four over the run."
    )
    stop_grace_seconds: int = Field(
        STOP_GRACE_SECONDS,
        ge=0,
        le=86_400,
        title="Stop grace",
        description="Seconds to end in, or to save a checkpoint, before a stopped step is killed.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, title="Seed", description="Shuffling and initialisation.")
    evaluate: bool = Field(
        True, title="Evaluate", description="Measure perplexity on held-out data before and after training."
    )
    lora_rank: int = Field(8, ge=1, le=4096, title="LoRA rank", description="Inner size of the adapters.")
    lora_alpha: int = Field(16, ge=1, le=65_536, title="LoRA alpha", description="Adapters count alpha / rank times.")
    lora_dropout: float = Field(0.05, ge=0, lt=1, title="LoRA dropout", description="Share of adapter inputs left out.")
    lora_targets: Text = Field(
        "",
        title="LoRA targets",
        description="Pattern of MindFormers' cells (wq, linear_qkv, ...). Empty: those of attention.",
    )
    model_parallel: int = Field(
        0,
        ge=0,
        le=1024,
        title="Model parallel",
        description="Workers to a matrix. 0: as the base YAML, or 1.",
    )
    pipeline_stage: int = Field(
        0, ge=0, le=1024, title="Pipeline stages", description="Groups of layers. 0: as the base YAML, or 1."
    )
    expert_parallel: int = Field(
        0, ge=0, le=1024, title="Expert parallel", description="Workers that share out experts. 0: as the base, or 1."
    )
    micro_batch_num: int = Field(
        0, ge=0, le=65_536, title="Micro batches", description="Of a pipeline. 0: as the base YAML, or one a stage."
    )
    gradient_accumulation_steps: int = Field(
        0, ge=0, le=65_536, title="Accumulation", description="Batches of a step, on NPUs. 0: as the base YAML, or 1."
    )
    recompute: Switch = Field(
        "auto", title="Recompute", description="Less memory, a third more time. auto: as the base YAML, or on (NPUs)."
    )
    parallel_optimizer: Switch = Field(
        "auto", title="Optimizer shards", description="Shared out over ranks. auto: as the base YAML, or on (NPUs)."
    )
    sink_size: int = Field(
        0, ge=0, le=1_000_000, title="Sink size", description="Steps the NPU runs at a time, unseen. 0: no sink mode."
    )


class Nodes(_Section):
    """How many workers, and where."""

    worker_num: int = Field(
        1, ge=1, le=8192, title="Workers", description="Processes, one per NPU. With nodes: their sum, by itself."
    )
    master_port: int = Field(
        8118, ge=1024, le=65_535, title="Master port", description="Port on which msrun's scheduler listens."
    )
    cluster_time_out: int = Field(
        600, ge=30, le=86_400, title="Cluster time-out", description="Seconds msrun waits for all workers."
    )
    hosts: tuple[Node, ...] = Field(
        (),
        title="Nodes",
        description="In the order of node_rank: user@host:port*workers, ... Empty: this host only.",
    )
    master_addr: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_:][A-Za-z0-9_.:%-]*)?$")] = Field(
        "", title="Master address", description="Where the other nodes reach the first one. Empty: by its name."
    )

    @field_validator("hosts", mode="before")
    @classmethod
    def _typed_hosts(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stood in the file
        return parse_hosts(value) if isinstance(value, str) else value

    @field_validator("hosts")
    @classmethod
    def _fit_together(cls, hosts: tuple[Node, ...]) -> tuple[Node, ...]:
        if len({node.local_worker_num for node in hosts}) > 1:
            raise ValueError("msrun wants the same number of workers on every node")
        if len({(node.host, node.port) for node in hosts}) < len(hosts):
            raise ValueError("a node is named twice")
        if len(hosts) == 1 and hosts[0].local_worker_num == 1:
            raise ValueError("one worker on one node needs no list of nodes: leave it empty, run sft-tui there")
        return hosts

    @model_validator(mode="after")
    def _count_workers(self) -> Nodes:
        total = sum(node.local_worker_num for node in self.hosts)
        if self.hosts and self.worker_num not in (1, total):
            raise ValueError(f"the nodes have {total} workers, not {self.worker_num}")
        if total:
            self.__dict__["worker_num"] = total
        return self

    @property
    def local_worker_num(self) -> int:
        """Workers of each host."""
        return self.hosts[0].local_worker_num if self.hosts else self.worker_num

    @property
    def master(self) -> str:
        """The address of node 0."""
        return self.master_addr or (self.hosts[0].host if self.hosts else "127.0.0.1")


class Profile(_Section):
    """Everything a user chose."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Name
    rehearsal: bool = Field(
        False, title="Rehearsal", description="A toy model that shows the way; its answers mean nothing."
    )
    environment: Environment = Environment()
    model: Model = Model()
    weights: Weights = Weights()
    dataset: Dataset = Dataset()
    training: Training = Training()
    nodes: Nodes = Nodes()

    @model_validator(mode="before")
    @classmethod
    def _newer_schema(cls, data: Any) -> Any:  # noqa: ANN401 - whatever stood in the file
        version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ValueError(
                f"profile has schema_version {version}; this sft-tui knows {SCHEMA_VERSION}: update sft-tui"
            )
        return data


# fields that hold a path, and what it leads to
PATH_FIELDS: dict[str, Literal["file", "folder"]] = {
    "environment.python": "file",
    "environment.mindformers_home": "folder",
    "environment.work_dir": "folder",
    "model.hf_dir": "folder",
    "model.ckpt": "file",
    "model.tokenizer_model": "file",
    "dataset.train_path": "file",
    "dataset.eval_path": "file",
    "training.base_yaml": "file",
}


def section_model(section: str) -> type[BaseModel]:
    """The pydantic model of one section of the profile."""
    annotation = Profile.model_fields[section].annotation
    assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation


def default_data(name: str, *, work_dir: str, python: str, device_target: DeviceTarget) -> dict[str, Any]:
    """The data of a new profile: every default that works, to be completed by the user."""
    data = Profile(name=name).model_dump()
    data["environment"].update(work_dir=work_dir, python=python, device_target=device_target)
    data["nodes"]["hosts"] = []  # as a file has it
    return data


def parse_field(section: str, field: str, text: str) -> Any:  # noqa: ANN401 - the field's own type
    """What a user typed, as the field's type; kept as typed where it does not fit (validation then says why)."""
    default = section_model(section).model_fields[field].default
    text = text.strip()
    if (section, field) == ("nodes", "hosts"):
        try:
            return parse_hosts(text)
        except ValueError:
            return text
    if isinstance(default, bool):
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        return words.get(text.lower(), text)
    for kind in (int, float):
        if isinstance(default, kind):
            try:
                return kind(text)
            except ValueError:
                return text
    return text
