"""Changing the master key: every key that a former one wraps is wrapped by the present one.

What the keys seal stays as it is. Put the new key first in MASTER_KEYS, restart the service, run
`python -m services.profile rotate`, and then take the former key out. It can be stopped and run
again at any time.
"""

import asyncio
from typing import Final

import structlog

from chassis.logs import setup_logs
from chassis.postgres import Pool, database
from chassis.settings import from_env
from services.profile.config import RotationSettings
from services.profile.person.model import NOBODY
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys

_AT_ONCE: Final = 1_000
_TOLD_EVERY: Final = 100_000

_logger = structlog.get_logger()


async def main(stop: asyncio.Event) -> None:
    """Rotate until done, or told to stop."""
    settings = from_env(RotationSettings)
    setup_logs("profile", "INFO")
    vault = Vault(LocalMasterKeys(settings.master_keys.get_secret_value()))
    async with database(settings.database_url.get_secret_value(), "profile", 1) as pool:
        await rotate(pool, vault, stop)


async def rotate(pool: Pool, vault: Vault, stop: asyncio.Event, at_once: int = _AT_ONCE) -> int:
    """Wrap all keys by the present master key; returns how many were not.

    `at_once`: keys of one transaction; new contacts wait for a lock no longer than that takes.
    """
    after, total, told = NOBODY, 0, 0
    while after and not stop.is_set():
        async with pool.acquire(timeout=10) as connection, connection.transaction():
            after, count = await vault.rewrap(connection, after, at_once)
        total += count
        if total - told >= _TOLD_EVERY:
            told = total
            _logger.info("rotating", keys=total, after=after)
    _logger.info("stopped" if after else "rotated", keys=total)
    return total
