"""Who looks at the dashboard. Pure."""

from typing import Literal

Role = Literal["viewer", "manager"]
"""`viewer`: sees figures, and nobody's name or number. `manager`: sees people as well, acknowledges
alerts and has files made."""
