"""Rules and alerts in Postgres."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
import msgspec

from chassis.clock import milliseconds_of, moment_of
from chassis.ids import derived_id
from chassis.postgres import Connection, Pool
from services.reports.alerts.model import Alert, Look, Rule, State, Watch
from services.reports.alerts.telling import silent, tell, tell_late
from services.reports.alerts.watching import turn

_encoder: Final = msgspec.msgpack.Encoder()
_rules: Final = msgspec.msgpack.Decoder(Rule)
_alerts: Final = msgspec.msgpack.Decoder(Alert)
MOST_STANDING: Final = 200
"""Alerts of one rule at once: nobody reads more, and each is a call to every route. What else is
beyond the limit begins when others are over."""


class Found(NamedTuple):
    """An alert as it is kept."""

    alert: Alert
    failed_deliveries: int


class AlertStore:
    """Keeps rules, what they found, and who is still to be told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- rules --------------------------------------------------------------------------------

    async def add(self, rules: Sequence[Rule], now: datetime) -> None:
        """Store rules that are not there, and never were."""
        await self._pool.executemany(
            "INSERT INTO alert_rules (alert_rule_id, name, version, update_time, check_time, rule)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            [
                (
                    r.alert_rule_id,
                    r.name,
                    r.version,
                    moment_of(r.update_time),
                    now,
                    _encoder.encode(r),
                )
                for r in rules
            ],
        )

    async def others(self, alert_rule_id: str) -> int:
        """How many there are besides one."""
        found: int = await self._pool.fetchval(
            "SELECT count(*) FROM alert_rules WHERE NOT deleted AND alert_rule_id <> $1",
            alert_rule_id,
        )
        return found

    async def rule(self, alert_rule_id: str) -> Rule | None:
        """One of them."""
        row = await self._pool.fetchrow(
            "SELECT rule FROM alert_rules WHERE alert_rule_id = $1 AND NOT deleted", alert_rule_id
        )
        return None if row is None else _rules.decode(row[0])

    async def rules(self, after: tuple[str, str] | None, most: int) -> list[Rule]:
        """By name, from behind a place on."""
        rows = await self._pool.fetch(
            "SELECT rule FROM alert_rules WHERE NOT deleted AND (name, alert_rule_id) > ($1, $2)"
            " ORDER BY name, alert_rule_id LIMIT $3",
            *(after or ("", "")),
            most,
        )
        return [_rules.decode(row[0]) for row in rows]

    async def change_rule(
        self, alert_rule_id: str, change: Callable[[Rule], Rule], now: datetime
    ) -> Rule | None:
        """Change a rule while nobody else does; it is looked at next."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT rule FROM alert_rules WHERE alert_rule_id = $1 AND NOT deleted FOR UPDATE",
                alert_rule_id,
            )
            if row is None:
                return None
            one = _rules.decode(row[0])
            wanted = change(one)
            wanted.version, wanted.update_time = one.version + 1, milliseconds_of(now)
            await connection.execute(
                "UPDATE alert_rules SET name = $2, version = $3, update_time = $4, check_time = $4,"
                " rule = $5 WHERE alert_rule_id = $1",
                alert_rule_id,
                wanted.name,
                wanted.version,
                now,
                _encoder.encode(wanted),
            )
            # Whoever is to be told no longer is not told what is still due either
            await connection.execute(
                "DELETE FROM alert_deliveries d USING alerts a WHERE a.alert_id = d.alert_id"
                " AND a.alert_rule_id = $1 AND d.url <> ALL($2::text[])",
                alert_rule_id,
                [route.url for route in wanted.routes],
            )
            return wanted

    async def delete_rule(
        self, alert_rule_id: str, check: Callable[[Rule], None], now: datetime
    ) -> bool:
        """Delete a rule for good; its alerts are resolved."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT rule FROM alert_rules WHERE alert_rule_id = $1 AND NOT deleted FOR UPDATE",
                alert_rule_id,
            )
            if row is None:
                return False
            rule = _rules.decode(row[0])
            check(rule)
            await connection.execute(
                "UPDATE alert_rules SET deleted = true, update_time = $2 WHERE alert_rule_id = $1",
                alert_rule_id,
                now,
            )
            for alert in (await _standing(connection, alert_rule_id)).values():
                await _resolve(connection, rule, alert, now)
            await connection.execute(
                "DELETE FROM alert_watches WHERE alert_rule_id = $1", alert_rule_id
            )
            return True

    async def due(self, now: datetime, again: timedelta) -> Rule | None:
        """A rule whose turn it is, for this replica."""
        row = await self._pool.fetchrow(
            "UPDATE alert_rules SET check_time = $2 WHERE alert_rule_id = ("
            "SELECT alert_rule_id FROM alert_rules WHERE NOT deleted AND check_time <= $1"
            " ORDER BY check_time LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING rule",
            now,
            now + again,
        )
        return None if row is None else _rules.decode(row[0])

    async def later(self, rule: Rule, time: datetime) -> None:
        """Look at a rule not before then, unless it was changed meanwhile."""
        await self._pool.execute(
            "UPDATE alert_rules SET check_time = $3 WHERE alert_rule_id = $1 AND version = $2",
            rule.alert_rule_id,
            rule.version,
            time,
        )

    # --- alerts -------------------------------------------------------------------------------

    async def settle(self, rule: Rule, looks: Sequence[Look], now: datetime) -> list[Alert]:
        """Begin and end the alerts that follow from a look; returns those that did."""
        seen = {look.subjects: look for look in looks}
        moved: list[Alert] = []
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            # One replica at a time: what follows is read before it is written
            held = await connection.fetchval(
                "SELECT 1 FROM alert_rules WHERE alert_rule_id = $1 AND NOT deleted FOR UPDATE",
                rule.alert_rule_id,
            )
            if held is None:
                return []
            watches = await _watches(connection, rule.alert_rule_id)
            standing = await _standing(connection, rule.alert_rule_id)
            stands = len(standing)
            for subjects in sorted(seen.keys() | watches.keys() | standing.keys()):
                watch, follows = turn(
                    rule.kind,
                    watches.get(subjects, Watch()),
                    seen.get(subjects),
                    subjects in standing,
                )
                if follows == "open" and stands < MOST_STANDING:
                    stands += 1
                    moved.append(await _open(connection, rule, seen[subjects], now))
                elif follows == "resolve":
                    moved.append(await _resolve(connection, rule, standing[subjects], now))
                elif subjects in standing:
                    await tell_late(connection, rule, standing[subjects], now)
                if watch != watches.get(subjects):
                    await _keep_watch(connection, rule.alert_rule_id, subjects, watch, now)
        return moved

    async def alert(self, alert_id: str) -> Found | None:
        """One of them."""
        row = await self._pool.fetchrow(
            "SELECT alert, failed_deliveries FROM alerts WHERE alert_id = $1", alert_id
        )
        return None if row is None else _found(row)

    async def alerts(
        self,
        states: Sequence[State],
        alert_rule_id: str,
        since: datetime | None,
        before: tuple[datetime, str] | None,
        most: int,
    ) -> list[Found]:
        """Latest opened first, from behind a place on."""
        time, alert_id = before or (None, "")
        rows = await self._pool.fetch(
            "SELECT alert, failed_deliveries FROM alerts WHERE (cardinality($1::text[]) = 0"
            " OR state = ANY($1)) AND ($2 = '' OR alert_rule_id = $2)"
            " AND ($3::timestamptz IS NULL OR open_time >= $3)"
            " AND ($4::timestamptz IS NULL OR (open_time, alert_id) < ($4, $5))"
            " ORDER BY open_time DESC, alert_id DESC LIMIT $6",
            states,
            alert_rule_id,
            since,
            time,
            alert_id,
            most,
        )
        return [_found(row) for row in rows]

    async def acknowledge(
        self, alert_id: str, acknowledger: str, note: str, now: datetime
    ) -> Found | None:
        """Somebody takes care of an open alert; of others nothing changes."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT alert, failed_deliveries FROM alerts WHERE alert_id = $1 FOR UPDATE",
                alert_id,
            )
            if row is None:
                return None
            found = _found(row)
            if found.alert.state == "open":
                found.alert.state = "acknowledged"
                found.alert.acknowledge_time = milliseconds_of(now)
                found.alert.acknowledger, found.alert.note = acknowledger, note
                await _put(connection, found.alert)
            return found


async def _watches(connection: Connection, alert_rule_id: str) -> dict[tuple[str, ...], Watch]:
    rows = await connection.fetch(
        "SELECT subjects, breached, calm FROM alert_watches WHERE alert_rule_id = $1",
        alert_rule_id,
    )
    return {tuple(row["subjects"]): Watch(row["breached"], row["calm"]) for row in rows}


async def _standing(connection: Connection, alert_rule_id: str) -> dict[tuple[str, ...], Alert]:
    rows = await connection.fetch(
        "SELECT alert FROM alerts WHERE alert_rule_id = $1 AND state <> 'resolved' FOR UPDATE",
        alert_rule_id,
    )
    found = [_alerts.decode(row[0]) for row in rows]
    return {alert.subjects: alert for alert in found}


async def _keep_watch(
    connection: Connection,
    alert_rule_id: str,
    subjects: tuple[str, ...],
    watch: Watch,
    now: datetime,
) -> None:
    if not watch.beyond and watch.calm:
        # Nothing has to be remembered of what is calm, but how long while an alert stands
        kept = await connection.fetchval(
            "SELECT 1 FROM alerts WHERE alert_rule_id = $1 AND subjects = $2"
            " AND state <> 'resolved'",
            alert_rule_id,
            subjects,
        )
        if kept is None:
            await connection.execute(
                "DELETE FROM alert_watches WHERE alert_rule_id = $1 AND subjects = $2",
                alert_rule_id,
                subjects,
            )
            return
    await connection.execute(
        "INSERT INTO alert_watches VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (alert_rule_id, subjects) DO UPDATE"
        " SET breached = excluded.breached, calm = excluded.calm, look_time = excluded.look_time",
        alert_rule_id,
        subjects,
        watch.beyond,
        watch.calm,
        now,
    )


async def _open(connection: Connection, rule: Rule, look: Look, now: datetime) -> Alert:
    time = milliseconds_of(now)
    alert = Alert(
        alert_id=derived_id("alert", rule.alert_rule_id, str(time), *look.subjects),
        alert_rule_id=rule.alert_rule_id,
        rule_name=rule.name,
        measure=rule.measure,
        subjects=look.subjects,
        value=look.value,
        sample_size=look.sample_size,
        expected=look.expected,
        limit=look.limit,
        explanation=look.explanation,
        told=not await silent(connection, rule, look.subjects, now),
        open_time=time,
    )
    await connection.execute(
        "INSERT INTO alerts (alert_id, alert_rule_id, subjects, state, open_time, told_time, alert)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        alert.alert_id,
        alert.alert_rule_id,
        alert.subjects,
        alert.state,
        moment_of(time),
        now if alert.told else None,
        _encoder.encode(alert),
    )
    await tell(connection, rule, alert, now)
    return alert


async def _resolve(connection: Connection, rule: Rule, alert: Alert, now: datetime) -> Alert:
    alert.state, alert.resolve_time = "resolved", milliseconds_of(now)
    await _put(connection, alert)
    await tell(connection, rule, alert, now)
    return alert


async def _put(connection: Connection, alert: Alert) -> None:
    await connection.execute(
        "UPDATE alerts SET state = $2, alert = $3 WHERE alert_id = $1",
        alert.alert_id,
        alert.state,
        _encoder.encode(alert),
    )


def _found(row: asyncpg.Record) -> Found:
    return Found(_alerts.decode(row["alert"]), row["failed_deliveries"])
