"""What follows from decisions and outcomes for caps, budgets and costs, in their transaction."""

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from chassis.postgres import Connection
from merhaba.event.v1 import Pricing
from services.sender import measuring
from services.sender.delivery.moves import Decided
from services.sender.model import UNCONFIRMED, Message, State
from services.sender.rulebook import Rulebook
from services.sender.rules.policy import SERVICE
from services.sender.rules.rates import Cost, Counter, Tariff, month_of, normal
from services.sender.tables.candidates import load_tariffs, pass_one_by_one

COMPLAINTS: Final = ("template", "person", "complaint")
"""Gates at which a message may be held that waits for a complaint: it is held at the first."""
_CAPS: Final = (*COMPLAINTS, "saturation", "frequency_cap")
_FREE_ENTRY: Final = "free_entry_point"
_FEWEST: Final = 10  # are asked again when money comes back: one that costs less may find room


class _Payer(NamedTuple):
    phone_number_id: str
    waba_id: str
    portfolio_id: str


class Before(NamedTuple):
    """How a message stood before something became known of it."""

    counted: bool
    cost_micros: int
    pricing: bytes
    wamid: str


def before(messages: Iterable[Message]) -> dict[str, Before]:
    """How messages stand now, for `reckon` to compare with."""
    return {
        m.message_id: Before(is_counted(m), m.cost_micros, m.pricing, m.wamid) for m in messages
    }


def is_counted(message: Message) -> bool:
    """Whether it takes room under caps and in budgets: it went, or may have gone."""
    if message.state == State.FAILED:
        return message.reason == UNCONFIRMED
    return State.ATTEMPTING <= message.state < State.FAILED


async def reserve(connection: Connection, decided: Sequence[Decided]) -> None:
    """Take what messages that go will cost out of their campaigns' budgets."""
    await _spend(connection, [(m, m.cost_micros) for m, address, *_ in decided if address])


async def reckon(
    connection: Connection,
    rulebook: Rulebook,
    earlier: Mapping[str, Before],
    messages: Sequence[Message],
    now: int,
    slot: int,
) -> None:
    """Put costs on messages of which something became known, before they are written; give back
    what refused ones had reserved, and let go on who waited for it."""
    charged = [m for m in messages if _is_charged(m, earlier[m.message_id])]
    await _price(connection, rulebook, charged, earlier, now, slot)
    freed = []
    for message in messages:
        if not is_counted(message):
            message.cost_micros = 0
            if earlier[message.message_id].counted:
                freed.append(message)
    changes = [(m, m.cost_micros - earlier[m.message_id].cost_micros) for m in messages]
    await _spend(connection, changes)
    cheaper = Counts(m.campaign_id for m, micros in changes if micros < 0 and m.campaign_id)
    contact_ids = sorted({m.contact_id for m in freed if m.contact_id})
    # Whoever is counting for them decides first, so that nobody is held by what is free now.
    await pass_one_by_one(connection, contact_ids)
    await ask_again(connection, _CAPS, contact_ids, now)
    for campaign_id, count in sorted(cheaper.items()):
        await connection.execute(
            "UPDATE messages SET due_time = $2 WHERE message_id IN (SELECT message_id FROM messages"
            " WHERE campaign_id = $1 AND is_held AND gate = 'budget' AND due_time > $2"
            " LIMIT $3 FOR UPDATE SKIP LOCKED)",
            *(campaign_id, now, max(count, _FEWEST)),
        )


async def ask_again(
    connection: Connection, gates: Sequence[str], contact_ids: Iterable[str], now: int
) -> None:
    """What waits for these contacts at one of these gates is due now."""
    if ids := list(contact_ids):
        await connection.execute(
            "UPDATE messages SET due_time = $3 WHERE message_id IN (SELECT message_id FROM messages"
            " WHERE contact_id = ANY($2::text[]) AND state = 2 AND gate = ANY($1::text[])"
            # Whoever has one locked is asking already.
            " AND due_time > $3 FOR UPDATE SKIP LOCKED)",
            *(list(gates), ids, now),
        )


