"""Reads the pickle inside a PyTorch `.bin` without running it: only tensors can come out, nothing can be called.

The standard library takes the pickle apart (`pickletools.genops`); here is a machine for the few instructions that
`torch.save` writes. Format: torch/serialization.py, torch/_utils.py (`_rebuild_tensor_v2`).
"""

from __future__ import annotations

import pickletools
import struct
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

from sft_tui.errors import InvalidInputError

MAX_PICKLE_BYTES = 16_000_000
MAX_INSTRUCTIONS = 1_000_000  # a tensor takes about 25; each can leave up to a hundred bytes behind
_MAX_DIMENSIONS = 32
_MAX_INT = 2**63 - 1
_HINT = "Take the file from where it was first published, better as safetensors; do not open this one with torch.load."


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the zip file: `dtype` in safetensors' word, `key` its member below `data/`."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True)
class PickledTensor:
    """A tensor and where its numbers are; `offset` and `strides` count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """Something of Python's that a pickle speaks of."""

    path: str


_ORDERED_DICT = _Name("collections.OrderedDict")
_REBUILD_TENSOR = _Name("torch._utils._rebuild_tensor_v2")
_REBUILD_PARAMETER = _Name("torch._utils._rebuild_parameter")
_STORAGE_DTYPES = {
    "torch.FloatStorage": "F32", "torch.HalfStorage": "F16", "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64", "torch.LongStorage": "I64", "torch.IntStorage": "I32", "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8", "torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
    "torch.ComplexFloatStorage": "C64",
}  # fmt: skip
_KNOWN = {_ORDERED_DICT.path, _REBUILD_TENSOR.path, _REBUILD_PARAMETER.path, *_STORAGE_DTYPES}


def parse_state_dict(raw: bytes, where: str) -> Dict[str, object]:
    """The dictionary in a pickle: values are `PickledTensor`, plain numbers and texts, lists and dictionaries.

    Raises InvalidInputError that begins with `where`, and names what the pickle wanted to run if it is more than that.
    Time and memory are bounded: by the length of `raw`, and by `MAX_INSTRUCTIONS`.
    """
    if len(raw) > MAX_PICKLE_BYTES:
        raise InvalidInputError(f"{where} has {len(raw):,} bytes, too many for names and shapes.", _HINT)
    machine = _Machine(where)
    try:
        for count, (opcode, argument, _place) in enumerate(pickletools.genops(raw)):
            if count >= MAX_INSTRUCTIONS:
                raise InvalidInputError(f"{where} has more than {MAX_INSTRUCTIONS:,} instructions.", _HINT)
            machine.run(opcode.name, argument)
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        raise InvalidInputError(f"{where} is broken: {str(error)[:200]}.", _HINT) from error
    if not isinstance(machine.result, dict):
        raise InvalidInputError(f"{where} holds no dictionary of tensors.", "Save the model's state_dict() alone.")
    return machine.result


class _Mark:
    """Where a list of arguments begins on the stack."""


_Action = Callable[["_Machine", object], object]
_NOTHING = object()  # the instruction leaves nothing on the stack


