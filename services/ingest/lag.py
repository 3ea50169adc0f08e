"""How far every group of the log is behind, and whether the front door accepts."""

from collections import defaultdict
from datetime import timedelta

from chassis.clock import Clock
from chassis.streams import DeadLetters, EventLog, backlogs, memory
from merhaba.ingest.v1.ingest_admin_service_pb2 import GetLagRequest, GetLagResponse
from merhaba.ingest.v1.lag_pb2 import Admission as WireAdmission
from merhaba.ingest.v1.lag_pb2 import GroupLag
from services.ingest.admission import Admission
from services.ingest.config import TOPICS
from services.ingest.wire import topic_of


class Lags:
    """Answers GetLag."""

    def __init__(self, log: EventLog, admission: Admission, clock: Clock) -> None:
        self._log = log
        self._letters = DeadLetters(log)
        self._admission = admission
        self._clock = clock

    async def read(self, request: GetLagRequest) -> GetLagResponse:
        """As it is now, over all shards."""
        topics = [topic for topic in TOPICS if not request.topics or topic in request.topics]
        groups: defaultdict[tuple[str, str], GroupLag] = defaultdict(GroupLag)
        behind: defaultdict[tuple[str, str], timedelta] = defaultdict(timedelta)
        for one in await backlogs(self._log, topics):
            if request.groups and one.group not in request.groups:
                continue
            key = (topic_of(one.stream), one.group)
            behind[key] = max(behind[key], one.behind)
            groups[key].unread_entry_count += one.unread
            groups[key].pending_entry_count += one.pending
            # A consumer reads all shards
            groups[key].consumer_count = max(groups[key].consumer_count, one.consumers)
        letters = await self._letters.counts() if groups else {}
        response = GetLagResponse(admission=await self._admitting())
        for (topic, group), told in sorted(groups.items()):
            told.topic, told.group = topic, group
            told.dead_letter_count = letters.get(group, 0)
            told.oldest_duration.FromTimedelta(behind[topic, group])
            response.groups.append(told)
        response.read_time.FromDatetime(self._clock.now())
        response.lag_duration.FromTimedelta(max(behind.values(), default=timedelta(0)))
        return response

    async def _admitting(self) -> WireAdmission:
        used_bytes, limit_bytes = await memory(self._log)
        told = WireAdmission(
            accepting=not self._admission.closed,
            reason=self._admission.closed,
            log_memory_bytes=used_bytes,
            log_memory_limit_bytes=limit_bytes,
        )
        told.append_p99_duration.FromTimedelta(self._log.writes.p99())
        return told
