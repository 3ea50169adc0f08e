"""The secrets of the webhooks' door."""

import hashlib
import hmac

from services.ingest.signature import app_secrets, signed_by


def test_every_secret_of_every_app_holds_and_no_other() -> None:
    secrets = app_secrets("shop:new, shop:old ,bare")
    for secret, app in ((b"new", "shop"), (b"old", "shop"), (b"bare", "3")):
        digest = hmac.new(secret, b"body", hashlib.sha256).hexdigest()
        assert signed_by(b"body", f"sha256={digest}", secrets) == app
        assert signed_by(b"other", f"sha256={digest}", secrets) is None
        assert signed_by(b"body", digest, secrets) is None
    for header in ("", "sha256=", "sha256=\udcff", "sha256=" + "0" * 64):
        assert signed_by(b"body", header, secrets) is None