class _Machine:
    """A stack and a memo. Raises ValueError, IndexError or KeyError for what makes no sense."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: List[object] = []
        self.memo: Dict[int, object] = {}
        self.result: object = None

    def run(self, name: str, argument: object) -> None:
        """Carry out one instruction."""
        if name not in _ACTIONS:
            raise self.refusal(f"the instruction {name}" + (f" {str(argument)[:200]!r}" if argument else ""))
        left = _ACTIONS[name](self, argument)
        if left is not _NOTHING:
            self.stack.append(left)

    def refusal(self, what: str) -> InvalidInputError:
        """The error for a pickle that wants more than tensors."""
        return InvalidInputError(f"{self.where} wants to run {what}; it may only hold tensors.", _HINT)

    def pop_to_mark(self) -> List[object]:
        """What was put on the stack since the last mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise ValueError("a list that never began")

    def take(self, count: int) -> Tuple[object, ...]:
        """The last `count` values of the stack."""
        if len(self.stack) < count:
            raise ValueError("too few values")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def name(self, path: str) -> object:
        """A name, if it is one of those that tensors need."""
        if path not in _KNOWN:
            raise self.refusal(repr(path[:200]))
        return _Name(path)

    def global_name(self, argument: object) -> object:
        module, _, attribute = str(argument).partition(" ")
        return self.name(f"{module}.{attribute}")

    def stacked_name(self, _argument: object) -> object:
        module, attribute = self.take(2)
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise ValueError("a name that is no text")
        return self.name(f"{module}.{attribute}")

    def reduce(self, _argument: object) -> object:
        called, arguments = self.take(2)
        if called == _ORDERED_DICT and arguments == ():
            return {}
        if called == _REBUILD_TENSOR and isinstance(arguments, tuple) and len(arguments) in (6, 7):
            return _parse_tensor(*arguments[:4])
        if called == _REBUILD_PARAMETER and isinstance(arguments, tuple) and arguments:
            return arguments[0]
        what = called.path if isinstance(called, _Name) else type(called).__name__
        raise self.refusal(f"{what!r} in a way that makes no tensor")

    def build(self, _argument: object) -> object:
        # state_dict() carries versions of its modules as an attribute of the dictionary
        (state,) = self.take(1)
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
            raise self.refusal("'__setstate__'")
        return _NOTHING

    def storage(self, _argument: object) -> object:
        (spoken,) = self.take(1)
        if isinstance(spoken, tuple) and len(spoken) == 5:
            kind, storage, key, _device, numel = spoken
            dtype = _STORAGE_DTYPES.get(storage.path) if isinstance(storage, _Name) else None
            if kind == "storage" and dtype and isinstance(key, str):
                return Storage(dtype, key, _parse_count(numel))
        raise ValueError("a reference that is no storage of numbers")

    def set_items(self, items: List[object]) -> object:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("entries without a dictionary")
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, str):
                raise ValueError("a dictionary with keys that are no text")
            target[key] = value
        return _NOTHING

    def append(self, items: List[object]) -> object:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("items without a list")
        target.extend(items)
        return _NOTHING

    def remember(self, place: object) -> object:
        self.memo[_parse_count(place)] = self.stack[-1]
        return _NOTHING

    def recall(self, place: object) -> object:
        if place not in self.memo:
            raise ValueError("something that was never remembered")
        return self.memo[_parse_count(place)]

    def stop(self, _argument: object) -> object:
        (self.result,) = self.take(1)
        return _NOTHING


def _parse_tensor(storage: object, offset: object, shape: object, strides: object) -> PickledTensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor without a storage or a shape")
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("a tensor with a shape that cannot be")
    sizes, steps = tuple(map(_parse_count, shape)), tuple(map(_parse_count, strides))
    return PickledTensor(storage, _parse_count(offset), sizes, steps)


def _parse_count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_INT:
        raise ValueError("a size that cannot be")
    return value


def _push(_machine: _Machine, argument: object) -> object:
    return argument


def _pass(_machine: _Machine, _argument: object) -> object:
    return _NOTHING


_ACTIONS: Dict[str, _Action] = {
    "PROTO": _pass,
    "FRAME": _pass,
    "STOP": _Machine.stop,
    "MARK": lambda machine, argument: _Mark(),
    "NONE": lambda machine, argument: None,
    "NEWTRUE": lambda machine, argument: True,
    "NEWFALSE": lambda machine, argument: False,
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    "EMPTY_TUPLE": lambda machine, argument: (),
    "TUPLE1": lambda machine, argument: machine.take(1),
    "TUPLE2": lambda machine, argument: machine.take(2),
    "TUPLE3": lambda machine, argument: machine.take(3),
    "TUPLE": lambda machine, argument: tuple(machine.pop_to_mark()),
    "EMPTY_LIST": lambda machine, argument: [],
    "APPEND": lambda machine, argument: machine.append(list(machine.take(1))),
    "APPENDS": lambda machine, argument: machine.append(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, argument: {},
    "SETITEM": lambda machine, argument: machine.set_items(list(machine.take(2))),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.pop_to_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda machine, argument: machine.remember(len(machine.memo)),
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
