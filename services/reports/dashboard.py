"""The dashboard's HTTP door: sign-in, pages, and what keeps a browser from doing more."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from chassis.clock import Clock
from chassis.failures import NotFound
from chassis.transient import transient
from services.reports import pages, session
from services.reports.ledger import Ledger
from services.reports.page import Safe
from services.reports.words import Speech, choose

_COOKIE: Final = "merhaba_session"
_LANGUAGE: Final = "merhaba_lang"
_BODY_BYTES: Final = 4096
_DAY: Final = timedelta(hours=24)
_logger = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def dashboard(ledger: Ledger, clock: Clock, token: str) -> web.Application:
    """The dashboard as an application. `token`: who shows it may look."""
    views = _Views(ledger, clock, token)
    app = web.Application(middlewares=[views.guarded], client_max_size=_BODY_BYTES)
    app.add_routes(
        [
            web.get("/", views.overview),
            web.get("/campaigns", views.campaigns),
            web.get("/campaigns/{campaign_id}", views.campaign),
            web.get("/segments", views.segments),
            web.get("/sign-in", views.sign_in_form),
            web.post("/sign-in", views.sign_in),
            web.post("/sign-out", views.sign_out),
        ]
    )
    return app


class _Views:
    def __init__(self, ledger: Ledger, clock: Clock, token: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._token = token
        self._style = (Path(__file__).parent / "dashboard.css").read_text(encoding="utf-8")

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who has not signed in sees the form alone; errors become pages that say what to do."""
        if request.path != "/sign-in" and not self._signed_in(request):
            raise web.HTTPSeeOther("/sign-in", headers={"Cache-Control": "no-store"})
        try:
            return await handler(request)
        except (NotFound, web.HTTPNotFound):
            return self._notice(request, "not_found", 404)
        except web.HTTPException:
            raise
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning("a part does not answer", error=type(error).__name__)
            return self._notice(request, "unavailable", 503)

    async def overview(self, request: web.Request) -> web.Response:
        """Today, and the last minutes."""
        live = await self._ledger.live(pages.LIVE)
        say = self._speech(request)
        return self._page(request, say("overview"), pages.overview(say, live, self._clock.now()))

    async def campaigns(self, request: web.Request) -> web.Response:
        """The latest campaigns."""
        lines, fold_time = await self._ledger.campaigns()
        say, now = self._speech(request), self._clock.now()
        return self._page(request, say("campaigns"), pages.campaigns(say, lines, fold_time, now))

    async def campaign(self, request: web.Request) -> web.Response:
        """One campaign."""
        report = await self._ledger.campaign(request.match_info["campaign_id"])
        say = self._speech(request)
        title = report.state.name or say("campaign")
        return self._page(request, title, pages.campaign(say, report, self._clock.now()))

    async def segments(self, request: web.Request) -> web.Response:
        """All segments."""
        states, fold_time = await self._ledger.segments(_DAY)
        say, now = self._speech(request), self._clock.now()
        return self._page(request, say("segments"), pages.segments(say, states, fold_time, now))

    async def sign_in_form(self, request: web.Request) -> web.Response:
        """The form that asks for the token."""
        say = self._speech(request)
        return self._page(request, say("sign_in"), pages.sign_in(say, wrong=False))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Take the token, from the form's body alone: addresses end up in logs and histories."""
        given = (await request.post()).get("token", "")
        if not isinstance(given, str) or not session.matches(given.strip(), self._token):
            _logger.warning("sign-in refused")
            say = self._speech(request)
            return self._page(request, say("sign_in"), pages.sign_in(say, wrong=True), 403)
        response = web.HTTPSeeOther("/", headers={"Cache-Control": "no-store"})
        response.set_cookie(
            _COOKIE,
            session.issue(self._token, self._clock.now()),
            max_age=int(session.LASTS.total_seconds()),
            httponly=True,
            samesite="Strict",
            secure=_encrypted(request),
        )
        raise response

    async def sign_out(self, _request: web.Request) -> web.Response:
        """Forget the cookie."""
        response = web.HTTPSeeOther("/sign-in", headers={"Cache-Control": "no-store"})
        response.del_cookie(_COOKIE, httponly=True, samesite="Strict")
        raise response

    def _signed_in(self, request: web.Request) -> bool:
        cookie = request.cookies.get(_COOKIE, "")
        return session.holds(cookie, self._token, self._clock.now())

    def _speech(self, request: web.Request) -> Speech:
        language = choose(
            request.query.get("lang", ""),
            request.cookies.get(_LANGUAGE, ""),
            request.headers.get("Accept-Language", ""),
        )
        return Speech(language, self._ledger.zone)

    def _notice(self, request: web.Request, key: str, status: int) -> web.Response:
        say = self._speech(request)
        return self._page(request, say(key), pages.notice(say(key), say(f"{key}_hint")), status)

    def _page(
        self, request: web.Request, title: str, body: Safe, status: int = 200
    ) -> web.Response:
        say, nonce = self._speech(request), secrets.token_urlsafe(16)
        document = pages.frame(
            say,
            title,
            body,
            self._style,
            nonce,
            path=request.path,
            signed_in=self._signed_in(request),
        )
        policy = (
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self';"
            f" connect-src 'self'; img-src data:; style-src 'nonce-{nonce}';"
            f" script-src 'nonce-{nonce}'"
        )
        response = web.Response(
            text=document,
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={
                "Content-Security-Policy": policy,
                "Content-Language": say.language,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
            },
        )
        if request.query.get("lang") == say.language:
            response.set_cookie(
                _LANGUAGE,
                say.language,
                max_age=365 * 24 * 3600,
                httponly=True,
                samesite="Strict",
                secure=_encrypted(request),
            )
        return response


def _encrypted(request: web.Request) -> bool:
    """Whether the browser spoke TLS, to us or to the proxy before us."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
