"""CRC-32 of a whole from the CRC-32 of its parts, so that several threads can compute it."""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320  # of zlib.crc32, lowest power in the highest bit
_ONE = 1 << 31
_BITS_PER_BYTE_LOG2 = 3


def combine_crc32(first: int, second: int, second_bytes: int) -> int:
    """What zlib.crc32 gives for two stretches together, from those of each; `second_bytes` is the second's length.

    To append n bits multiplies a CRC by x**n modulo the polynomial (zlib's crc32_combine does the same).
    """
    return _multiply(_power(second_bytes), first) ^ second


@lru_cache(maxsize=1024)
def _power(nbytes: int) -> int:
    """x**(8 * nbytes) modulo the polynomial, by squaring."""
    result, square = _ONE, _ONE >> 1
    for _ in range(_BITS_PER_BYTE_LOG2):
        square = _multiply(square, square)
    while nbytes:
        if nbytes & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        nbytes >>= 1
    return result


def _multiply(left: int, right: int) -> int:
    product = 0
    for place in range(31, -1, -1):
        if left >> place & 1:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
