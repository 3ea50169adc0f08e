"""Where a service is that a command talks to, and the token that opens it."""

import json
import os

from chassis.failures import Misconfigured
from cli.place import place


def ingest_target(given: str = "") -> tuple[str, str]:
    """Target and token of ingest; see `target_of`."""
    return target_of("ingest", given)


def target_of(service: str, given: str = "") -> tuple[str, str]:
    """Target and token of a service: as `given`, as PROFILE_TARGET (of profile) and API_TOKEN say,
    or of the running stack of this folder, whose token goes nowhere else. Raises `Misconfigured`
    when nothing says.
    """
    setting = f"{service.upper()}_TARGET"
    target, token = given or os.environ.get(setting), os.environ.get("API_TOKEN", "")
    file = place().addresses
    if file.exists():
        stack = json.loads(file.read_text())
        own = stack["grpc"][service]
        target = target or own
        token = token or (stack["api_token"] if target == own else "")
    if target is None:
        raise Misconfigured(f"nothing runs here; start it, or set {setting} and API_TOKEN")
    return target, token
