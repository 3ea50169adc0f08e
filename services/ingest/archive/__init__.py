"""The raw archive: what Meta posted, byte for byte, a thousand webhooks in a row of a table."""

from services.ingest.archive.admin import ArchiveAdmin
from services.ingest.archive.archivist import Archivist
from services.ingest.archive.segment import ArchivedWebhook, ArchiveQuery, Head
from services.ingest.archive.store import Archive

__all__ = ["Archive", "ArchiveAdmin", "ArchiveQuery", "ArchivedWebhook", "Archivist", "Head"]
