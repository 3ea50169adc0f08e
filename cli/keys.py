"""`merhaba keys`: API keys of people and tools, in the file that services read.

The file is the running stack's of this folder, or KEYS_FILE. On Kubernetes it is the content of a
Secret: change it here and put it back.
"""

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from chassis.callers import digest
from chassis.failures import Misconfigured
from chassis.keys import Key, check_key, key_of, read_keys, write_keys
from chassis.policy import read_policy
from cli.place import place
from cli.terminal import Console, echo
from cli.told import told
from services import POLICY

app = typer.Typer(help="API keys of people and tools.", no_args_is_help=True)

Days = Annotated[int, typer.Option(min=1, max=3_650, help="How long it is good.")]
File = Annotated[str, typer.Option(help="The file; else KEYS_FILE, or the stack's of this folder.")]


@app.command()
def new(
    name: str,
    role: Annotated[str, typer.Option(help="What it comes as; the policy says what that may.")],
    days: Days = 90,
    calls: Annotated[int, typer.Option(min=0, help="Calls a second; 0: the usual.")] = 0,
    file: File = "",
) -> None:
    """Make a key; the output is the key, shown this once."""
    with told():
        where, keys = _keys(file)
        if any(key.name == name for key in keys):
            raise Misconfigured(f"{name} has a key; `merhaba keys rotate {name}` gives it another")
        _add(where, keys, name, role, days, calls)


@app.command()
def rotate(
    name: str,
    days: Days = 90,
    grace: Annotated[int, typer.Option(min=0, help="Hours until the old ones end.")] = 24,
    file: File = "",
) -> None:
    """Give a name another key; the old one is good for a while yet. The output is the new key."""
    with told():
        where, keys = _keys(file)
        own = [key for key in keys if key.name == name]
        if not own:
            raise Misconfigured(f"{name} has no key; `merhaba keys new {name}` makes one")
        end = datetime.now(UTC) + timedelta(hours=grace)
        ending = [
            msgspec.structs.replace(key, expire_time=min(key.expire_time, end))
            if key.name == name
            else key
            for key in keys
        ]
        _add(where, ending, name, own[-1].role, days, own[-1].calls_per_s)


@app.command("list")
def list_keys(file: File = "") -> None:
    """Whose keys there are, and until when; no key is shown."""
    with told():
        _, keys = _keys(file)
    now = datetime.now(UTC)
    table = Table("id", "name", "role", "calls a second", "since", "until")
    for key in keys:
        until = f"{key.expire_time:%Y-%m-%d %H:%M}Z" + (" (over)" * (key.expire_time <= now))
        calls = str(key.calls_per_s or "usual")
        table.add_row(key.key_id, key.name, key.role, calls, f"{key.create_time:%Y-%m-%d}", until)
    Console().print(table)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="A name, with all its keys, or the id of one.")],
    file: File = "",
) -> None:
    """End keys at once: services look at the file every second."""
    with told():
        where, keys = _keys(file)
        left = [key for key in keys if name not in (key.name, key.key_id)]
        if len(left) == len(keys):
            raise Misconfigured(f"{name} has no key; `merhaba keys list` shows them")
        write_keys(where, left)
    echo(f"{len(keys) - len(left)} revoked")


def _add(where: Path, keys: list[Key], name: str, role: str, days: int, calls: int) -> None:
    secret, now = key_of(secrets.token_bytes(32)), datetime.now(UTC)
    made = Key(name, role, digest(secret), now, now + timedelta(days=days), calls)
    check_key(made, read_policy(POLICY))
    write_keys(where, [*keys, made])
    echo(f"{made.key_id} {name}, {role}, until {made.expire_time:%Y-%m-%d}; the key:", err=True)
    echo(secret)


def _keys(file: str) -> tuple[Path, list[Key]]:
    where = Path(file or os.environ.get("KEYS_FILE", "") or place().keys)
    return where, list(read_keys(where, read_policy(POLICY)))
