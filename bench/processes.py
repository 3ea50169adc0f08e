"""Processor time and memory of the suite's processes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Spent:
    """By part of the suite, with all its processes."""

    cpu_s: Mapping[str, float]
    memory_mb: Mapping[str, float]
    """With what several processes share counted in parts."""


class Processes:
    """Those of each part, and what they had used when this was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """`pids`: by part; `ingest-2` is another process of `ingest`."""
        self._of: dict[str, list[psutil.Process]] = defaultdict(list)
        for name, pid in pids.items():
            self._of[name.partition("-")[0]].append(psutil.Process(pid))
        self._before = self._cpu()

    def spent(self) -> Spent:
        """Since then."""
        memory = {name: sum(map(_memory, _all(of))) for name, of in self._of.items()}
        return Spent(self.cpu_s(), memory)

    def cpu_s(self) -> Mapping[str, float]:
        """Seconds of processor time since then."""
        return {name: seconds - self._before[name] for name, seconds in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(_seconds, _all(of))) for name, of in self._of.items()}


def _all(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [one for own in processes for one in (own, *own.children(recursive=True))]


def _seconds(process: psutil.Process) -> float:
    """With those that ended and were waited for."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0
