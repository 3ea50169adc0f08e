"""Short tracked links: made for a message, opened by a person, told of as a click.

A link's token holds all that is special about the link, signed; only its target stands in a table,
once for all recipients of a campaign. So a million recipients cost no row each, and a forged or
damaged token costs no look-up.
"""

from services.ingest.links.clicks import Clicks
from services.ingest.links.door import LinkDoor
from services.ingest.links.maker import Link, Links, Wish
from services.ingest.links.store import TargetStore
from services.ingest.links.target import Target
from services.ingest.links.targets import Targets
from services.ingest.links.token import Signer, Token, link_keys

__all__ = [
    "Clicks",
    "Link",
    "LinkDoor",
    "Links",
    "Signer",
    "Target",
    "TargetStore",
    "Targets",
    "Token",
    "Wish",
    "link_keys",
]
