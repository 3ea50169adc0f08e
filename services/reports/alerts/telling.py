"""What the routes of a rule are told of its alerts, and when: within the transaction of a look."""

from datetime import datetime, timedelta
from typing import Final

import msgspec
import orjson

from chassis.clock import moment_of
from chassis.ids import derived_id
from chassis.postgres import Connection
from services.reports.alerts.model import Alert, Rule

_encoder: Final = msgspec.msgpack.Encoder()
_TRIED_FOR: Final = timedelta(days=1)


async def silent(
    connection: Connection, rule: Rule, subjects: tuple[str, ...], now: datetime
) -> bool:
    """Whether the routes were told of the same so lately that they are not told again."""
    last: datetime | None = await connection.fetchval(
        "SELECT max(told_time) FROM alerts WHERE alert_rule_id = $1 AND subjects = $2",
        rule.alert_rule_id,
        subjects,
    )
    return last is not None and now - last < timedelta(milliseconds=rule.silence_ms)


async def tell_late(connection: Connection, rule: Rule, alert: Alert, now: datetime) -> None:
    """Of what began in the silence after an earlier alert and still stands when that is over."""
    if alert.told or alert.state != "open":
        return
    if await silent(connection, rule, alert.subjects, now):
        return
    alert.told = True
    await connection.execute(
        "UPDATE alerts SET told_time = $2, alert = $3 WHERE alert_id = $1",
        alert.alert_id,
        now,
        _encoder.encode(alert),
    )
    await tell(connection, rule, alert, now)


async def tell(connection: Connection, rule: Rule, alert: Alert, now: datetime) -> None:
    """Have every route told, unless the alert is one of which nobody is."""
    if not alert.told:
        return
    body = orjson.dumps(
        {
            "alert_id": alert.alert_id,
            "alert_rule_id": alert.alert_rule_id,
            "rule": alert.rule_name,
            "state": alert.state,
            "subjects": alert.subjects,
            "value": alert.value.value,
            "expected": None if alert.expected is None else alert.expected.value,
            "limit": alert.limit,
            "explanation": alert.explanation,
            "open_time": moment_of(alert.open_time),
            "resolve_time": moment_of(alert.resolve_time) if alert.resolve_time else None,
        }
    )
    await connection.executemany(
        "INSERT INTO alert_deliveries VALUES ($1, $2, $3, $4, $5, 0, $6, $7)"
        " ON CONFLICT DO NOTHING",
        [
            (
                derived_id("tell", alert.alert_id, alert.state, route.url),
                alert.alert_id,
                route.url,
                route.secret_name,
                body,
                now,
                now + _TRIED_FOR,
            )
            for route in rule.routes
        ],
    )
