"""What all answers over HTTP share."""

from typing import Final

from aiohttp import web

HEADERS: Final = {"Server": "merhaba"}
"""Instead of aiohttp's own, which names its version and Python's."""


def abandoned(request: web.Request, response: web.Response) -> web.Response:
    """An answer to a body that cannot be read to its end: the connection ends with it. Left alone,
    aiohttp reads on after the answer and fails on what is there."""
    response.force_close()
    request.content.feed_eof()
    return response
