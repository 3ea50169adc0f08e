"""The way of a message to Meta: its files are put there, and its number says by which door and
with whose token."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.sender.body import files_of, places
from services.sender.body.media import FILE
from services.sender.delivery.outcome import Answer
from services.sender.failures import FileNotFound, NumberUnusable, PlatformRefused
from services.sender.files.uploads import Placed
from services.sender.model import Address, Message, Number
from services.sender.posting import MARKETING, Posted, posted

_FRESH_MS: Final = 1_000
_NOT_KNOWN: Final = frozenset({100, 131009, 131053})
"""What Meta says of an id that it forgot, and of other things besides: worth one more upload."""
_UNUSABLE: Final = 131053
_UNSYNCED: Final = 131009
_SYNCING: Final = 134101
"""The endpoint for marketing messages says either of a template that has not come there yet."""
_NO_TOKEN: Final = 190


class Platform(Protocol):
    """Meta's Cloud API."""

    async def send(self, message: Message, posted: Posted, credential: str) -> Answer: ...


class Numbers(Protocol):
    """The registry."""

    async def number(self, phone_number_id: str) -> Number: ...


class Placing(Protocol):
    """Files on Meta."""

    async def place(self, phone_number_id: str, credential: str, file_id: str) -> Placed: ...
    async def forget(self, phone_number_id: str, file_id: str, media_id: str) -> None: ...


class _Filled(NamedTuple):
    """Files that were given their ids at Meta."""

    ids: Mapping[str, str]
    fresh: bool


class Post:
    """Implements `dispatch.Platform`."""

    def __init__(
        self,
        platform: Platform,
        numbers: Numbers,
        uploads: Placing,
        clock: Clock,
        passing: Callable[[BaseException], bool],
    ) -> None:
        """`passing` tells errors that pass by themselves from those that must end the process."""
        self._passing = passing
        self._platform = platform
        self._numbers = numbers
        self._uploads = uploads
        self._clock = clock
        self._known: dict[str, tuple[int, Number]] = {}

    async def send(self, message: Message, address: Address) -> Answer:
        """One call; never raises for what the network or Meta does."""
        try:
            return await self._send(message, address)
        except NumberUnusable:
            return Answer(code=_NO_TOKEN)
        except FileNotFound:
            return Answer(code=_UNUSABLE)
        except PlatformRefused as refused:
            return Answer(code=int(refused.facts["code"]))
        except Exception as error:
            if not self._passing(error):
                raise
            # The message itself did not leave: Meta's answer to it is told, not raised
            return Answer(left=False, why="upload")

    async def _send(self, message: Message, address: Address) -> Answer:
        number = await self._number(message.phone_number_id)
        to = posted(message, address, marketing_endpoint=number.marketing_endpoint)
        if files_of(message.body):
            answer = await self._with_files(message, to, number.credential_name)
        else:
            answer = await self._platform.send(message, to, number.credential_name)
        if to.endpoint == MARKETING and answer.code == _UNSYNCED:
            return answer._replace(code=_SYNCING)
        return answer

    async def _with_files(self, message: Message, to: Posted, credential: str) -> Answer:
        filled = await self._fill(message.phone_number_id, credential, to.body)
        answer = await self._platform.send(message, to, credential)
        if answer.code not in _NOT_KNOWN or filled.fresh or not filled.ids:
            return answer
        # Certainly not accepted: once more, with the files put there anew
        for file_id, media_id in filled.ids.items():
            await self._uploads.forget(message.phone_number_id, file_id, media_id)
        back = {media_id: file_id for file_id, media_id in filled.ids.items()}
        for _, media in places(to.body):
            media_id = media.get("id", "")
            if media_id in back:
                media["id"] = back[media_id]
        await self._fill(message.phone_number_id, credential, to.body)
        return await self._platform.send(message, to, credential)

    async def _fill(self, phone_number_id: str, credential: str, body: dict[str, Any]) -> _Filled:
        ids: dict[str, str] = {}
        fresh = False
        for _, media in places(body):
            file_id = media.get("id", "")
            if file_id.startswith(FILE):
                placed = await self._uploads.place(phone_number_id, credential, file_id)
                ids[file_id] = media["id"] = placed.upload.media_id
                fresh = fresh or placed.fresh
        return _Filled(ids, fresh)

    async def _number(self, phone_number_id: str) -> Number:
        """As it was a second ago at most."""
        now = milliseconds_of(self._clock.now())
        until, known = self._known.get(phone_number_id, (0, None))
        if known is None or until <= now:
            if known is not None:  # one asks; the others go on with what is known
                self._known[phone_number_id] = (now + _FRESH_MS, known)
            try:
                known = await self._numbers.number(phone_number_id)
            except Exception as error:
                # What is known will do until the database answers again
                if known is None or not self._passing(error):
                    raise
            self._known[phone_number_id] = (now + _FRESH_MS, known)
        return known
