"""Our figures beside Meta's."""
