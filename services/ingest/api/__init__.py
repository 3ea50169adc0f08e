"""IngestService: what the business tells by gRPC, and the log as it is appended."""

from services.ingest.api.ingest_api import IngestApi

__all__ = ["IngestApi"]
