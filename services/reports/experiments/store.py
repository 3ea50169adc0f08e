"""Experiments in Postgres."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from chassis.clock import moment_of
from chassis.postgres import Pool
from services.reports.experiments.model import Experiment, State
from services.reports.experiments.outcomes import Gathered

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Experiment)
_known: Final = msgspec.msgpack.Decoder(Gathered)


class ExperimentStore:
    """Keeps experiments; each is changed by one caller at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, one: Experiment) -> Experiment:
        """Store an experiment, unless its campaign has one; returns the one it has."""
        await self._pool.execute(
            "INSERT INTO experiments"
            " (experiment_id, campaign_id, state, version, create_time, judge_time, experiment)"
            " VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT DO NOTHING",
            one.experiment_id,
            one.campaign_id,
            one.state,
            one.version,
            moment_of(one.create_time),
            _encoder.encode(one),
        )
        found = await self.of_campaign(one.campaign_id)
        assert found is not None
        return found

    async def get(self, experiment_id: str) -> Experiment | None:
        """One of them."""
        return _read(
            await self._pool.fetchrow(
                "SELECT experiment FROM experiments WHERE experiment_id = $1", experiment_id
            )
        )

    async def of_campaign(self, campaign_id: str) -> Experiment | None:
        """The one of a campaign."""
        return _read(
            await self._pool.fetchrow(
                "SELECT experiment FROM experiments WHERE campaign_id = $1", campaign_id
            )
        )

    async def listed(
        self,
        states: Sequence[State],
        campaign_id: str,
        before: tuple[datetime, str] | None,
        most: int,
    ) -> list[Experiment]:
        """Latest created first, from behind a place on."""
        time, experiment_id = before or (None, "")
        rows = await self._pool.fetch(
            "SELECT experiment FROM experiments WHERE (cardinality($1::text[]) = 0"
            " OR state = ANY($1)) AND ($2 = '' OR campaign_id = $2)"
            " AND ($3::timestamptz IS NULL OR (create_time, experiment_id) < ($3, $4))"
            " ORDER BY create_time DESC, experiment_id DESC LIMIT $5",
            states,
            campaign_id,
            time,
            experiment_id,
            most,
        )
        return [_decoder.decode(row[0]) for row in rows]

    async def change(
        self, experiment_id: str, change: Callable[[Experiment], bool]
    ) -> Experiment | None:
        """Change an experiment while nobody else does; `change` says whether it did."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            one = _read(
                await connection.fetchrow(
                    "SELECT experiment FROM experiments WHERE experiment_id = $1 FOR UPDATE",
                    experiment_id,
                )
            )
            if one is None or not change(one):
                return one
            one.version += 1
            await connection.execute(
                "UPDATE experiments SET state = $2, version = $3, experiment = $4"
                " WHERE experiment_id = $1",
                one.experiment_id,
                one.state,
                one.version,
                _encoder.encode(one),
            )
            return one

    async def keep(self, experiment_id: str, known: Gathered) -> None:
        """Keep what came of the recipients, for whoever asks next."""
        await self._pool.execute(
            "UPDATE experiments SET known = $2 WHERE experiment_id = $1",
            experiment_id,
            _encoder.encode(known),
        )

    async def known(self, experiment_id: str) -> Gathered | None:
        """What came of the recipients when somebody last looked; None before."""
        raw = await self._pool.fetchval(
            "SELECT known FROM experiments WHERE experiment_id = $1", experiment_id
        )
        return None if raw is None else _known.decode(raw)

    async def due(self, now: datetime, again: timedelta) -> Experiment | None:
        """One that runs and whose turn it is, for this replica; it is its turn again after a
        while."""
        return _read(
            await self._pool.fetchrow(
                "UPDATE experiments SET judge_time = $2 WHERE experiment_id = ("
                "SELECT experiment_id FROM experiments WHERE state = 'running' AND judge_time <= $1"
                " ORDER BY judge_time LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING experiment",
                now,
                now + again,
            )
        )

    async def later(self, experiment_id: str, time: datetime) -> None:
        """Look at one not before then."""
        await self._pool.execute(
            "UPDATE experiments SET judge_time = $2 WHERE experiment_id = $1", experiment_id, time
        )


def _read(row: asyncpg.Record | None) -> Experiment | None:
    return None if row is None else _decoder.decode(row[0])
