"""`hyper_parallel`: MindFormers 2.0 imports it at its start; its PyNative trainer alone, for NPUs, uses it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Optional

NAME = "hyper_parallel"


class _Empty(ModuleType):
    """A module in which every name is there and can be called; to use what that gives is an error."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": _accept, "__getattr__": _refuse, "__module__": self.__name__})


def _accept(self: object, *_: object, **__: object) -> None:
    """MindFormers calls some of them while it is imported, `get_platform` for example, and keeps what they give."""


def _refuse(self: object, name: str) -> None:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(f"{type(self).__module__}.{type(self).__name__}.{name}: {NAME} is not installed")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname.partition(".")[0] != NAME:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


def install() -> None:
    """Only where it is not installed."""
    if importlib.util.find_spec(NAME) is None:
        sys.meta_path.append(_Finder())
