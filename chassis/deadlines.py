"""How long the call that is being served may still take: no onward call takes longer."""

import asyncio
from contextvars import ContextVar
from typing import Final

_ends_at: Final[ContextVar[float | None]] = ContextVar("ends_at", default=None)


def ends_in(seconds: float | None) -> None:
    """The call that this task serves, and every task it starts, has so long; None is for ever."""
    _ends_at.set(None if seconds is None else asyncio.get_running_loop().time() + seconds)


def within(seconds: float | None) -> float | None:
    """`seconds` (None is for ever), or what is left when that is less."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return seconds
    left = max(ends_at - asyncio.get_running_loop().time(), 0.0)
    return left if seconds is None else min(seconds, left)
