"""The control API: what scripts and tests tell the world, and ask of it."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from aiohttp import web

from simulator.control.answers import Handler, answer, decode
from simulator.control.given import (
    Complaint,
    Drain,
    Notice,
    NumberChange,
    NumberGiven,
    PackingGiven,
    PersonGiven,
    PortfolioChange,
    Preference,
    Said,
    TemplateGiven,
    Webhook,
)
from simulator.control.ledger import LedgerCalls
from simulator.faults import FaultBox, Faults
from simulator.messages.media import plain_type
from simulator.people.person import Person
from simulator.pipeline import Pipeline
from simulator.refusals import Refused
from simulator.rules import Rules
from simulator.taps import Taps
from simulator.webhooks.courier import Courier, Packing
from simulator.webhooks.notices import notice, number_quality
from simulator.webhooks.updates import Update
from simulator.world.standing import Standing
from simulator.world.world import World

_AT_ONCE = 50_000
_POLL_S = 0.01


class Control:
    """Answers 200 with JSON; 400 with {"error": why} for what cannot be done."""

    def __init__(
        self,
        *,
        world: World,
        standing: Standing,
        pipeline: Pipeline,
        courier: Courier,
        taps: Taps,
        faults: FaultBox,
        control_token: str,
        check_address: Callable[[str], Awaitable[str | None]],
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._standing = standing
        self._pipeline = pipeline
        self._courier = courier
        self._taps = taps
        self._faults = faults
        self._bearer = f"Bearer {control_token}".encode()
        self._check_address = check_address
        self._clock = clock
        self._ledger = LedgerCalls(world)

    def routes(self) -> list[web.RouteDef]:
        ledger = self._ledger
        routes: list[tuple[str, str, Handler]] = [
            ("PUT", "webhook", self._webhook),
            ("PUT", "webhook/packing", self._packing),
            ("POST", "webhook/tell", self._notice),
            ("POST", "numbers", self._numbers),
            ("PUT", "numbers/{phone_number_id}", self._number),
            ("PUT", "portfolio", self._portfolio),
            ("POST", "people", self._people),
            ("POST", "people/{person_id}/say", self._say),
            ("POST", "people/{person_id}/preference", self._preference),
            ("POST", "people/{person_id}/block", self._block),
            ("POST", "say", self._say_all),
            ("POST", "media", self._media),
            ("PUT", "templates/{template_id}", self._template),
            ("PUT", "rules", self._rules),
            ("POST", "faults", self._set_faults),
            ("POST", "drain", self._drain),
            ("GET", "ledger", ledger.entries),
            ("GET", "ledger/duplicates", ledger.duplicates),
            ("GET", "ledger/seconds", ledger.seconds),
            ("GET", "ledger/pairs", ledger.pairs),
            ("GET", "ledger/recipients", ledger.recipients),
            ("GET", "summary", self._summary),
        ]
        return [
            *(web.route(m, f"/control/{path}", self._guard(h)) for m, path, h in routes),
            web.route("*", "/control/{tail:.*}", self._guard(self._unknown)),
        ]

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, self._bearer):
                return answer({"error": "the bearer token is not CONTROL_TOKEN"}, status=401)
            try:
                return await handler(request)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                return answer({"error": str(error)}, status=400)
            except Refused as refused:
                return answer({"error": refused.details or refused.message}, status=400)

        return guarded

    async def _unknown(self, request: web.Request) -> web.Response:
        raise Refused(100, f"there is no {request.method} {request.path}; see the README")

    # --- webhooks -----------------------------------------------------------------------------

    async def _webhook(self, request: web.Request) -> web.Response:
        given = await decode(request, Webhook)
        why = await self._check_address(given.url) if given.verify and given.url else None
        if why:
            raise Refused(100, f"{given.url}: {why}")
        self._world.subscriptions.url = given.url
        return answer({"url": given.url})

    async def _packing(self, request: web.Request) -> web.Response:
        given = await decode(request, PackingGiven)
        self._courier.packing = Packing(given.most, given.linger_ms / 1000)
        return answer(msgspec.structs.asdict(given))

    async def _notice(self, request: web.Request) -> web.Response:
        given = await decode(request, Notice)
        self._world.account(given.waba_id, "POST")
        await self._tell([notice(given.waba_id, given.field, given.value, self._clock())])
        return answer({})

    # --- numbers ------------------------------------------------------------------------------

    async def _numbers(self, request: web.Request) -> web.Response:
        numbers = await decode(request, list[NumberGiven])
        for n in numbers:
            self._world.put_number(
                n.phone_number_id, n.waba_id, n.display_phone_number, n.throughput, self._clock()
            )
        return answer({"numbers": len(self._world.numbers)})

    async def _number(self, request: web.Request) -> web.Response:
        given = await decode(request, NumberChange)
        number = self._world.number(request.match_info["phone_number_id"])
        now, tier, updates = self._clock(), self._world.portfolio.tier, list[Update]()
        if given.throughput is not None:
            if given.throughput > number.throughput.per_second:
                updates.append(number_quality(number, "THROUGHPUT_UPGRADE", tier, now))
            number.throughput.per_second = given.throughput
        if given.quality is not None:
            number.feedback.told, number.feedback.since = given.quality, now
            if number.flagged != (given.quality == "RED"):
                number.flagged = not number.flagged
                event = "FLAGGED" if number.flagged else "UNFLAGGED"
                updates.append(number_quality(number, event, tier, now))
        if given.refuse_code is not None:
            number.refuse_code = given.refuse_code
        await self._tell(updates)
        return answer({})

    async def _portfolio(self, request: web.Request) -> web.Response:
        given = await decode(request, PortfolioChange)
        self._world.portfolio.put(given.messaging_limit)
        accounts = {number.waba_id for number in self._world.numbers.values()}
        await self._tell(self._standing.limit_told(a, self._clock()) for a in sorted(accounts))
        return answer({"tier": self._world.portfolio.tier})

    # --- people -------------------------------------------------------------------------------

    async def _people(self, request: web.Request) -> web.Response:
        people = await decode(request, list[PersonGiven])
        if len(people) > _AT_ONCE:
            raise Refused(100, f"at most {_AT_ONCE} people at once")
        for index, p in enumerate(people):
            self._world.people.put(
                p.wa_id,
                bsuid=p.bsuid,
                name=p.name,
                identity_mode=p.identity_mode,
                locale=p.locale,
                segment=p.segment,
                behaviour=p.behaviour(),
            )
            if index % 1000 == 999:
                await asyncio.sleep(0)
        return answer({"people": len(self._world.people)})

    async def _say(self, request: web.Request) -> web.Response:
        said = await decode(request, Said)
        return answer({"wamid": await self._heard(self._person(request), said)})

    async def _say_all(self, request: web.Request) -> web.Response:
        everything = await decode(request, list[Said])
        if len(everything) > _AT_ONCE:
            raise Refused(100, f"at most {_AT_ONCE} messages at once")
        wamids = []
        for said in everything:
            person = self._world.people.put(said.wa_id or "")
            wamids.append(await self._heard(person, said))
        return answer({"wamids": wamids})

    async def _heard(self, person: Person, said: Said) -> str:
        await self._courier.room()
        wamid, updates = self._world.say(
            said.phone_number_id, person, said.as_message(), self._clock()
        )
        self._courier.offer(updates)
        return wamid

    async def _preference(self, request: web.Request) -> web.Response:
        given = await decode(request, Preference)
        number = self._world.number(given.phone_number_id)
        person = self._person(request)
        await self._tell([self._world.prefer(number, person, given.value, self._clock())])
        return answer({})

    async def _block(self, request: web.Request) -> web.Response:
        given, person = await decode(request, Complaint), self._person(request)
        number = self._world.number(given.phone_number_id)
        template = None
        if given.template_id is not None:
            template = self._world.templates.get(given.template_id)
            if template is None:
                raise Refused(100, "no template has this id")
        person.blocking |= {number.phone_number_id}
        for _ in range(1 + given.report):
            told = self._standing.complained(number, template, self._clock())
            await self._tell(told.updates)
            self._pipeline.later(told.later)
        return answer({})

    async def _media(self, request: web.Request) -> web.Response:
        """What somebody will send: the body is the file. Answers what a webhook shows of it."""
        number = self._world.number(request.query.get("phone_number_id", ""))
        media = self._world.media.put(
            self._world.ids.number(),
            number.phone_number_id,
            plain_type(request.content_type),
            await request.read(),
            self._clock(),
            heard=True,
        )
        return answer(
            {"id": media.media_id, "mime_type": media.mime_type, "sha256": media.sha256_base64}
        )

    # --- Meta ---------------------------------------------------------------------------------

    async def _template(self, request: web.Request) -> web.Response:
        given = await decode(request, TemplateGiven)
        template = self._world.templates.get(request.match_info["template_id"])
        if template is None:
            raise Refused(100, "no template has this id")
        now = self._clock()
        if given.status is not None:
            await self._tell(self._standing.decide(template, given.status, given.reason, now))
        if given.category is not None:
            told = self._standing.recategorise(template, given.category, given.category_in_s, now)
            await self._tell(told.updates)
            self._pipeline.later(told.later)
        if given.quality is not None:
            told = self._standing.rate(template, given.quality, now)
            await self._tell(told.updates)
            self._pipeline.later(told.later)
        return answer({})

    async def _rules(self, request: web.Request) -> web.Response:
        self._world.rules = await decode(request, Rules)
        return answer(msgspec.to_builtins(self._world.rules))

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.now = await decode(request, Faults)
        return answer(msgspec.to_builtins(self._faults.now, str_keys=True))

    async def _drain(self, request: web.Request) -> web.Response:
        given = await decode(request, Drain)
        deadline = self._clock() + given.timeout_s
        self._pipeline.hurry(given.hurry)
        try:
            # Three parts come to rest each on its own, and are rarely asked: a look is enough.
            while any(self._waiting().values()) and self._clock() < deadline:
                await asyncio.sleep(_POLL_S)
        finally:
            self._pipeline.hurry(False)
        waiting = self._waiting()
        return answer({"drained": not any(waiting.values()), "waiting": waiting})

    async def _summary(self, _: web.Request) -> web.Response:
        world, counts = self._world, self._world.counts
        told = ("accepted", "sent", "delivered", "read", "played", "failed", "replies", "choices",
                "taps", "said", "blocks", "reports", "marked_read", "typing", "template_pauses",
                "numbers_flagged", "limit_raised")  # fmt: skip
        return answer(
            {
                "people": len(world.people),
                "numbers": len(world.numbers),
                **{name: counts[name] for name in told},
                "stopped": counts["preferences_stop"],
                "resumed": counts["preferences_resume"],
                "rejected": self._by_code("rejected_"),
                "failed_codes": self._by_code("failed_"),
                "links": dict(self._taps.counts),
                "ledger": len(world.ledger),
                "ledger_bytes": world.ledger.size(),
                "tier": world.portfolio.tier,
                "reached": world.portfolio.used,
                "webhooks": self._courier.summary(),
                "waiting": self._waiting(),
            }
        )

    def _by_code(self, prefix: str) -> dict[str, int]:
        return {
            name.removeprefix(prefix): n
            for name, n in self._world.counts.items()
            if name.startswith(prefix)
        }

    def _waiting(self) -> dict[str, int]:
        return {
            "people": self._pipeline.pending,
            "webhooks": self._courier.pending,
            "taps": self._taps.busy,
        }

    async def _tell(self, updates: Iterable[Update]) -> None:
        await self._courier.room()
        self._courier.offer(updates)

    def _person(self, request: web.Request) -> Person:
        person_id = request.match_info["person_id"]
        return self._world.people.find(person_id) or self._world.people.put(person_id)
