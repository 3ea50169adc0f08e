"""Processor time of one service and of the Postgres behind it."""

from bench.processes import Processes
from cli import stack


class Cost:
    """What both spent since this was made."""

    def __init__(self, running: stack.Stack, service: str) -> None:
        pids = running.addresses().pids
        self._service = service
        self._processes = Processes({name: pids[name] for name in (service, "postgres")})

    def spent(self) -> tuple[float, float]:
        """Seconds of the service, seconds of Postgres."""
        cpu_s = self._processes.cpu_s()
        return cpu_s[self._service], cpu_s["postgres"]
