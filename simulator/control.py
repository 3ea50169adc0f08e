"""The control API: what scripts and tests tell the world, and ask of it."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta, Struct

from simulator.faults import FaultBox, Faults, Rate
from simulator.people import Behaviour, IdentityMode, Person
from simulator.pipeline import Pipeline, Taps
from simulator.refusals import Refused
from simulator.templates import Status
from simulator.updates import Update
from simulator.webhooks import Courier
from simulator.world import Review, Rules, World

Handler = Callable[[web.Request], Awaitable[web.Response]]
T = TypeVar("T")

_AT_ONCE = 50_000
_PAGE = 10_000
_POLL_S = 0.01

Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Digits = Annotated[str, Meta(pattern=r"^\d{1,32}$")]


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    verify: bool = True
    """Whether the address must first pass Meta's GET verification."""


class NumberGiven(Struct, frozen=True, forbid_unknown_fields=True):
    phone_number_id: Digits
    waba_id: Digits
    display_phone_number: str
    throughput: Annotated[float, Meta(gt=0)] = 80.0


class PersonGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """Behaviour overrides replace all earlier ones as soon as one is given; `silent` false alone
    brings back what the seed gave."""

    wa_id: str
    bsuid: str | None = None
    name: str | None = None
    identity_mode: IdentityMode | None = None
    locale: str | None = None
    reads: Rate | None = None
    replies: Rate | None = None
    clicks: Rate | None = None
    stops: Rate | None = None
    answers: Rate | None = None
    fail_code: int | None = None
    silent: bool | None = None

    def behaviour(self) -> Behaviour | None:
        """None if nothing of it was given."""
        given = {name: getattr(self, name) for name in Behaviour._fields}
        known = {name: value for name, value in given.items() if value is not None}
        return Behaviour(**known) if known else None


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """`message` is any inbound message as Meta shows it, {type, <type>, context?}."""

    phone_number_id: str
    text: Text | None = None
    message: dict[str, Any] | None = None
    wa_id: str | None = None
    """Who says it; only in the bulk call."""

    def as_message(self) -> dict[str, Any]:
        if (self.text is None) == (self.message is None):
            raise Refused(100, "exactly one of text and message is required")
        if self.message is None:
            return {"type": "text", "text": {"body": self.text}}
        if not isinstance(self.message.get("type"), str):
            raise Refused(100, "message.type is required")
        return self.message


class Preference(Struct, frozen=True, forbid_unknown_fields=True):
    phone_number_id: str
    value: Literal["stop", "resume"]


class TemplateGiven(Struct, frozen=True, forbid_unknown_fields=True):
    status: Status
    reason: str = "NONE"


class RulesGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not given goes back to Meta's own."""

    pair_interval_s: Annotated[float, Meta(ge=0)] = 6.0
    pair_burst: Annotated[int, Meta(ge=1)] = 45
    window_error: Literal["sync", "async"] = "sync"
    review_delay_s: Annotated[float, Meta(ge=0)] = 0.0
    reject_templates: frozenset[str] = frozenset()
    reject_reason: str = "PROMOTIONAL"


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    hurry: bool = False
    """People do at once, in the same order, what they would have done later."""


