"""Processor time of one service and of the Postgres behind it."""

import psutil

from cli import stack


class Cost:
    """What both spent since this was made."""

    def __init__(self, running: stack.Stack, service: str) -> None:
        self._service = psutil.Process(running.addresses().pids[service])
        self._postgres = psutil.Process(running.addresses().pids["postgres"])
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        own = self._service.cpu_times()
        # Those of its processes that ended count too: the postmaster has waited for them.
        postgres = sum(
            _seconds(one) for one in (self._postgres, *self._postgres.children(recursive=True))
        )
        return own.user + own.system, postgres

    def spent(self) -> tuple[float, float]:
        """Seconds of the service, seconds of Postgres."""
        own, postgres = self._now()
        return own - self._before[0], postgres - self._before[1]


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
