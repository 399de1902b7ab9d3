"""A disk that takes its time over one file: Python imports this before anything else where PYTHONPATH names its folder.

`SLOW_DISK` is the path of an order. While that file exists, fsync blocks of a file whose path matches the order's first
line (a pattern of fnmatch) and whose text contains its second; of a folder, if it holds a file of that name.
`<order>.reached` then says which process waits.
"""

import fnmatch
import os
import time

_order = os.environ.get("SLOW_DISK", "")
_fsync = os.fsync


def _is_meant(descriptor):
    try:
        with open(_order, encoding="utf-8") as order:
            pattern, text = order.read().splitlines()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not fnmatch.fnmatch(path, pattern):
            return False
        if os.path.isdir(path):
            return text in os.listdir(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            return text in file.read()
    except (OSError, ValueError):
        return False


def _slow_fsync(descriptor):
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if _is_meant(number):
        partial = f"{_order}.partial"
        with open(partial, "w", encoding="utf-8") as file:
            file.write(str(os.getpid()))
        os.rename(partial, f"{_order}.reached")
        while os.path.exists(_order):
            time.sleep(0.01)
    return _fsync(descriptor)


if _order:
    os.fsync = _slow_fsync
