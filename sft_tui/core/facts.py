"""Holds what was found on the machine and in the files: the second input of a plan, beside the profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from sft_tui.core.model_config import ModelConfig
from sft_tui.core.release import Release
from sft_tui.families.family import Route


@dataclass(frozen=True)
class EnvironmentFacts:
    """The training interpreter and what it has installed; an empty string means not found."""

    python: str
    python_version: str = ""
    packages: dict[str, str] = field(default_factory=dict)  # distribution name -> version
    mindformers_version: str = ""  # of the source folder if one is used, else of the package
    mindformers_home: str = ""
    mindformers_path: str = ""  # the package that a training imports
    mindformers_other: str = ""  # another one that is installed, with its place; empty: there is none
    mindformers_configs: str = ""  # folder of its YAML files
    run_mindformer: str = ""  # path of run_mindformer.py
    msrun: str = ""
    cann: str = ""
    driver: str = ""
    npu_smi: str = ""
    error: str = ""  # why the interpreter could not be asked
    release: Optional[Release] = None  # of MindFormers; None: not known here

    @property
    def mindspore(self) -> str:
        """Installed MindSpore version."""
        return self.packages.get("mindspore", "")


@dataclass(frozen=True)
class TextFacts:
    """How training data that is plain text becomes rows.

    `clean` is "wikitext" or "none"; `columns` are those of the rows. `shifted`: a label is the token behind its place,
    as the network takes it. `counted`: the numbers of rows are those that will
    be; else they are foretold from the beginning of a long text.
    """

    clean: str
    columns: tuple[str, ...]
    shifted: bool = False
    counted: bool = True


@dataclass(frozen=True)
class Facts:
    """Everything `build_plan` needs to know that the profile does not say."""

    own_command: tuple[str, ...]  # how to call sft-tui under its own interpreter
    training_command: tuple[str, ...]  # how to call sft-tui under the training interpreter
    package_dir: str  # the folder of the sft_tui package
    environment: EnvironmentFacts
    model: ModelConfig
    tokenizer_model: str  # the file of the tokenizer, or the folder that has it beside its chat template
    train_records: int
    eval_records: int  # held-out records, from a file or cut from the training file
    tokenizer_file: str = ""  # the file itself, where tokenizer_model is a folder
    pad_token_id: Optional[int] = None  # a token that stands in no row; None: 0 is one
    packed_rows: int = 0  # about as many rows train_records make when they are packed; 0: each makes one
    text: Optional[TextFacts] = None  # of plain text train_records and eval_records are rows; None: these are records
    made_rows: int = 0  # of the MindRecord that was made of this text; 0: none yet
    config_text: str = ""  # config.json in MindFormers' words, where that of the folder is in others
    end_token: str = ""  # what ends an answer, where the model's folder does not stop at it
    route: Route = "checkpoint"
    visible_npus: tuple[int, ...] = ()  # those this process may use, in its own order; empty: all
    base_yaml: str = ""  # text of the YAML that training starts from; empty: one is built
    base_yaml_path: str = ""  # where that was read
    device_memory_gb: float = 0.0  # HBM of one NPU, in 2**30 bytes; 0: not known

    @property
    def rows_to_train(self) -> int:
        """Rows of an epoch, as far as is known."""
        return self.made_rows or self.packed_rows or self.train_records

    @property
    def foretold(self) -> bool:
        """What is said of the rows to train on is an estimate."""
        return bool(self.packed_rows) or (self.text is not None and not self.text.counted and not self.made_rows)

    @property
    def rows_in_words(self) -> str:
        """How many rows there are to train on, and of what."""
        kind = "packed rows" if self.packed_rows else "records" if self.text is None else "rows of text"
        return f"{self.rows_to_train} {kind}"

    @property
    def direct(self) -> bool:
        """MindFormers loads the Hugging Face folder itself: no .ckpt, labels come shifted."""
        return self.route == "direct"
