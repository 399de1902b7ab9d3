"""What was found is kept with what it depends on: after an edit only that is looked at again which the edit touches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Callable, Generic, Hashable, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The newest few results of one kind of look. Threads may share it; two of them may look at the same time."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, look: Callable[[], T], *, sound: Callable[[T], bool] = lambda found: True) -> T:
        """The result for that key, looked for where it is not there. What is not `sound` is not kept, nor an error."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = look()
        if not sound(found):
            return found
        with self._lock:
            self._found[key] = found
            while len(self._found) > self._size:
                self._found.popitem(last=False)
        return found
