"""Where libraries write a file to that is fetched while they write."""

import threading


class Sink:
    """Takes what is written, until it is fetched."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._lock = threading.Lock()

    def write(self, piece: bytes) -> int:
        """Take a piece."""
        with self._lock:
            self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        """What was written since."""
        with self._lock:
            pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def flush(self) -> None:
        """Nothing waits."""

    def seek(self, _offset: int, _whence: int = 0) -> int:
        """Files are written from beginning to end."""
        raise OSError("written from beginning to end")
