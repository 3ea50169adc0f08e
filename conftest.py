"""Fixtures of every test: real servers, a manual clock. In CI a skipped test fails the run."""

import os

import pytest
from hypothesis import HealthCheck, settings

# In CI the same examples each time: a red run is somebody's change. Everywhere else new ones are
# drawn, and what they find is kept in .hypothesis until it is put right.
# How long an example takes says nothing: machines stand still for a while.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")

# Servers are forked while gRPC's threads run; each becomes another program at once, so what gRPC
# does for forks has nothing to do, and sometimes kills the child. Read when gRPC is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Tests of one service talk to it as it is; `tests/mesh` and everything that runs the whole suite
# (`merhaba run`) do so with certificates.
os.environ.setdefault("PLAINTEXT", "true")

pytest_plugins = ["chassis.testing"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A part that is missing is to be installed: in CI nothing may be skipped for it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and skipped:
        reporter.write_line(f"{len(skipped)} skipped, and in CI nothing may be", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
