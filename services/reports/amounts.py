"""Amounts of money as others write them. Pure."""

from decimal import Decimal, InvalidOperation
from typing import Final

_MILLION: Final = 1_000_000
_MOST_MICROS: Final = 9 * 10**18


def micros(value: object) -> int | None:
    """An amount in units of 1/1,000,000; None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = int((Decimal(str(value)) * _MILLION).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return found if abs(found) < _MOST_MICROS else None
