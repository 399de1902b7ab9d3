"""Matches the parameters that a config calls for with the tensors of a checkpoint, by name and shape."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.families.family import Family, TensorRule


@dataclass(frozen=True)
class RowGroups:
    """Which rows of a parameter a tensor has: in each group of `period` rows, `count` from the row `first` on."""

    first: int
    count: int
    period: int


@dataclass(frozen=True)
class Block:
    """Where a Hugging Face tensor is, transposed, in a parameter of shape `whole`: (rows, columns), in elements."""

    first_row: int
    first_column: int
    whole: Tuple[int, int]


@dataclass(frozen=True)
class Parameter:
    """One parameter that a config calls for: name and shape in MindFormers, source and layout (see `TensorRule`).

    Several share a name where MindFormers keeps several tensors in one parameter: `rows` or `block` says which part is
    this one's, and `shape` is that of the source.
    """

    name: str
    source: str
    shape: Tuple[int, ...]
    transposed: bool = False
    part: Tuple[int, int] = (0, 1)
    rows: Optional[RowGroups] = None
    block: Optional[Block] = None

    @property
    def stored_shape(self) -> Tuple[int, ...]:
        """The shape in MindFormers of the whole parameter that this one is, or is a part of."""
        if self.block is not None:
            return self.block.whole
        if self.rows is None:
            return self.shape
        return (self.shape[0] // self.rows.count * self.rows.period, *self.shape[1:])

    @property
    def source_shape(self) -> Tuple[int, ...]:
        """The shape of the whole source in Hugging Face."""
        turned = self.shape[::-1] if self.transposed else self.shape
        return (*turned[:-1], turned[-1] * self.part[1])


@dataclass(frozen=True)
class MappedTensor:
    """A parameter and the tensor that holds it. Two parameters may share an entry (tied embeddings, parts)."""

    parameter: Parameter
    entry: TensorEntry

    @property
    def name(self) -> str:
        """The parameter's name in MindFormers."""
        return self.parameter.name


@dataclass(frozen=True)
class TensorMap:
    """What a checkpoint holds against what its config calls for; `complaints` is empty when all fits."""

    tensors: Tuple[MappedTensor, ...]
    complaints: Tuple[str, ...]


def expected_parameters(
    family: Family,
    *,
    num_layers: int,
    tied: bool,
    dimensions: Mapping[str, int],
    contiguous: Tuple[str, ...] = (),
    dense_layers: int = 0,
    layers_ahead: int = 0,
) -> List[Parameter]:
    """Every parameter of such a model, in the order of the `.ckpt`; `dimensions`: sizes by name, in elements.

    `contiguous` are the (ends of) names of fused parameters that keep each tensor's rows together. The first
    `dense_layers` of `num_layers` have no experts, `layers_ahead` come after them.
    """
    experts = range(dimensions.get("experts", 0))
    placed = [(rule, 0, 0) for rule in family.first]
    for layer in range(num_layers + layers_ahead):
        dense, ahead = layer < dense_layers, layer >= num_layers
        kinds = ("all", "dense") if dense else ("all", "experts", "ahead") if ahead else ("all", "experts")
        placed += [(rule, layer, 0) for rule in family.layer if rule.layers in kinds]
        if not dense:
            placed += [(rule, layer, expert) for expert in experts for rule in family.expert]
    placed += [(rule, 0, 0) for rule in family.last]
    return [
        _place(rule, (layer, expert), family, tied, dimensions, contiguous)
        for rule, layer, expert in placed
        if all(dimensions[dimension] for dimension in rule.shape)
    ]


def _place(
    rule: TensorRule,
    place: Tuple[int, int],
    family: Family,
    tied: bool,
    dimensions: Mapping[str, int],
    contiguous: Tuple[str, ...],
) -> Parameter:
    source = family.tied_source if tied and rule.target == family.tied_target else rule.source
    shape = tuple(dimensions[dimension] for dimension in rule.shape)
    layer, expert = place
    name = rule.target.format(layer=layer, expert=expert)
    rows: Optional[RowGroups] = None
    if rule.fused is not None:
        together = bool(contiguous) and name.endswith(contiguous)
        sizes = [dimensions[size] for size in (rule.fused.contiguous if together else rule.fused.of)]
        rows = RowGroups(sum(sizes[: rule.fused.which]), sizes[rule.fused.which], sum(sizes))
    block: Optional[Block] = None
    if rule.stacked is not None:
        columns, height = shape
        whole = (height * dimensions["experts"], columns * rule.stacked.parts)
        block = Block(expert * height, rule.stacked.which * columns, whole)
    return Parameter(name, source.format(layer=layer, expert=expert), shape, rule.transposed, rule.part, rows, block)


def map_tensors(family: Family, parameters: Sequence[Parameter], entries: Sequence[TensorEntry]) -> TensorMap:
    """Bring parameters and tensors together: missing, unknown and wrongly shaped ones become complaints by name."""
    by_name = {bare_name(family, entry.name): entry for entry in entries}
    tensors: List[MappedTensor] = []
    wrong: Dict[str, str] = {}
    for parameter in parameters:
        entry = by_name.get(parameter.source)
        if entry is None:
            wrong.setdefault(parameter.source, f"tensor {parameter.source!r} is missing")
            continue
        if entry.shape != parameter.source_shape:
            wrong.setdefault(
                parameter.source,
                f"tensor {entry.name!r} in {entry.file.name} has the shape {list(entry.shape)}, "
                f"config.json calls for {list(parameter.source_shape)}",
            )
        tensors.append(MappedTensor(parameter, entry))
    complaints = list(wrong.values())
    # A tied model may still carry its output layer; transformers takes the embeddings, and so do we.
    known = {parameter.source for parameter in parameters} | {rule.source for rule in family.first + family.last}
    complaints += [
        f"tensor {entry.name[:200]!r} in {entry.file.name} is unknown to this model"
        for entry in entries
        if bare_name(family, entry.name) not in known and not _is_skipped(family, bare_name(family, entry.name))
    ]
    twice = [name for name, count in Counter(bare_name(family, entry.name) for entry in entries).items() if count > 1]
    complaints += [f"tensor {name!r} is there with and without {family.prefix!r}" for name in twice]
    return TensorMap(tuple(tensors), tuple(complaints))


def bare_name(family: Family, name: str) -> str:
    """The name without the prefix that the family's files may have."""
    return name[len(family.prefix) :] if name.startswith(family.prefix) else name


def _is_skipped(family: Family, name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in family.skipped)
