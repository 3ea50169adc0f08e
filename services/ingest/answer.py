"""What all answers over HTTP share."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

HEADERS: Final = {"Server": "merhaba"}
"""Instead of aiohttp's own, which names its version and Python's."""

RETRY_AFTER_S: Final = 5
"""When to try again what is not taken now."""


def text_headers(status: int) -> dict[str, str]:
    """Headers of an answer in words, or of none."""
    headers = {**HEADERS, "Content-Type": "text/plain; charset=utf-8"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers


def abandoned(request: web.Request, response: web.Response) -> web.Response:
    """An answer to a body that cannot be read to its end: the connection ends with it. Left alone,
    aiohttp reads on after the answer and fails on what is there."""
    response.force_close()
    request.content.feed_eof()
    return response
