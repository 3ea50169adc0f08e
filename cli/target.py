"""Where a service is that a command talks to, and what the command shows it."""

import json
import os
from pathlib import Path

from chassis.failures import Misconfigured
from chassis.rpc import Credentials
from chassis.tls import TlsFiles
from cli.place import place


def ingest_target(given: str = "") -> tuple[str, Credentials]:
    """Ingest; see `target_of`."""
    return target_of("ingest", given)


def target_of(service: str, given: str = "") -> tuple[str, Credentials]:
    """Target of a service, and what opens it: as `given`, as PROFILE_TARGET (of profile), API_TOKEN
    (an API key) and TLS_CA_FILE say, or of the running stack of this folder, whose key goes nowhere
    else. Without TLS only when PLAINTEXT says so. Raises `Misconfigured` when nothing says.
    """
    setting = f"{service.upper()}_TARGET"
    target, key = given or os.environ.get(setting), os.environ.get("API_TOKEN", "")
    ca = os.environ.get("TLS_CA_FILE", "")
    file = place().addresses
    if file.exists():
        stack = json.loads(file.read_text())
        own = stack["grpc"][service]
        target = target or own
        if target == own:
            return own, Credentials(key or stack["api_token"], _trusting(stack["ca_file"]), service)
    if target is None:
        raise Misconfigured(f"nothing runs here; start it, or set {setting} and API_TOKEN")
    if os.environ.get("PLAINTEXT") == "true":
        return target, Credentials(key)
    if not ca:
        raise Misconfigured(
            "TLS_CA_FILE: not set; name the file of the authority that the services' certificates"
            " come from"
        )
    return target, Credentials(key, _trusting(ca), service)


def _trusting(ca: str) -> TlsFiles:
    return TlsFiles(Path(ca))
