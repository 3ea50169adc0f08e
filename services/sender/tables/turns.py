"""Turns of messages: what is due, and what is decided of it."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections import Counter
from collections.abc import Sequence
from typing import Final

from chassis.postgres import Connection
from services.sender.delivery.moves import Decided
from services.sender.model import Lane, Message, State
from services.sender.tables.rows import COLUMNS, changed, columns
from services.sender.tables.verdicts import pack

_WAITS: Final = "is_waiting AND phone_number_id = $1"
# One look into the index for each campaign that waits in a lane, then so many messages of each that
# has some due: whoever has a million waiting is in nobody's way.
_DUE: Final = (
    "WITH RECURSIVE waiting AS ("
    f" SELECT lane, most, (SELECT campaign_id FROM messages m WHERE {_WAITS} AND m.lane = l.lane"
    "  ORDER BY campaign_id LIMIT 1) AS campaign_id"
    " FROM unnest($3::smallint[], $4::int[]) AS l (lane, most)"
    " UNION ALL"
    f" SELECT lane, most, (SELECT campaign_id FROM messages m WHERE {_WAITS} AND m.lane = w.lane"
    "  AND m.campaign_id > w.campaign_id ORDER BY campaign_id LIMIT 1)"
    " FROM waiting w WHERE w.campaign_id IS NOT NULL),"
    " turns AS (SELECT lane, most, campaign_id, count(*) OVER lanes AS campaigns,"
    "  row_number() OVER (PARTITION BY lane ORDER BY random()) AS turn FROM waiting w"
    # Not EXISTS, which would be read off everything that is due
    f" WHERE (SELECT true FROM messages m WHERE {_WAITS} AND m.lane = w.lane"
    "  AND m.campaign_id = w.campaign_id AND due_time <= $2 LIMIT 1)"
    " WINDOW lanes AS (PARTITION BY lane))"
    " SELECT campaigns, most, one.* FROM turns t CROSS JOIN LATERAL"
    f" (SELECT {COLUMNS} FROM messages m WHERE {_WAITS} AND m.lane = t.lane"
    "  AND m.campaign_id = t.campaign_id AND due_time <= $2 ORDER BY due_time"
    "  LIMIT ceil(t.most::numeric / t.campaigns) FOR UPDATE SKIP LOCKED) AS one"
    " WHERE t.turn <= t.most"
)
# Those that go have most in common, and an array costs something for each of its elements.
_GO: Final = (
    f"UPDATE messages AS m SET state = {State.ATTEMPTING:d}, gate = '', reason = '',"
    " error_code = 0, attempts = m.attempts + 1, attempt_time = $7, due_time = $8, claim = $9,"
    " decide_time = $10, edition = $11, category = u.category, market = u.market,"
    " cost_micros = u.cost_micros, currency = u.currency, verdicts = u.verdicts"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bytea[])"
    " AS u (message_id, category, market, cost_micros, currency, verdicts)"
    " WHERE m.message_id = u.message_id"
)
_GOING: Final = ("message_id", "category", "market", "cost_micros", "currency")
_STAYING: Final = (
    *("message_id", "category", "market", "state", "gate", "reason", "attempts", "due_time"),
    *("attempt_time", "cost_micros", "currency", "error_code", "claim"),
)
_STAY: Final = changed((*_STAYING[1:], "decide_time", "edition", "verdicts"))


async def due(
    connection: Connection, phone_number_id: str, places: Sequence[int], now: int
) -> tuple[list[Message], bool]:
    """Messages of a number that are due, about so many of each lane, in equal parts from the
    campaigns that have some; locked, without those that others have. True: more may be due."""
    asked = [(int(lane), most) for lane, most in zip(Lane, places, strict=True) if most]
    rows = await connection.fetch(
        _DUE, phone_number_id, now, [lane for lane, _ in asked], [most for _, most in asked]
    )
    messages: list[Message] = []
    taken: Counter[tuple[int, str]] = Counter()
    more = False
    for campaigns, most, *fields in rows:
        message = Message(*fields)
        messages.append(message)
        part = message.lane, message.campaign_id
        taken[part] += 1
        more = more or campaigns > most or taken[part] >= most / campaigns
    # Who is asked first has the room under a cap
    return sorted(messages, key=lambda message: message.lane), more


async def take(
    connection: Connection, claim: int, decided: Sequence[Decided], edition: int, now: int
) -> None:
    """Write what was decided by an edition of the rulebook, under the name of a claim, and until
    when those that go are ours. They were all let go in the same moment."""
    for one in decided:
        one.message.claim = claim
    going = [one for one in decided if one.address is not None]
    staying = [one for one in decided if one.address is None]
    if going:
        messages, verdicts = _apart(going)
        first = messages[0]
        await connection.execute(
            _GO,
            *columns(messages, _GOING),
            verdicts,
            *(first.attempt_time, first.due_time, claim, now, edition),
        )
        await connection.execute(
            "INSERT INTO leases VALUES ($1, $2, $3, $4)",
            *(claim, first.phone_number_id, first.due_time),
            [message.message_id for message in messages],
        )
    if staying:
        messages, verdicts = _apart(staying)
        n = len(messages)
        await connection.execute(
            _STAY, *columns(messages, _STAYING), [now] * n, [edition] * n, verdicts
        )


def _apart(decided: Sequence[Decided]) -> tuple[list[Message], list[bytes]]:
    """Messages, and what the gates said of them."""
    return [one.message for one in decided], [pack(one.verdicts) for one in decided]
