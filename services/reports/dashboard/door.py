"""The dashboard's HTTP door: sign-in, pages, and what keeps a browser from doing more."""

import hashlib
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web

from chassis.callers import INTERNAL, Call, Caller, call
from chassis.clock import Clock
from chassis.failures import (
    Busy,
    Denied,
    Failure,
    FieldInvalid,
    Invalid,
    NotFound,
    Refused,
    Unimplemented,
)
from chassis.transient import transient
from merhaba.reports.v1 import AcknowledgeAlertRequest
from services.reports.contracts import ask
from services.reports.dashboard import session
from services.reports.dashboard.attempts import Attempts, client
from services.reports.dashboard.files import Files
from services.reports.dashboard.frame import POLICY, frame
from services.reports.dashboard.look import look
from services.reports.dashboard.pages import doors
from services.reports.dashboard.pages.recipients import contact_address
from services.reports.dashboard.pages.schedules import PATH as SCHEDULES
from services.reports.dashboard.schedules import Schedules
from services.reports.dashboard.views import Asked, Page, Sources, Views
from services.reports.roles import Role
from services.reports.words import Speech, choose

_COOKIE: Final = "merhaba_session"
_LANGUAGE: Final = "merhaba_lang"
_BODY_BYTES: Final = 4096
_FORM: Final = "application/x-www-form-urlencoded"
_YEAR_S: Final = 365 * 24 * 3600
_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}
_OPEN: Final = ("/sign-in", "/static/")
_UNKEPT: Final = {"Cache-Control": "no-store"}
_OURS: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}")
"""Addresses that browsers take for one of this site, whatever they do to them."""
_logger = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Show = Callable[[Asked], Awaitable[Page]]


def dashboard(sources: Sources, clock: Clock, tokens: Mapping[Role, str]) -> web.Application:
    """The dashboard as an application. `tokens`: who shows one may look, in its role."""
    door = _Door(sources, clock, tokens)
    views = door.views
    app = web.Application(middlewares=[door.guarded], client_max_size=_BODY_BYTES)
    plain: dict[str, Show] = {
        "/": views.overview,
        "/live": views.live,
        "/campaigns": views.campaigns,
        "/segments": views.segments,
        "/journeys": views.breakdown,
        "/contacts": views.finder,
        "/alerts": views.alerts,
        "/numbers": views.numbers,
        "/exports": views.exports,
        "/exports/schedules": views.schedules,
    }
    named: dict[str, Callable[[Asked, str], Awaitable[Page]]] = {
        "/campaigns/{id}": views.campaign,
        "/campaigns/{id}/recipients": views.recipients,
        "/contacts/{id}": views.contact,
    }
    app.add_routes([web.get(path, door.page(show)) for path, show in plain.items()])
    app.add_routes([web.get(path, door.named(show)) for path, show in named.items()])
    app.add_routes(
        [
            web.post("/contacts", door.find),
            web.post("/alerts/{id}", door.acknowledge),
            web.post("/exports", door.make_file),
            web.post("/exports/schedules", door.make_schedule),
            web.post("/exports/schedules/{id}", door.change_schedule),
            web.post("/exports/{id}/cancel", door.cancel_file),
            web.get("/exports/{id}", door.file),
            web.get("/sign-in", door.sign_in_form),
            web.post("/sign-in", door.sign_in),
            web.post("/sign-out", door.sign_out),
            web.get("/static/{version}/{name}", door.static),
        ]
    )
    app.on_response_prepare.append(_named)
    return app


