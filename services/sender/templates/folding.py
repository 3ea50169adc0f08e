"""What Meta says of templates in webhooks, and what follows from a change of a template."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.postgres import Connection
from chassis.streams import Record
from services.sender.model import AccountChange, CampaignPhase, Template
from services.sender.rulebook import publish
from services.sender.tables.aftermath import UNDER_WAY, sending, turn

_ENDS: Final = frozenset({"PAUSED", "DISABLED", "REJECTED", "PENDING_DELETION", "DELETED"})
_APPROVED: Final = "APPROVED"
_RED: Final = "RED"
_GATE: Final = "template"


class Folded(NamedTuple):
    """What a change did."""

    records: Sequence[Record] = ()
    """To be published."""
    incomplete: bool = False
    """Meta has to be asked for the rest."""


async def fold(connection: Connection, change: AccountChange, now: int) -> Folded:
    """Change a template as Meta says, unless something newer is known of the same fact."""
    before = await connection.fetchval(
        "SELECT state FROM templates WHERE template_id = $1 FOR UPDATE", change.template_id
    )
    if before is None or change.components:
        return Folded(incomplete=True)
    if change.state:
        # A review that approves may have changed the category
        reviewed = change.state == _APPROVED != before
        return Folded(await _fold_state(connection, change, now), incomplete=reviewed)
    if change.state_reason:
        await connection.execute(
            "UPDATE templates SET state_reason = $2, state_detail = $3, state_time = $4,"
            " version = version + 1"
            " WHERE template_id = $1 AND state = $5 AND state_time <= $4",
            *(change.template_id, change.state_reason, change.state_detail, change.time),
            _APPROVED,
        )
        return Folded()
    if change.quality:
        return Folded(await _fold_quality(connection, change))
    if change.category and change.category_time:
        await connection.execute(
            "UPDATE templates SET announced_category = $2, announced_time = $3,"
            " announcement_time = $4, version = version + 1 WHERE template_id = $1"
            " AND announcement_time <= $4 AND category_time <= $4",
            *(change.template_id, change.category, change.category_time, change.time),
        )
    elif change.category:
        await connection.execute(
            "UPDATE templates SET effective_category = $2, category_time = $3,"
            " announced_category = CASE WHEN announcement_time > $3 THEN announced_category"
            " ELSE '' END,"
            " announced_time = CASE WHEN announcement_time > $3 THEN announced_time ELSE 0 END,"
            " update_time = greatest(update_time, $3), version = version + 1"
            " WHERE template_id = $1 AND category_time <= $3",
            *(change.template_id, change.category, change.time),
        )
    return Folded()


async def _fold_state(connection: Connection, change: AccountChange, now: int) -> list[Record]:
    name = await connection.fetchval(
        "UPDATE templates SET state = $2, state_reason = $3, state_detail = $4,"
        " state_time = $5, update_time = greatest(update_time, $5), version = version + 1"
        " WHERE template_id = $1 AND state_time <= $5 RETURNING name",
        *(change.template_id, change.state, change.state_reason, change.state_detail),
        change.time,
    )
    if not name:
        return []
    return await _consequences(connection, change.waba_id, name, change.state, change.time, now)


async def _fold_quality(connection: Connection, change: AccountChange) -> list[Record]:
    name = await connection.fetchval(
        "UPDATE templates SET quality = $2, quality_time = $3, version = version + 1"
        " WHERE template_id = $1 AND quality_time <= $3 RETURNING name",
        *(change.template_id, change.quality, change.time),
    )
    if not name or change.quality != _RED:
        return []
    return await _stop(connection, change.waba_id, name, change.time)


async def follow(
    connection: Connection, template: Template, known: Template | None, now: int
) -> list[Record]:
    """What follows from a template that was read, and was as it is `known` before."""
    waba_id, name = template.waba_id, template.name
    records: list[Record] = []
    if known is None or template.state != known.state:
        records += await _consequences(connection, waba_id, name, template.state, now, now)
    if template.quality == _RED and (known is None or known.quality != _RED):
        records += await _stop(connection, waba_id, name, now)
    return records


async def _stop(connection: Connection, waba_id: str, name: str, time: int) -> list[Record]:
    """People complain of a template: its campaigns end, those too that wait because Meta paused it
    for the same complaints."""
    phases = (*UNDER_WAY, CampaignPhase.PAUSED)
    ids = await sending(connection, waba_id, name, phases)
    stopped = CampaignPhase.STOPPED
    return await turn(connection, ids, stopped, "template_quality_red", time, phases=phases)


async def _consequences(
    connection: Connection, waba_id: str, name: str, state: str, time: int, now: int
) -> list[Record]:
    """Campaigns of a template that ends go no further, and say why; what waits for one that is
    back is asked again."""
    if state == _APPROVED:
        await publish(connection, [_GATE], now)
    if state not in _ENDS:
        return []
    ids = await sending(connection, waba_id, name)
    return await turn(connection, ids, CampaignPhase.PAUSED, f"template_{state.lower()}", time)
