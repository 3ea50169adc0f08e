"""What an error code says of others than the message: its number, template, campaign or person."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.postgres import Connection
from chassis.streams import Record
from merhaba.sender.v1 import Campaign as CampaignProto
from services.sender.body import files_of
from services.sender.delivery.outcome import Act, Then, rule_of
from services.sender.holds import hold
from services.sender.model import NEVER, CampaignPhase, Message, Standing
from services.sender.wire import campaign_record

_STANDING: Final = ", ".join(Standing.__struct_fields__)
UNDER_WAY: Final = (CampaignPhase.PLANNING, CampaignPhase.RUNNING)
_STATES: Final = {Then.PAUSE_TEMPLATE: "PAUSED", Then.DISABLE_TEMPLATE: "DISABLED"}
_PHASES: Final = {
    Then.PAUSE_CAMPAIGN: CampaignPhase.PAUSED,
    Then.STOP_CAMPAIGN: CampaignPhase.STOPPED,
}
_NOTED: Final = {
    Then.SATURATE_CONTACT: "last_time",
    Then.OPT_OUT_CONTACT: "opted_out_time",
    Then.LOSE_CONTACT: "unreachable_time",
}


class Said(NamedTuple):
    """Meta refused a message with a code, in the answer to a call or in a status."""

    message: Message
    code: int
    time: int


async def follow(connection: Connection, said: Sequence[Said]) -> list[Record]:
    """Change what has to change, in the transaction of the messages, each thing once; returns what
    to publish."""
    numbers: dict[str, Said] = {}
    campaigns: dict[tuple[str, Then], Said] = {}
    templates: dict[tuple[str, str, str, str], Said] = {}
    uploads: dict[str, set[str]] = {}
    noted: dict[str, dict[str, int]] = {}
    for one in said:
        message, rule = one.message, rule_of(one.code)
        if rule.act == Act.HALT:
            numbers.setdefault(message.phone_number_id, one)
        if rule.then in _PHASES and message.campaign_id:
            campaigns.setdefault((message.campaign_id, rule.then), one)
        elif rule.then in _STATES and message.template:
            key = message.phone_number_id, message.template, message.language
            templates.setdefault((*key, _STATES[rule.then]), one)
        elif rule.then == Then.FORGET_UPLOADS:
            uploads.setdefault(message.phone_number_id, set()).update(files_of(message.body))
        elif (column := _NOTED.get(rule.then)) and message.contact_id:
            noted.setdefault(column, {})[message.contact_id] = one.time
    for number, one in sorted(numbers.items()):
        await _pause_number(connection, number, _reason(one), one.time)
    records: list[Record] = []
    for template, one in sorted(templates.items()):
        records += await _pause_template(connection, *template, one.time)
    for (campaign_id, then), one in sorted(campaigns.items(), key=_stops_first):
        phase = _PHASES[then]
        # What failed before somebody resumed it is no news
        before = one.time if phase == CampaignPhase.PAUSED else NEVER
        records += await turn(connection, [campaign_id], phase, _reason(one), one.time, before)
    for number, file_ids in sorted(uploads.items()):
        await _forget_uploads(connection, number, sorted(file_ids))
    for column, contacts in sorted(noted.items()):
        await _note(connection, column, contacts)
    return records


def _stops_first(one: tuple[tuple[str, Then], Said]) -> tuple[str, bool]:
    (campaign_id, then), _ = one
    return campaign_id, then != Then.STOP_CAMPAIGN


def _reason(said: Said) -> str:
    return f"{rule_of(said.code).kind}_{said.code}"


async def _pause_number(
    connection: Connection, phone_number_id: str, reason: str, time: int
) -> None:
    """Unless somebody let it send again since."""
    await connection.execute(
        "UPDATE numbers SET paused = true, state_reason = $2, update_time = $3,"
        " version = version + 1"
        " WHERE phone_number_id = $1 AND NOT paused AND update_time <= $3",
        *(phone_number_id, reason, time),
    )


async def _forget_uploads(
    connection: Connection, phone_number_id: str, file_ids: Sequence[str]
) -> None:
    await connection.execute(
        "DELETE FROM uploads u USING files f WHERE f.file_id = ANY($2::text[])"
        " AND u.phone_number_id = $1 AND u.sha256 = f.sha256 AND u.mime_type = f.mime_type",
        *(phone_number_id, list(file_ids)),
    )


async def _pause_template(
    connection: Connection, number: str, template: str, language: str, state: str, time: int
) -> list[Record]:
    waba_id = await connection.fetchval(
        "UPDATE templates SET state = $4, state_time = $5, update_time = $5,"
        " version = templates.version + 1"
        " FROM numbers n WHERE n.waba_id = templates.waba_id AND n.phone_number_id = $1"
        " AND templates.name = $2 AND templates.language = $3 AND state_time < $5"
        " RETURNING n.waba_id",
        *(number, template, language, state, time),
    )
    if waba_id is None:  # Meta has said something newer
        return []
    ids = await sending(connection, waba_id, template)
    return await turn(connection, ids, CampaignPhase.PAUSED, f"template_{state.lower()}", time)


async def sending(
    connection: Connection,
    waba_id: str,
    template: str,
    phases: Sequence[CampaignPhase] = UNDER_WAY,
) -> list[str]:
    """Campaigns in these phases that send a template."""
    rows = await connection.fetch(
        "SELECT campaign_id, definition FROM campaigns WHERE state = ANY($1::int[])"
        " ORDER BY campaign_id",
        list(map(int, phases)),
    )
    definitions = [(row[0], CampaignProto.FromString(row[1])) for row in rows]
    return [
        campaign_id
        for campaign_id, one in definitions
        if one.waba_id == waba_id and template in {v.template_name for v in one.variants}
    ]


async def turn(
    connection: Connection,
    campaign_ids: Sequence[str],
    phase: CampaignPhase,
    reason: str,
    time: int,
    before: int = NEVER,
    phases: Sequence[CampaignPhase] = UNDER_WAY,
) -> list[Record]:
    """Pause or stop those of these campaigns that are in one of the `phases`, with the reason;
    `before`: only where the last change was before that."""
    await hold(connection, campaign_ids)
    rows = await connection.fetch(
        "UPDATE campaigns SET state = $2::int, state_reason = $3, version = version + 1,"
        " update_time = greatest(update_time, $4), swept = false,"
        " end_time = CASE WHEN $2::int = 8 THEN $4 ELSE end_time END"
        " WHERE campaign_id IN (SELECT campaign_id FROM campaigns WHERE campaign_id ="
        " ANY($1::text[]) AND state = ANY($6::int[]) AND update_time <= $5"
        "  ORDER BY campaign_id FOR UPDATE)"
        f" RETURNING {_STANDING}",
        *(list(campaign_ids), int(phase), reason, time, before, list(map(int, phases))),
    )
    return [campaign_record(Standing(*row)) for row in rows]


async def _note(connection: Connection, column: str, contacts: dict[str, int]) -> None:
    ordered = sorted(contacts)
    await connection.execute(
        f"INSERT INTO saturations (contact_id, {column})"
        " SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT (contact_id) DO UPDATE"
        f" SET {column} = greatest(saturations.{column}, excluded.{column})",
        ordered,
        [contacts[one] for one in ordered],
    )
