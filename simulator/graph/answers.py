"""What Graph answers with, and reads from requests."""

import base64
import re
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson
from aiohttp import BodyPartReader, web

from simulator.refusals import THROTTLES, Refused

_LARGEST_OBJECT = 1024 * 1024
_NESTED = re.compile(r"\{[^{}]*\}|\([^()]*\)")


def answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def refusal(refused: Refused, *, http_429: bool) -> tuple[int, bytes]:
    """Status and body. `http_429`: what some see for throttling instead of Meta's 400."""
    status = 429 if http_429 and refused.code in THROTTLES else refused.status
    return status, orjson.dumps(refused.envelope("A" + token_hex(11)))


def object_in(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refused."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(100, "The body must be a JSON object.")
    return body


async def object_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request, or an empty one if it has no body. Raises Refused, also above
    a MiB."""
    raw = await request.read()
    if len(raw) > _LARGEST_OBJECT:
        raise Refused(100, f"The body is larger than {_LARGEST_OBJECT} bytes.")
    return object_in(raw) if raw else {}


def cut(request: web.Request) -> None:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


async def read_up_to(part: BodyPartReader, limit: int) -> bytes:
    """The whole of a part of a multipart body. Raises Refused (131053) above the limit."""
    data = bytearray()
    while chunk := await part.read_chunk(65_536):
        data += chunk
        if len(data) > limit:
            raise Refused(131053, f"The part {part.name} is larger than {limit} bytes.")
    return bytes(data)


def only(
    seen: dict[str, Any], fields: str, node: str = "", untold: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The fields asked for; all if none were. Nested field lists ask for the whole field.

    Raises Refused when a node with a name is asked for fields that it does not have; `untold` are
    those that it has and that are not set.
    """
    if not fields:
        return seen
    flat = _NESTED.sub("", fields)
    names = {name.split(".")[0].strip() for name in flat.split(",")} | {"id"}
    if node and (strange := names - seen.keys() - untold - {""}):
        raise Refused(
            100,
            message=f"(#100) Tried accessing nonexisting field ({min(strange)}) on node type "
            f"({node})",
        )
    return {key: value for key, value in seen.items() if key in names}


def page(items: list[dict[str, Any]], request: web.Request) -> dict[str, Any]:
    """A page of a list, as limit, after and before ask for it; `next` is a whole address."""
    query: Mapping[str, str] = request.query
    try:
        limit = min(max(int(query.get("limit", "25")), 1), 1000)
        start = _cursor(query["after"]) if "after" in query else 0
        if "before" in query:
            end = _cursor(query["before"])
            start, limit = max(0, end - limit), min(limit, end)
    except ValueError:
        raise Refused(100, "limit, after, before: not a page of this list.") from None
    found = items[start : start + limit]
    if not found:
        return {"data": []}
    before, after = (base64.b64encode(str(n).encode()).decode() for n in (start, start + limit))
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    if start + limit < len(items):
        following = request.url.update_query(after=after).without_query_params("before")
        paging["next"] = str(following)
    return {"data": found, "paging": paging}


def _cursor(given: str) -> int:
    return int(base64.b64decode(given, validate=True))
