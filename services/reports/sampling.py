"""People are counted from a part of them where there are too many to find each. Pure."""

from typing import Final

EACH_UP_TO: Final = 50_000
"""So many messages are gone through one by one."""
ONE_IN: Final = 64
"""Of more, those of one contact in so many."""
SAMPLE: Final = f"hashtext(f.contact_id) & {ONE_IN - 1} = 0"
"""Which they are, of facts `f`: always the same ones. There are indexes of them."""
