"""The redirect: `GET /l/{token}`."""

import structlog
from aiohttp import web

from chassis.clock import Clock, milliseconds_of
from chassis.transient import transient
from services.ingest.links.clicks import Clicks
from services.ingest.links.page import HEADERS, page
from services.ingest.links.target import location
from services.ingest.links.targets import Targets
from services.ingest.links.token import Signer
from services.ingest.visitor import Visitors, languages

_logger = structlog.get_logger()


class LinkDoor:
    """Leads people to the targets of their links, and tells of the clicks."""

    def __init__(
        self, signer: Signer, targets: Targets, visitors: Visitors, clicks: Clicks, clock: Clock
    ) -> None:
        self._signer = signer
        self._targets = targets
        self._visitors = visitors
        self._clicks = clicks
        self._clock = clock

    async def open(self, request: web.Request) -> web.Response:
        """Lead to the target. 404 for a token that is none of ours, 410 for one that expired."""
        token = self._signer.read(request.match_info["token"])
        if token is None:
            return _sorry(404, request)
        now_ms = milliseconds_of(self._clock.now())
        if now_ms >= token.expire_s * 1000:
            return _sorry(410, request)
        try:
            target = await self._targets.find(token.target)
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning("no link store", error=type(error).__name__)
            return _sorry(503, request)
        if target is None:
            return _sorry(404, request)
        who = self._visitors.visitor(request.headers) if request.method == "GET" else None
        if who is not None:
            self._clicks.tell(token, target, who, _stranger(request), now_ms)
        return web.Response(status=302, headers={**HEADERS, "Location": location(target.url)})


def _sorry(status: int, request: web.Request) -> web.Response:
    return page(status, languages(request.headers.get("Accept-Language", "")))


def _stranger(request: web.Request) -> str:
    headers = request.headers
    address = headers.get("X-Forwarded-For") or request.remote or ""
    return "\n".join((address, headers.get("User-Agent", ""), headers.get("Accept-Language", "")))
