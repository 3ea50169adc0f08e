"""What the control API answers with, and reads from requests."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import orjson
from aiohttp import web

from simulator.refusals import Refused

Handler = Callable[[web.Request], Awaitable[web.Response]]
T = TypeVar("T")


async def decode(request: web.Request, kind: type[T]) -> T:
    return msgspec.json.decode(await request.read() or b"{}", type=kind)


def answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def whole(request: web.Request, name: str, default: int) -> int:
    """A whole number in the query. Raises Refused."""
    try:
        return int(request.query.get(name, default))
    except ValueError:
        raise Refused(100, f"{name} must be a whole number") from None


def number(request: web.Request, name: str, default: float) -> float:
    """A number in the query. Raises Refused."""
    try:
        return float(request.query.get(name, default))
    except ValueError:
        raise Refused(100, f"{name} must be a number") from None
