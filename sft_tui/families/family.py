"""What a model family is made of, as data: its tensors on both sides, who trains it, its words in MindFormers' YAML.

A family is one row: a module of this folder, named in table.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Mapping, Optional, Tuple

Route = Literal["checkpoint", "direct"]
Labels = Literal["as tokens", "shifted"]
WhichLayers = Literal["all", "dense", "experts", "ahead"]
# how MindFormers' script for a family makes rows of plain text (dataset/text/passages)
TextLayout = Literal["paragraphs", "passages"]


@dataclass(frozen=True)
class Fused:
    """One of several tensors of Hugging Face whose rows make one parameter of MindFormers.

    The parameter's rows come in groups: `of` names the number of rows (`dimensions_of`) that each tensor has in a
    group, `which` is this one's place. `contiguous` is the same where MindFormers is told to keep each tensor's rows
    together (`use_contiguous_weight_layout_attention`, `use_interleaved_weight_layout_mlp: False`).
    """

    which: int
    of: Tuple[str, ...]
    contiguous: Tuple[str, ...]


@dataclass(frozen=True)
class Stacked:
    """One of several matrices that MindFormers keeps in one: turned, experts below each other.

    Of each expert `parts` stand side by side; `which` is this one's place.
    """

    which: int
    parts: int


@dataclass(frozen=True)
class TensorRule:
    """One parameter of a family: its two names, and the names of its dimensions in MindFormers (`dimensions_of`).

    `part` (which, of how many) takes an equal share of the source's last dimension; `transposed` turns a matrix after
    that. So a source has the shape of the parameter, turned back, with its last dimension times `part[1]`.
    With `fused` the shape is that of the source, which has some rows of the parameter, with `stacked` that of the
    source, which is a block of it. A rule one of whose dimensions is 0 has no tensor in this model. `layers`: which of
    the model's have it; "ahead" are those that predict tokens further ahead, which have experts too.
    """

    source: str
    target: str
    shape: Tuple[str, ...]
    transposed: bool = False
    part: Tuple[int, int] = (0, 1)
    fused: Optional[Fused] = None
    stacked: Optional[Stacked] = None
    layers: WhichLayers = "all"


@dataclass(frozen=True)
class Releases:
    """Releases of MindFormers from one to another, both among them; empty: without a bound."""

    since: str = ""
    until: str = ""

    def __contains__(self, release: str) -> bool:
        number = _number(release)
        return (not self.since or _number(self.since) <= number) and (not self.until or number <= _number(self.until))


def _number(release: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


@dataclass(frozen=True)
class OfModel:
    """A number of the model's config.json, by the name of core.model_config's field; divided by another one."""

    name: str
    divided_by: str = ""


_LLAMA_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}


@dataclass(frozen=True)
class Network:
    """The words of MindFormers' YAML for a network of the checkpoint route.

    `own`: `model_class` is one of ours (launch/runtime/networks), which the runner registers. `lacks` are keys of
    model_config that this network's class does not have, `words` those that it has besides, each with its value or the
    number of the model that it is. `tokenizer_files` are keys of the tokenizer and the files of the model's folder that
    they name; empty: the tokenizer.model.
    `loss_scale` is what dynamic scaling begins with; a network of ours begins so with a base YAML too.
    """

    config_class: str  # type of model_config
    model_class: str = ""  # type of arch
    trainer_model: str = ""  # model_name of the trainer
    tokenizer_class: str = ""
    processor_class: str = ""
    own: bool = False
    lacks: Tuple[str, ...] = ()
    words: Mapping[str, object] = field(default_factory=dict)
    tokenizer_files: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=lambda: dict(_LLAMA_TOKENS))
    loss_scale: int = 65536


@dataclass(frozen=True)
class AdaptableCells:
    """The cells of a network that LoRA can adapt, by MindFormers' names.

    `attention` is the pattern of MindFormers' own files. `matrices`: what can be adapted, and the matrices of a layer
    (in the words of the memory estimate) that lie in it. `blocks` hold others: a pattern that means one stops there.
    `not_merged` are cells whose adapters do not come back into the Hugging Face folder.
    """

    attention: str
    matrices: Mapping[str, Tuple[str, ...]]
    blocks: Tuple[str, ...]
    not_merged: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedModel:
    """One model on the Hugging Face hub. `disk_gb` is the size of its safetensors files in powers of ten."""

    name: str
    repo: str
    parameters_billion: float
    disk_gb: float
    max_positions: int
    note: str = ""


@dataclass(frozen=True)
class Family:
    """One model family. `name` is its model_type in config.json, `title` what people call it.

    Trained: `trained` are the releases of MindFormers that do, `refused` says of others why they do not. `direct`:
    MindFormers loads the Hugging Face folder itself and saves safetensors, labels come shifted, there is no `.ckpt`.
    `planned`: a profile can name it; `about` is its help there.
    `shifted_labels`: its network takes the label behind a place, on the checkpoint route as well.

    YAML: `base_yaml` is the one below MindFormers' configs/ that a training on the direct route starts from,
    `network` has the words of the checkpoint route, `lora` the cells that LoRA adapts.

    Tensors: the parameters are written in the order `first`, `layer` for each layer, `last`; without them the family
    has no key map. `tied_source` is what the output layer `tied_target` is a copy of when the config ties them; without
    a `tied_target` the model has none of its own. `skipped` matches tensors that are no parameters. Names in the source
    may begin with `prefix`. `aliases` are the words of MindFormers' convert_weight.py. `config_names` and
    `config_defaults` are where config.json does not speak as Llama's does. `tokenizer` is the file that such a model
    always comes with. `expert` are the parameters of each expert of a layer. `counters` matches what MindFormers counts
    or caches in a training and saves beside the parameters. `fixed` are values that config.json must have where it has
    the field: what is built otherwise is another model. `unmapped` says why its parameters are not brought back.
    `gated`: its feed-forward has three matrices, else two. `low_rank_attention`: queries, keys and values go through
    matrices of low rank. `not_loaded` matches what MindFormers' own conversion writes besides, and its network does not
    have. `text_layout`: how plain text becomes rows for it.
    """

    name: str
    title: str
    architectures: Tuple[str, ...] = ()
    trained: Optional[Releases] = None
    refused: Tuple[Tuple[Releases, str], ...] = ()
    direct: bool = False
    planned: bool = False
    about: str = ""
    shifted_labels: bool = False
    base_yaml: str = ""
    network: Optional[Network] = None
    lora: Optional[AdaptableCells] = None
    first: Tuple[TensorRule, ...] = ()
    layer: Tuple[TensorRule, ...] = ()
    last: Tuple[TensorRule, ...] = ()
    gated: bool = True
    tied_source: str = ""
    tied_target: str = ""
    skipped: Tuple[str, ...] = ()
    prefix: str = ""
    aliases: Tuple[str, ...] = ()
    config_names: Mapping[str, str] = field(default_factory=dict)
    config_defaults: Mapping[str, object] = field(default_factory=dict)
    tokenizer: str = "tokenizer.model"
    expert: Tuple[TensorRule, ...] = ()
    counters: Tuple[str, ...] = ()
    fixed: Mapping[str, object] = field(default_factory=dict)
    not_loaded: Tuple[str, ...] = ()
    unmapped: str = ""
    low_rank_attention: bool = False
    published: Tuple[PublishedModel, ...] = ()
    text_layout: TextLayout = "paragraphs"

    @property
    def labels(self) -> Labels:
        """The label of a place: the token there (the network shifts), or the one behind it (it does not)."""
        return "shifted" if self.shifted_labels or (self.direct and self.trained) else "as tokens"

    def route(self, release: str) -> Optional[Route]:
        """How a release of MindFormers ("1.7") trains it; None where it does not."""
        if self.trained is None or release not in self.trained:
            return None
        return "direct" if self.direct else "checkpoint"