class Control:
    """Answers 200 with JSON; 400 with {"error": why} for what cannot be done."""

    def __init__(
        self,
        *,
        world: World,
        pipeline: Pipeline,
        courier: Courier,
        taps: Taps,
        faults: FaultBox,
        control_token: str,
        check_address: Callable[[str], Awaitable[str | None]],
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._pipeline = pipeline
        self._courier = courier
        self._taps = taps
        self._faults = faults
        self._bearer = f"Bearer {control_token}".encode()
        self._check_address = check_address
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        guard = self._guard
        return [
            web.put("/control/webhook", guard(self._webhook)),
            web.post("/control/numbers", guard(self._numbers)),
            web.post("/control/people", guard(self._people)),
            web.post("/control/people/{person_id}/say", guard(self._say)),
            web.post("/control/people/{person_id}/preference", guard(self._preference)),
            web.post("/control/say", guard(self._say_all)),
            web.put("/control/templates/{template_id}", guard(self._template)),
            web.put("/control/rules", guard(self._rules)),
            web.post("/control/faults", guard(self._set_faults)),
            web.post("/control/drain", guard(self._drain)),
            web.get("/control/ledger", guard(self._ledger)),
            web.get("/control/ledger/duplicates", guard(self._duplicates)),
            web.get("/control/summary", guard(self._summary)),
        ]

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, self._bearer):
                return _json({"error": "the bearer token is not CONTROL_TOKEN"}, status=401)
            try:
                return await handler(request)
            except msgspec.DecodeError as error:
                return _json({"error": str(error)}, status=400)
            except Refused as refused:
                return _json({"error": refused.details or refused.message}, status=400)

        return guarded

    async def _webhook(self, request: web.Request) -> web.Response:
        given = await _decode(request, Webhook)
        why = await self._check_address(given.url) if given.verify and given.url else None
        if why:
            raise Refused(100, f"{given.url}: {why}")
        self._courier.url = given.url
        return _json({"url": given.url})

    async def _numbers(self, request: web.Request) -> web.Response:
        numbers = await _decode(request, list[NumberGiven])
        for n in numbers:
            self._world.put_number(
                n.phone_number_id, n.waba_id, n.display_phone_number, n.throughput, self._clock()
            )
        return _json({"numbers": len(self._world.numbers)})

    async def _people(self, request: web.Request) -> web.Response:
        people = await _decode(request, list[PersonGiven])
        if len(people) > _AT_ONCE:
            raise Refused(100, f"at most {_AT_ONCE} people at once")
        for index, p in enumerate(people):
            self._world.people.put(
                p.wa_id,
                bsuid=p.bsuid,
                name=p.name,
                identity_mode=p.identity_mode,
                locale=p.locale,
                behaviour=p.behaviour(),
            )
            if index % 1000 == 999:
                await asyncio.sleep(0)
        return _json({"people": len(self._world.people)})

    async def _say(self, request: web.Request) -> web.Response:
        said = await _decode(request, Said)
        return _json({"wamid": await self._heard(self._person(request), said)})

    async def _say_all(self, request: web.Request) -> web.Response:
        everything = await _decode(request, list[Said])
        if len(everything) > _AT_ONCE:
            raise Refused(100, f"at most {_AT_ONCE} messages at once")
        wamids = []
        for said in everything:
            person = self._world.people.put(said.wa_id or "")
            wamids.append(await self._heard(person, said))
        return _json({"wamids": wamids})

    async def _heard(self, person: Person, said: Said) -> str:
        await self._courier.room()
        wamid, update = self._world.say(
            said.phone_number_id, person, said.as_message(), self._clock()
        )
        self._tell(update)
        return wamid

    async def _preference(self, request: web.Request) -> web.Response:
        given = await _decode(request, Preference)
        number = self._world.number(given.phone_number_id)
        await self._courier.room()
        self._tell(self._world.prefer(number, self._person(request), given.value, self._clock()))
        return _json({})

    async def _template(self, request: web.Request) -> web.Response:
        given = await _decode(request, TemplateGiven)
        template = self._world.templates.get(request.match_info["template_id"])
        if template is None:
            raise Refused(100, "no template has this id")
        review = Review(template, given.status, given.reason, 0.0)
        self._tell(self._world.decide(review, self._clock()))
        return _json({})

    async def _rules(self, request: web.Request) -> web.Response:
        given = await _decode(request, RulesGiven)
        self._world.rules = Rules(**msgspec.structs.asdict(given))
        return _json(msgspec.to_builtins(given))

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._faults.now = await _decode(request, Faults)
        return _json(msgspec.structs.asdict(self._faults.now))

    async def _drain(self, request: web.Request) -> web.Response:
        given = await _decode(request, Drain)
        deadline = self._clock() + given.timeout_s
        self._pipeline.hurry(given.hurry)
        try:
            # Three parts come to rest each on its own, and are rarely asked: a look is enough.
            while any(self._waiting().values()) and self._clock() < deadline:
                await asyncio.sleep(_POLL_S)
        finally:
            self._pipeline.hurry(False)
        waiting = self._waiting()
        return _json({"drained": not any(waiting.values()), "waiting": waiting})

    async def _ledger(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            limit = min(max(int(request.query.get("limit", "1000")), 1), _PAGE)
        except ValueError:
            raise Refused(100, "after and limit are whole numbers") from None
        entries = self._world.ledger.page(after, limit)
        return _json({"entries": entries, "next": entries[-1].seq if entries else after})

    async def _duplicates(self, _: web.Request) -> web.Response:
        return _json(self._world.ledger.duplicates())

    async def _summary(self, _: web.Request) -> web.Response:
        counts = self._world.counts
        told = ("accepted", "sent", "delivered", "read", "failed", "replies", "choices", "taps")
        rejected = {
            code: n
            for name, n in counts.items()
            if (code := name.removeprefix("rejected_")) != name
        }
        return _json(
            {
                "people": len(self._world.people),
                "numbers": len(self._world.numbers),
                **{name: counts[name] for name in told},
                "said": counts["said"],
                "stopped": counts["preferences_stop"],
                "resumed": counts["preferences_resume"],
                "rejected": rejected,
                "links": dict(self._taps.counts),
                "ledger": len(self._world.ledger),
                "webhooks": self._courier.summary(),
                "waiting": self._waiting(),
            }
        )

    def _waiting(self) -> dict[str, int]:
        return {
            "people": self._pipeline.pending,
            "webhooks": self._courier.pending,
            "taps": self._taps.busy,
        }

    def _tell(self, update: Update) -> None:
        if self._world.subscribed[update.waba_id]:
            self._courier.offer([update])

    def _person(self, request: web.Request) -> Person:
        person_id = request.match_info["person_id"]
        return self._world.people.find(person_id) or self._world.people.put(person_id)


async def _decode(request: web.Request, kind: type[T]) -> T:
    return msgspec.json.decode(await request.read() or b"{}", type=kind)


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
