"""What goes wrong is told by kind and place; what an exception says can be somebody's data."""

import subprocess
import sys

import pytest

SECRET = "a name and a number"
_RAISES = f"""
import asyncio, logging
import structlog
from chassis.app import run
from chassis.logs import setup_logs

def deep():
    try:
        int("{SECRET}")
    except ValueError as error:
        raise KeyError("{SECRET}") from error

async def forgotten():
    deep()
"""
_WAYS = {
    "logged": """
    try:
        deep()
    except KeyError as error:
        structlog.get_logger().error("internal error", exc_info=error)
    """,
    "logged by a library": """
    try:
        deep()
    except KeyError:
        logging.getLogger("library").exception("it failed")
    """,
    "of a forgotten task": """
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0.01)
    del task
    """,
    "of a group": """
    async with asyncio.TaskGroup() as group:
        group.create_task(forgotten())
    """,
    "that ends the process": "    deep()",
}


@pytest.mark.parametrize("way", _WAYS)
def test_an_exception_is_told_by_kind_and_place_and_not_by_its_words(way: str) -> None:
    main = f"async def main(stop):\n    setup_logs('test', 'INFO')\n{_WAYS[way]}\nrun(main)\n"
    done = subprocess.run(
        [sys.executable, "-c", _RAISES + main], capture_output=True, text=True, check=False
    )
    assert "KeyError" in done.stderr
    assert "ValueError" in done.stderr
    assert "deep" in done.stderr
    assert SECRET not in done.stderr
    assert SECRET not in done.stdout
