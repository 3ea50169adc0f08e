"""Where webhooks go, and which of them. Pure."""

from simulator.webhooks.updates import Update

# What an override address gets; everything else goes to the app's.
_OVERRIDDEN = frozenset({"messages", "user_preferences", "user_id_update"})


class Subscriptions:
    """One app's: its address and fields, the accounts it follows, and the overrides."""

    def __init__(self, url: str) -> None:
        self.url = url
        """The app's address. Empty: nothing is posted."""
        self.fields: frozenset[str] | None = None
        """The fields asked for; None: all."""
        self._accounts: dict[str, bool] = {}
        self._of_account: dict[str, str] = {}
        self._of_number: dict[str, str] = {}

    def know(self, waba_id: str) -> None:
        """There is this account; it is followed until it is told otherwise."""
        self._accounts.setdefault(waba_id, True)

    def knows(self, waba_id: str) -> bool:
        return waba_id in self._accounts

    def follows(self, waba_id: str) -> bool:
        return self._accounts.get(waba_id, False)

    def follow(self, waba_id: str, override: str = "") -> None:
        """An earlier override ends unless there is a new one."""
        self._accounts[waba_id] = True
        _set(self._of_account, waba_id, override)

    def leave(self, waba_id: str) -> None:
        self._accounts[waba_id] = False
        _set(self._of_account, waba_id, "")

    def override_number(self, phone_number_id: str, override: str) -> None:
        """Empty ends it."""
        _set(self._of_number, phone_number_id, override)

    def override_of_account(self, waba_id: str) -> str:
        return self._of_account.get(waba_id, "")

    def override_of_number(self, phone_number_id: str) -> str:
        return self._of_number.get(phone_number_id, "")

    def address(self, update: Update) -> str | None:
        """Where it goes; None if nobody asked for it, empty if there is no address."""
        if not self._accounts.get(update.waba_id, False):
            return None
        if self.fields is not None and update.field not in self.fields:
            return None
        if update.field in _OVERRIDDEN and (self._of_account or self._of_number):
            own = update.metadata and self._of_number.get(update.metadata.phone_number_id)
            return own or self._of_account.get(update.waba_id) or self.url
        return self.url


def _set(overrides: dict[str, str], key: str, value: str) -> None:
    if value:
        overrides[key] = value
    else:
        overrides.pop(key, None)
