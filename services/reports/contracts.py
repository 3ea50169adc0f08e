"""The contracts, asked in this process: by pages and exports as by any caller."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

_NO_CONTEXT: Final = None
"""There is no call: failures are raised, and who asks stands in `chassis.callers`."""

Q = TypeVar("Q")
A = TypeVar("A")


async def ask(answer: Callable[[Q, Any], A | Awaitable[A]], request: Q) -> A:
    """An answer. Raises what the contract says."""
    found = answer(request, _NO_CONTEXT)
    return await found if isinstance(found, Awaitable) else found