async def _spend(connection: Connection, costs: Iterable[tuple[Message, int]]) -> None:
    costs = list(costs)
    measuring.reckoned(costs)
    spent: dict[str, int] = defaultdict(int)
    for message, micros in costs:
        if message.campaign_id:
            spent[message.campaign_id] += micros
    if changed := sorted(one for one, micros in spent.items() if micros):
        # Only campaigns with a budget have a row.
        await connection.execute(
            "UPDATE spendings s SET micros = s.micros + u.micros"
            " FROM (SELECT * FROM unnest($1::text[], $2::bigint[])) AS u (campaign_id, micros)"
            " WHERE s.campaign_id = u.campaign_id",
            changed,
            [spent[one] for one in changed],
        )


def _is_charged(message: Message, stood: Before) -> bool:
    """Whether it is charged for otherwise than before: in another way, or now, or no more."""
    counted = is_counted(message)
    changed = message.pricing != stood.pricing or counted != stood.counted
    return changed and bool(message.pricing or stood.pricing)


async def _price(
    connection: Connection,
    rulebook: Rulebook,
    messages: Sequence[Message],
    earlier: Mapping[str, Before],
    now: int,
    slot: int,
) -> None:
    """Cost messages by how Meta said it charges, and count those that it charges for; each once,
    and not those that failed in the end."""
    if not messages:
        return
    cards = (await rulebook.read(connection)).cards
    rows = await connection.fetch(
        "SELECT phone_number_id, waba_id, portfolio_id FROM numbers"
        " WHERE phone_number_id = ANY($1::text[])",
        list({m.phone_number_id for m in messages}),
    )
    numbers = [_Payer(*row) for row in rows]
    tariffs: dict[tuple[str, int], Tariff] = {}
    for month in {month_of(m.sent_time or now): m.sent_time or now for m in messages}.values():
        for number, one in (await load_tariffs(connection, cards, numbers, month)).items():
            tariffs[number, one.month] = one
    counted: dict[Counter, int] = defaultdict(int)
    for message in messages:
        tariff = tariffs.get((message.phone_number_id, month_of(message.sent_time or now)))
        if tariff is None:
            continue
        stood = earlier[message.message_id]
        if stood.counted and stood.pricing:
            _, counter = _charge(tariff, message, stood.pricing)
            _count(counter, -1, counted, tariff)
        if is_counted(message) and message.pricing:
            cost, counter = _charge(tariff, message, message.pricing)
            message.cost_micros = cost.micros if cost else 0
            message.currency = cost.currency if cost else ""
            _count(counter, 1, counted, tariff)
    await _add(connection, {one: n for one, n in counted.items() if n}, slot)


def _count(counter: Counter | None, step: int, counted: dict[Counter, int], tariff: Tariff) -> None:
    if counter is not None:
        counted[counter] += step
        tariff.counted[counter] = tariff.counted.get(counter, 0) + step


def _charge(tariff: Tariff, message: Message, told: bytes) -> tuple[Cost | None, Counter | None]:
    pricing = Pricing.FromString(told)
    category = normal(pricing.category or message.category)
    cost = tariff.charge(category, message.market, pricing.type, pricing.billable)
    if category == SERVICE:
        return cost, None if pricing.type == _FREE_ENTRY else tariff.counter(SERVICE, "")
    counts = cost is not None and cost.market
    return cost, tariff.counter(category, cost.market) if cost and counts else None


async def _add(connection: Connection, counted: Mapping[Counter, int], slot: int) -> None:
    if counters := sorted(counted):
        owners, months, markets, categories = zip(*counters, strict=True)
        await connection.execute(
            "INSERT INTO volumes SELECT o, m, k, c, $6::smallint, n FROM unnest($1::text[],"
            " $2::int[], $3::text[], $4::text[], $5::bigint[]) AS u (o, m, k, c, n)"
            " ON CONFLICT (owner, month, market, category, slot)"
            " DO UPDATE SET messages = volumes.messages + excluded.messages",
            *(list(owners), list(months), list(markets), list(categories)),
            [counted[one] for one in counters],
            slot,
        )
