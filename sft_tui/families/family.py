"""What a model family is made of: names, shapes and layouts of its tensors on both sides, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple


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
class Rule:
    """One parameter of a family: its two names, and the names of its dimensions in MindFormers (`dimensions_of`).

    `part` (which, of how many) takes an equal share of the source's last dimension; `transposed` turns a matrix after
    that. So a source has the shape of the parameter, turned back, with its last dimension times `part[1]`.
    With `fused` the shape is that of the source, which has some rows of the parameter, with `stacked` that of the
    source, which is a block of it. A rule one of whose dimensions is 0 has no tensor in this model.
    """

    source: str
    target: str
    shape: Tuple[str, ...]
    transposed: bool = False
    part: Tuple[int, int] = (0, 1)
    fused: Optional[Fused] = None
    stacked: Optional[Stacked] = None


@dataclass(frozen=True)
class Family:
    """How a family's checkpoint looks on both sides.

    The parameters are written in the order `first`, `layer` for each layer, `last`. `tied_source` is what the output
    layer `tied_target` is a copy of when the config ties them; without a `tied_target` the model has none of its own.
    `skipped` matches tensors that are no parameters. Names in the source may begin with `prefix`. `aliases` are the
    words of MindFormers' convert_weight.py. `config_names` and `config_defaults` are where config.json does not speak
    as Llama's does. `tokenizer` is the file that such a model always comes with.

    `direct`: MindFormers loads the folder itself and saves safetensors, there is no `.ckpt`. `expert` are the
    parameters of each expert of a layer. `counters` matches what MindFormers counts in a training and saves beside the
    parameters. `fixed` are values that config.json must have where it has the field: what is built otherwise is another
    model. `unmapped` says why its parameters are not brought back, "" when they are.
    """

    model_types: Tuple[str, ...]
    architectures: Tuple[str, ...]
    layer: Tuple[Rule, ...]
    last: Tuple[Rule, ...]
    tied_source: str
    first: Tuple[Rule, ...] = ()
    tied_target: str = ""
    skipped: Tuple[str, ...] = ()
    prefix: str = ""
    aliases: Tuple[str, ...] = ()
    config_names: Mapping[str, str] = field(default_factory=dict)
    config_defaults: Mapping[str, object] = field(default_factory=dict)
    tokenizer: str = "tokenizer.model"
    direct: bool = False
    expert: Tuple[Rule, ...] = ()
    counters: Tuple[str, ...] = ()
    fixed: Mapping[str, object] = field(default_factory=dict)
    unmapped: str = ""
