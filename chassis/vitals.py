"""The signs of a process's life that nobody else would record: looked at every few seconds."""

import asyncio
import resource
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter
from typing import Final

import structlog
from cryptography import x509

from chassis import names
from chassis.clock import Clock
from chassis.postgres import Pool
from chassis.streams import EventLog, memory
from chassis.telemetry import counter, gauge, histogram
from chassis.transient import transient

_EVERY_S: Final = 10.0
_TICK_S: Final = 0.5
_PAGE: Final = resource.getpagesize()

_memory = gauge("merhaba.process.memory")
_cpu = counter("merhaba.process.cpu")
_delay = histogram("merhaba.process.loop.delay")
_pool = gauge("merhaba.database.pool")
_outbox = gauge("merhaba.outbox.lag")
_log_memory = gauge("merhaba.log.memory")
_certificate = gauge("merhaba.certificate.remaining")

_logger = structlog.get_logger()


class Vitals:
    """Of one process: processor, memory, event loop, database, log, certificate."""

    def __init__(self, pool: Pool, log: EventLog, certificate: Path | None, clock: Clock) -> None:
        """`certificate`: the file of this process's own, where it has one."""
        self._pool = pool
        self._log = log
        self._certificate = certificate
        self._clock = clock
        self._cpu_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        looked = monotonic() - _EVERY_S
        while True:
            started = perf_counter()
            await asyncio.sleep(_TICK_S)
            _delay.record(max(perf_counter() - started - _TICK_S, 0.0))
            if monotonic() - looked >= _EVERY_S:
                looked = monotonic()
                await self._look()

    async def _look(self) -> None:
        self._process()
        self._connections()
        if self._certificate is not None:
            self._ends(self._certificate)
        try:
            _outbox.set(await self._unpublished_s())
            used, limit = await memory(self._log)
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning("vital signs incomplete", error=type(error).__name__)
        else:
            _log_memory.set(used, {names.KIND: "used"})
            _log_memory.set(limit, {names.KIND: "limit"})

    def _process(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        _cpu.add(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        pages = Path("/proc/self/statm")
        held = (
            int(pages.read_text().split()[1]) * _PAGE if pages.exists() else used.ru_maxrss * 1024
        )
        _memory.set(held)

    def _connections(self) -> None:
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        full = size == self._pool.get_max_size() and idle == 0
        _pool.set(size - idle, {names.STATE: "used"})
        _pool.set(idle, {names.STATE: "idle"})
        _pool.set(int(full), {names.STATE: "exhausted"})

    def _ends(self, path: Path) -> None:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        _certificate.set((ends - self._clock.now().astimezone(UTC)).total_seconds())

    async def _unpublished_s(self) -> float:
        oldest: datetime | None = await self._pool.fetchval("SELECT min(create_time) FROM outbox")
        return (self._clock.now() - oldest).total_seconds() if oldest else 0.0
