"""Settings of profile."""

from chassis.settings import ServiceSettings


class ProfileSettings(ServiceSettings):
    """What profile needs besides the platform's own settings."""

    default_region: str = "TR"
    """ISO 3166 alpha-2 of phone numbers that API callers write without a country code."""
