"""Due messages with all that the gates ask about, for many at once."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from chassis.postgres import Connection
from services.sender.gates import Budget, Candidate
from services.sender.holds import share
from services.sender.model import Message, Number, Template
from services.sender.rulebook import Rulebook
from services.sender.rulebook.tiers import reached
from services.sender.rules.caps import Counted
from services.sender.rules.policy import SERVICE, FrequencyCap
from services.sender.rules.rates import Counter, RateCard, Tariff, card_at, month_of
from services.sender.rules.volumes import market_called

_TEMPLATE_COLUMNS: Final = ", ".join(f"t.{c}" for c in Template.__struct_fields__)
_NUMBER_COLUMNS: Final = ", ".join(Number.__struct_fields__)
_PURPOSE: Final = "CASE WHEN purpose <> '' THEN purpose ELSE category END"


class Payer(Protocol):
    """A number, as far as prices depend on it."""

    @property
    def phone_number_id(self) -> str: ...
    @property
    def waba_id(self) -> str: ...
    @property
    def portfolio_id(self) -> str: ...


class _Campaign(NamedTuple):
    phase: int
    ignores_control: bool
    not_after: int
    budget: Budget | None


async def candidates(
    connection: Connection,
    rulebook: Rulebook,
    messages: Sequence[Message],
    now: int,
    *,
    lock: bool,
) -> list[Candidate]:
    """What the gates ask about.

    With `lock`, until the transaction ends nobody pauses a campaign, spends from its budget, or
    counts what the same contacts were sent: what is decided on holds when it is written.
    """
    rules = await rulebook.read(connection)
    campaigns = await _campaigns(connection, messages, lock)
    numbers = await _numbers(connection, {m.phone_number_id for m in messages})
    templates = await _templates(connection, messages)
    said = await saturations(connection, [m.contact_id for m in messages if m.template])
    windows = await _windows(connection, [m.contact_id for m in messages])
    tariffs = await load_tariffs(connection, rules.cards, numbers.values(), now)
    found = []
    for message in messages:
        campaign = campaigns.get(message.campaign_id, _Campaign(0, False, 0, None))
        number_id = message.phone_number_id
        found.append(
            Candidate(
                message,
                campaign.phase if message.campaign_id else None,
                campaign.ignores_control,
                campaign.not_after,
                templates.get((number_id, message.template, message.language)),
                numbers.get(number_id),
                windows[message.contact_id, number_id],
                *said.get(message.contact_id, (0, 0, 0)),
                rules.policy,
                budget=campaign.budget,
                tariff=tariffs.get(number_id, Tariff()),
                edition=rules.edition,
            )
        )
    await _count(connection, found, rules.policy.frequency_caps, now, lock)
    return found


async def _campaigns(
    connection: Connection, messages: Sequence[Message], lock: bool
) -> dict[str, _Campaign]:
    ids = {m.campaign_id for m in messages if m.campaign_id}
    if not ids:
        return {}
    if lock:
        await share(connection, ids)
    rows = await connection.fetch(
        "SELECT campaign_id, state, ignores_control, not_after, budget_micros, budget_currency"
        " FROM campaigns WHERE campaign_id = ANY($1::text[])",
        list(ids),
    )
    limited = sorted(row["campaign_id"] for row in rows if row["budget_currency"])
    spent = await _spent(connection, limited, lock)
    return {
        row["campaign_id"]: _Campaign(
            row["state"],
            row["ignores_control"],
            row["not_after"],
            Budget(row["budget_micros"] - spent[row["campaign_id"]], row["budget_currency"])
            if row["budget_currency"]
            else None,
        )
        for row in rows
    }


async def _spent(
    connection: Connection, campaign_ids: Sequence[str], lock: bool
) -> Mapping[str, int]:
    spent: dict[str, int] = defaultdict(int)
    if not campaign_ids:
        return spent
    if lock:
        await connection.execute(
            "INSERT INTO spendings SELECT unnest($1::text[]), 0 ON CONFLICT DO NOTHING",
            campaign_ids,
        )
    rows = await connection.fetch(
        "SELECT campaign_id, micros FROM spendings WHERE campaign_id = ANY($1::text[])"
        f" ORDER BY campaign_id {'FOR UPDATE' if lock else ''}",
        campaign_ids,
    )
    spent.update((row["campaign_id"], row["micros"]) for row in rows)
    return spent


async def _numbers(connection: Connection, number_ids: set[str]) -> dict[str, Number]:
    rows = await connection.fetch(
        f"SELECT {_NUMBER_COLUMNS} FROM numbers WHERE phone_number_id = ANY($1::text[])",
        list(number_ids),
    )
    return {number.phone_number_id: number for number in (Number(*row) for row in rows)}


async def _templates(
    connection: Connection, messages: Sequence[Message]
) -> dict[tuple[str, str, str], Template]:
    named = {(m.phone_number_id, m.template, m.language) for m in messages if m.template}
    if not named:
        return {}
    numbers, names, languages = zip(*named, strict=True)
    rows = await connection.fetch(
        f"SELECT n.phone_number_id, {_TEMPLATE_COLUMNS} FROM templates t"
        " JOIN numbers n USING (waba_id) WHERE (n.phone_number_id, t.name, t.language) IN"
        " (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))",
        *(list(numbers), list(names), list(languages)),
    )
    found = [(row[0], Template(*row[1:])) for row in rows]
    return {(number, one.name, one.language): one for number, one in found}


async def saturations(
    connection: Connection, contact_ids: Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """What Meta said of contacts: when it last withheld one as one too many, that they stopped
    offers, that nothing reaches them; 0 for never."""
    if not contact_ids:
        return {}
    rows = await connection.fetch(
        "SELECT contact_id, last_time, opted_out_time, unreachable_time FROM saturations"
        " WHERE contact_id = ANY($1::text[])",
        contact_ids,
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def _windows(
    connection: Connection, contact_ids: Sequence[str]
) -> Mapping[tuple[str, str], int]:
    rows = await connection.fetch(
        "SELECT contact_id, phone_number_id, last_time FROM windows"
        " WHERE contact_id = ANY($1::text[])",
        contact_ids,
    )
    return defaultdict(int, {(row[0], row[1]): row[2] for row in rows})


async def _count(
    connection: Connection,
    found: Sequence[Candidate],
    caps: Sequence[FrequencyCap],
    now: int,
    lock: bool,
) -> None:
    """Give every candidate whose purpose is capped what its contact was sent."""
    capped = [one for one in found if any(cap.covers(_purpose(one, now)) for cap in caps)]
    if not capped:
        return
    contact_ids = sorted({one.message.contact_id for one in capped})
    if lock:
        await pass_one_by_one(connection, contact_ids)
    counted = await sent(
        connection, contact_ids, caps, now, [one.message.message_id for one in found]
    )
    for one in capped:
        one.counted = counted[one.message.contact_id]


async def sent(
    connection: Connection,
    contact_ids: Sequence[str],
    caps: Sequence[FrequencyCap],
    now: int,
    besides: Sequence[str] = (),
) -> dict[str, list[Counted]]:
    """What contacts were sent, as far back as any cap looks, but for the messages `besides`."""
    rows = await connection.fetch(
        f"SELECT contact_id, {_PURPOSE} AS purpose, attempt_time FROM messages"
        " WHERE contact_id = ANY($1::text[]) AND attempt_time > $2"
        " AND (state BETWEEN 3 AND 8 OR state = 9 AND reason = 'unconfirmed')"
        " AND message_id <> ALL($3::text[]) AND NOT trial",
        contact_ids,
        now - max(cap.window_ms for cap in caps),
        besides,
    )
    counted: dict[str, list[Counted]] = defaultdict(list)
    for contact_id, purpose, time in rows:
        counted[contact_id].append(Counted(purpose, time))
    return counted


async def pass_one_by_one(connection: Connection, contact_ids: Sequence[str]) -> None:
    """Until the transaction ends, nobody else counts what these contacts, in order, were sent.

    Whoever holds a turnstile waits for no message: who claims one may be waiting for it.
    """
    if contact_ids:
        # Rows that stand are locked without being written.
        await connection.execute(
            "INSERT INTO turnstiles SELECT unnest($1::text[]) ON CONFLICT (contact_id)"
            " DO UPDATE SET contact_id = excluded.contact_id WHERE false",
            contact_ids,
        )


def _purpose(candidate: Candidate, now: int) -> str:
    message, template = candidate.message, candidate.template
    category = template.category_at(now) if template else message.category or SERVICE
    return message.purpose or category


async def load_tariffs(
    connection: Connection, cards: Sequence[RateCard], numbers: Collection[Payer], now: int
) -> dict[str, Tariff]:
    """By number, the card in force and what was counted this month, by us or, if more, by Meta."""
    if not cards:
        return {}
    found = {
        n.phone_number_id: Tariff(
            card_at(cards, n.waba_id, now),
            n.portfolio_id or n.waba_id,
            n.phone_number_id,
            month_of(now),
        )
        for n in numbers
    }
    owners = {o for one in found.values() for o in (one.payer, one.phone_number_id)}
    rows = await connection.fetch(
        "SELECT owner, month, market, category, sum(messages)::bigint FROM volumes"
        " WHERE owner = ANY($1::text[]) AND month = $2 GROUP BY 1, 2, 3, 4",
        *(list(owners), month_of(now)),
    )
    for *counter, messages in rows:
        for one in found.values():
            one.counted[Counter(*counter)] = messages
    told = await reached(connection, {n.waba_id for n in numbers}, month_of(now))
    for n in numbers:
        tariff = found[n.phone_number_id]
        card = tariff.card
        if card is None:
            continue
        for region, category, volume in told.get(n.waba_id, ()):
            of = tariff.counter(category, market_called(card, region))
            tariff.counted[of] = max(volume, tariff.counted.get(of, 0))
    return found
