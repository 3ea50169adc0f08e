"""Where a service is that a command talks to, and the token that opens it."""

import json
import os

from chassis.failures import Misconfigured
from cli.place import place


def ingest_target(given: str = "") -> tuple[str, str]:
    """Target and token of ingest: as `given`, as INGEST_TARGET and API_TOKEN say, or of the running
    stack of this folder, whose token goes nowhere else. Raises `Misconfigured` when nothing says.
    """
    target, token = given or os.environ.get("INGEST_TARGET"), os.environ.get("API_TOKEN", "")
    file = place().addresses
    if file.exists():
        stack = json.loads(file.read_text())
        own = stack["grpc"]["ingest"]
        target = target or own
        token = token or (stack["api_token"] if target == own else "")
    if target is None:
        raise Misconfigured("nothing runs here; start it, or set INGEST_TARGET and API_TOKEN")
    return target, token