async def _named(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "merhaba"  # and not the framework's name and version


class _Door:
    def __init__(self, sources: Sources, clock: Clock, tokens: Mapping[Role, str]) -> None:
        self.views = Views(sources, clock)
        self._from = sources
        self._files = Files(sources.exports)
        self._schedules = Schedules(sources.exports)
        self._clock = clock
        self._tokens = tokens
        self._attempts = Attempts()
        self._static = {name: (_STATIC / name).read_bytes() for name in _TYPES}
        whole = b"".join(self._static.values())
        self._version = hashlib.sha256(whole).hexdigest()[:12]

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who has not signed in sees the form alone; errors become pages that say what to do."""
        if request.method == "POST" and not _same_site(request):
            return self._notice(request, "denied", 403)
        role = self._role(request)
        if not request.path.startswith(_OPEN) and role is None:
            wanted = request.path_qs if request.method == "GET" else "/"
            onward = f"?{urlencode({'next': wanted})}" if _ours(wanted) else ""
            raise web.HTTPSeeOther(f"/sign-in{onward}", headers=_UNKEPT)
        # Every request is a task of its own
        call.set(Call(request.path, Caller(f"dashboard/{role}", INTERNAL), "dashboard"))
        if "\x00" in request.path:  # no name and no id has it, and Postgres takes none
            return self._notice(request, "not_found", 404)
        try:
            return await handler(request)
        except (NotFound, web.HTTPNotFound):
            return self._notice(request, "not_found", 404)
        except web.HTTPMethodNotAllowed:
            return self._notice(request, "not_found", 405)
        except Denied:
            return self._notice(request, "denied", 403)
        except (Invalid, Refused, Unimplemented) as failure:
            return self._notice(request, "refused", 400, failure)
        except Busy:
            return self._notice(request, "unavailable", 503)
        except web.HTTPException:
            raise
        except Exception as error:
            if not transient(error):
                _logger.exception("a page failed", exc_info=error)
                return self._notice(request, "broken", 500)
            _logger.warning("a part does not answer", error=type(error).__name__)
            return self._notice(request, "unavailable", 503)

    def page(self, show: Show) -> Handler:
        """A handler of a page."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return self._answer(request, await show(await self._asked(request)))

        return handle

    def named(self, show: Callable[[Asked, str], Awaitable[Page]]) -> Handler:
        """A handler of a page about one thing."""

        async def handle(request: web.Request) -> web.StreamResponse:
            found = await show(await self._asked(request), request.match_info["id"])
            return self._answer(request, found)

        return handle

    async def find(self, request: web.Request) -> web.StreamResponse:
        """To the page of a person. What was typed stays out of addresses: they end up in logs."""
        asked = await self._asked(request)
        contact_id = await self.views.find(await _field(request, "who"))
        if not contact_id:
            return self._answer(request, await self.views.finder(asked, missing=True), 404)
        raise web.HTTPSeeOther(contact_address(contact_id), headers=_UNKEPT)

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """Somebody takes care of an alert."""
        self._manager(request)
        asked = AcknowledgeAlertRequest(
            alert_id=request.match_info["id"], note=await _field(request, "note")
        )
        await ask(self._from.alerts.AcknowledgeAlert, asked)
        raise web.HTTPSeeOther("/alerts", headers=_UNKEPT)

    async def make_file(self, request: web.Request) -> web.StreamResponse:
        """Begin a file."""
        self._manager(request)
        speech = self._speech(request)
        await self._files.begin(
            await _form(request), self._clock.now(), self._from.ledger.zone, speech.language
        )
        raise web.HTTPSeeOther("/exports", headers=_UNKEPT)

    async def cancel_file(self, request: web.Request) -> web.StreamResponse:
        """End a file that waits or is being made."""
        self._manager(request)
        await self._files.cancel(request.match_info["id"])
        raise web.HTTPSeeOther("/exports", headers=_UNKEPT)

    async def make_schedule(self, request: web.Request) -> web.StreamResponse:
        """Have a file made again and again."""
        self._manager(request)
        form, speech = await _form(request), self._speech(request)
        await self._schedules.add(form, self._from.ledger.zone, speech.language)
        raise web.HTTPSeeOther(SCHEDULES, headers=_UNKEPT)

    async def change_schedule(self, request: web.Request) -> web.StreamResponse:
        """Pause a schedule, go on with it, delete it."""
        self._manager(request)
        await self._schedules.change(request.match_info["id"], await _field(request, "action"))
        raise web.HTTPSeeOther(SCHEDULES, headers=_UNKEPT)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file, streamed."""
        self._manager(request)
        return await self._files.send(request, request.match_info["id"])

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Style and script; browsers keep them, as their address changes with them."""
        name = request.match_info["name"]
        if name not in self._static or request.match_info["version"] != self._version:
            raise web.HTTPNotFound
        return web.Response(
            body=self._static[name],
            content_type=_TYPES[name],
            charset="utf-8",
            headers={
                "Cache-Control": f"public, max-age={_YEAR_S}, immutable",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def sign_in_form(self, request: web.Request) -> web.StreamResponse:
        """The form that asks for the token."""
        return self._signing_in(request, request.query.get("next", ""))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Take the token, from the form's body alone: addresses end up in logs and histories."""
        form = await _form(request)
        onward, now = form.get("next", ""), self._clock.now()
        address = client(request.remote, request.headers.get("X-Forwarded-For"))
        if wait := self._attempts.wait(address, now):
            return self._signing_in(request, onward, wait=wait)
        role = session.matches(form.get("token", ""), self._tokens)
        if role is None:
            _logger.warning("sign-in refused")
            self._attempts.failed(address, now)
            return self._signing_in(request, onward, wrong=True)
        self._attempts.passed(address)
        response = web.HTTPSeeOther(_ours(onward) or "/", headers=_UNKEPT)
        response.set_cookie(
            _COOKIE,
            session.issue(role, self._tokens[role], now),
            max_age=int(session.LASTS.total_seconds()),
            httponly=True,
            samesite="Lax",  # so that a link in a chat or mail opens what it names
            secure=_encrypted(request),
        )
        raise response

    async def sign_out(self, _request: web.Request) -> web.StreamResponse:
        """Forget the cookie."""
        response = web.HTTPSeeOther("/sign-in", headers=_UNKEPT)
        response.del_cookie(_COOKIE, httponly=True, samesite="Lax")
        raise response

    def _signing_in(
        self,
        request: web.Request,
        onward: str,
        *,
        wrong: bool = False,
        wait: timedelta = timedelta(0),
    ) -> web.StreamResponse:
        say, problem = self._speech(request), ""
        if wait:
            problem = say("too_many_tokens", minutes=str(math.ceil(wait / timedelta(minutes=1))))
        elif wrong:
            problem = say("wrong_token")
        page = Page(say("sign_in"), doors.sign_in(say, _ours(onward), problem))
        answer = self._answer(request, page, 429 if wait else 403 if wrong else 200)
        if wait:
            answer.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
        return answer

    def _role(self, request: web.Request) -> Role | None:
        cookie = request.cookies.get(_COOKIE, "")
        return session.holds(cookie, self._tokens, self._clock.now())

    def _manager(self, request: web.Request) -> None:
        if self._role(request) != "manager":
            raise Denied("only for managers")

    async def _asked(self, request: web.Request) -> Asked:
        role = self._role(request)
        assert role is not None  # else there is no page
        now = self._clock.now()
        found = await self.views.named(look(request.query, now, self._from.ledger.zone))
        return Asked(self._speech(request), found, role, now)

    def _speech(self, request: web.Request) -> Speech:
        language = choose(
            request.query.get("lang", ""),
            request.cookies.get(_LANGUAGE, ""),
            request.headers.get("Accept-Language", ""),
        )
        return Speech(language, self._from.ledger.zone)

    def _notice(
        self, request: web.Request, key: str, status: int, failure: Failure | None = None
    ) -> web.StreamResponse:
        say = self._speech(request)
        hint = say(f"{key}_hint", problem=failure.message if failure else "")
        return self._answer(request, Page(say(key), doors.notice(say(key), hint)), status)

    def _answer(self, request: web.Request, page: Page, status: int = 200) -> web.StreamResponse:
        say = self._speech(request)
        kept = urlencode([(k, v) for k, v in request.query.items() if k != "lang"])
        document = frame(
            say,
            page.title,
            page.body,
            path=request.path,
            address=f"{quote(request.path)}?{kept}" if kept else quote(request.path),
            version=self._version,
            role=self._role(request),
            refresh=page.refresh,
        )
        response = web.Response(
            text=document,
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={
                "Content-Security-Policy": POLICY,
                "Content-Language": say.language,
                "Cross-Origin-Opener-Policy": "same-origin",
                # Nothing for others; but with "no-referrer" forms would name no origin
                "Referrer-Policy": "same-origin",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                **_UNKEPT,
            },
        )
        if request.query.get("lang") == say.language:
            response.set_cookie(
                _LANGUAGE,
                say.language,
                max_age=_YEAR_S,
                httponly=True,
                samesite="Lax",
                secure=_encrypted(request),
            )
        return response


async def _form(request: web.Request) -> dict[str, str]:
    """What was sent by a form. Raises `FieldInvalid` for what is no text, and no such form."""
    if request.content_type != _FORM:
        raise FieldInvalid("form", f"send it as {_FORM}, as browsers do")
    try:
        sent = await request.post()
    except (LookupError, ValueError):  # a character set that nobody knows, bytes that are not of it
        raise FieldInvalid("form", "no text") from None
    form: dict[str, str] = {}
    for name, given in sent.items():
        if not isinstance(given, str) or "\x00" in given:
            raise FieldInvalid(name, "no text")
        form[name] = given.strip()
    return form


async def _field(request: web.Request, name: str) -> str:
    return (await _form(request)).get(name, "")


def _ours(address: str) -> str:
    """An address of a page here; empty for any other, and for the form that asks for the token."""
    fits = _OURS.fullmatch(address) and not address.startswith(_OPEN)
    return address if fits and address != "/" else ""


def _same_site(request: web.Request) -> bool:
    """Whether a form was sent from a page of ours, or by no browser at all."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host


def _encrypted(request: web.Request) -> bool:
    """Whether the browser spoke TLS, to us or to the proxy before us."""
    return request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
