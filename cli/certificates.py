"""`merhaba certificates`: what services know each other by, where no cert-manager makes it."""

from datetime import UTC, datetime
from pathlib import Path

from chassis.certificates import issue
from chassis.policy import read_policy
from cli.terminal import echo
from services import POLICY


def certificates(folder: Path) -> None:
    """Make an authority in FOLDER, and a certificate of each service; again before they end."""
    services = list(read_policy(POLICY).services)
    issue(folder, services, datetime.now(UTC))
    echo(f"{folder}: ca.pem, and <service>.pem with <service>-key.pem of {', '.join(services)}")
