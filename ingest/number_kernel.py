"""Decimal to binary, compiled: the float nearest to a JSON number of at most 19 digits without exponent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.compiled import compiled

_MINUS, _POINT, _ZERO, _NINE = 45, 46, 48, 57
_EXACT = np.uint64(1 << 53)
_MOST_DECIMALS = 22  # powers of ten up to here are exact as floats
_MOST_MANTISSA = (2**63 - 10) // 10
_POWERS = np.array([10.0**n for n in range(_MOST_DECIMALS + 1)])


def _inverse_powers() -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return 10^-n as 128 bits from the first that is set, cut off: uint64[n, 2]; and their exponents."""
    bits, exponents = [], []
    for n in range(_MOST_DECIMALS + 1):
        shift = 127 + (10**n - 1).bit_length() if n else 127
        whole = (1 << shift) // 10**n
        assert whole.bit_length() == 128  # noqa: S101 - the shift above makes it so
        bits.append([whole >> 64, whole & (2**64 - 1)])
        exponents.append(127 - shift)
    return np.array(bits, np.uint64), np.array(exponents, np.int64)


_INVERSE, _INVERSE_EXPONENT = _inverse_powers()


@compiled
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the upper and the lower 64 bits of a product."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    a1, a0, b1, b0 = a >> half, a & low, b >> half, b & low
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & low)
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@compiled
def _rounded(mantissa: np.uint64, decimals: int) -> Any:
    """Return the bits of the float nearest to mantissa / 10^decimals (mantissa > 0); 0 when in doubt.

    Lemire, Number parsing at a gigabyte per second, 10.1002/spe.2984, for negative powers only.
    """
    one, round_bits = np.uint64(1), np.uint64(0x1FF)
    shifted, leading = mantissa, 0
    while not shifted >> np.uint64(63):
        shifted <<= one
        leading += 1
    upper, lower = _product(shifted, _INVERSE[decimals, 0])
    if upper & round_bits == round_bits and lower + shifted < lower:
        carry, rest = _product(shifted, _INVERSE[decimals, 1])
        lower += carry
        if lower < carry:
            upper += one
        if (
            upper & round_bits == round_bits
            and lower + one == np.uint64(0)
            and rest + shifted < rest
        ):
            return np.uint64(0)
    top = upper >> np.uint64(63)
    found = upper >> (top + np.uint64(9))
    if lower == np.uint64(0) and upper & round_bits == np.uint64(0) and found & np.uint64(3) == one:
        return np.uint64(0)
    exponent = 1023 + 63 - leading + _INVERSE_EXPONENT[decimals] + np.int64(top)
    found = (found + (found & one)) >> one
    if found >> np.uint64(53):
        found >>= one
        exponent += 1
    return (np.uint64(exponent) << np.uint64(52)) | (found & np.uint64((1 << 52) - 1))


@compiled
def number_at(  # noqa: PLR0911, PLR0912 - one pass; each return is one way not to be plain
    text: NDArray[np.uint8],
    at: int,
    stop: int,
    values: NDArray[np.float64],
    bits: NDArray[np.uint64],
    place: int,
) -> int:
    """Read a JSON number into values[place]; return where it ends, -1 when it is not plainly one.

    bits: the same memory as `values`.
    """
    negative = text[at] == _MINUS
    if negative:
        at += 1
    begin, mantissa, decimals = at, 0, -1
    while at < stop:
        byte = int(text[at])
        if _ZERO <= byte <= _NINE:
            if mantissa > _MOST_MANTISSA:
                return -1
            mantissa = mantissa * 10 + (byte - _ZERO)
            if decimals >= 0:
                decimals += 1
        elif byte == _POINT and decimals < 0 and at > begin:
            decimals = 0
        else:
            break
        at += 1
    if at == begin or decimals == 0 or decimals > _MOST_DECIMALS:
        return -1
    whole = decimals < 0
    if text[begin] == _ZERO and at - begin > 1 and text[begin + 1] != _POINT:
        return -1  # a leading zero
    if at < stop and (text[at] == 101 or text[at] == 69):
        return -1  # an exponent
    if whole:
        decimals = 0
        if negative and mantissa == 0:
            return -1  # an integer: it has no negative zero
    if np.uint64(mantissa) <= _EXACT:
        values[place] = np.float64(mantissa) / _POWERS[decimals]
    else:
        found = _rounded(np.uint64(mantissa), decimals)
        if found == np.uint64(0):
            return -1
        bits[place] = found
    if negative:
        values[place] = -values[place]
    return at
