"""A weight with LoRA in it: W + scaling x B A, in float32 whatever the types, then rounded once, a few rows at a time.

The arithmetic is that of MindFormers' transform_ckpt_lora.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Tuple

from sft_tui.checkpoint.copy.precision import cast_values
from sft_tui.checkpoint.copy.tensor_values import OpenFiles, Values

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Addition:
    """What is added to a tensor [rows, columns]: `scaling` x b a. `types` are the `tensor_type` words of a and b.

    `turned`: the tensor has the matrix turned around, and others beside it: in the columns from `first_column` on,
    `width` of them, `scaling` x (b a)^T is added. `columns` is always the length of a row of the tensor.
    """

    a: Values
    b: Values
    types: Tuple[str, str]
    rank: int
    columns: int
    scaling: float
    turned: bool = False
    first_column: int = 0
    width: int = 0

    def add_to(self, files: OpenFiles, first: int, rows: Floats) -> None:
        """Add to whole rows, from row `first` on, in their place. Raises InvalidInputError for files that end early."""
        import numpy as np

        if self.turned:
            self._add_turned(files, first, rows)
            return
        a = self._read(files, self.a, self.types[0], (0, self.rank * self.columns))
        b = self._read(files, self.b, self.types[1], (first * self.rank, len(rows) * self.rank))
        product = np.matmul(b.reshape(-1, self.rank), a.reshape(self.rank, -1))
        product *= np.float32(self.scaling)
        rows += product

    def _add_turned(self, files: OpenFiles, first: int, rows: Floats) -> None:
        import numpy as np

        a = self._read(files, self.a, self.types[0], (0, self.a.nbytes // self.a.width)).reshape(self.rank, -1)
        b = self._read(files, self.b, self.types[1], (0, self.b.nbytes // self.b.width)).reshape(-1, self.rank)
        product = np.matmul(a[:, first : first + len(rows)].T, b.T)
        product *= np.float32(self.scaling)
        rows[:, self.first_column : self.first_column + self.width] += product

    def _read(self, files: OpenFiles, values: Values, tensor_type: str, numbers: Tuple[int, int]) -> Floats:
        import numpy as np

        begin, nbytes = numbers[0] * values.width, numbers[1] * values.width
        read = files.read(values, (begin, nbytes), memoryview(bytearray(nbytes)))
        return np.frombuffer(cast_values(read, tensor_type, "Float32"), "<f4")
