"""Begins exports: checked, stored, left to whoever makes them."""

from chassis.clock import Clock
from merhaba.reports.v1 import ExportSpec
from services.reports.answers.question import MOST_ROWS as MOST_OF_A_QUERY
from services.reports.exports import nouns
from services.reports.exports.contents import Contents
from services.reports.exports.files import MOST_ROWS
from services.reports.exports.model import MOST_OPEN, Export
from services.reports.exports.store import ExportStore
from services.reports.failures import ExportsBusy
from services.reports.ledger import Ledger
from services.reports.model import QueryTooLarge

assert MOST_OF_A_QUERY <= MOST_ROWS  # a sheet holds any query


class Beginning:
    """Begins exports."""

    def __init__(
        self, store: ExportStore, contents: Contents, ledger: Ledger, clock: Clock
    ) -> None:
        self._store = store
        self._contents = contents
        self._ledger = ledger
        self._clock = clock

    async def begin(self, export_id: str, spec: ExportSpec, schedule_id: str = "") -> Export:
        """Store an export; beginning it again changes nothing. Raises `FieldInvalid`,
        `QueryTooLarge`, `CampaignNotFound` and `ExportsBusy`."""
        format_ = nouns.format_of(spec)
        campaign = ""
        if spec.campaign_id:
            campaign = (await self._contents.campaign(spec.campaign_id)).state.name
        expected = await self._contents.expected(spec)
        if format_ == "xlsx" and expected > MOST_ROWS:
            raise QueryTooLarge(
                "a sheet does not hold it; ask for a shorter period, or for CSV or Parquet",
                limit=str(MOST_ROWS),
                estimate=str(expected),
            )
        now = self._clock.now()
        one = Export(
            export_id,
            schedule_id,
            spec.SerializeToString(),
            "waiting",
            "",
            nouns.filename(spec, campaign, now),
            spec.unmasked,
            now,
            self._ledger.fold_time(),
            0,
            0,
            expected,
            0,
            "",
            None,
            None,
            0,
        )
        if not await self._store.add(one, MOST_OPEN):
            raise ExportsBusy(MOST_OPEN)
        return await self._store.get(export_id) or one
