"""Lines of the standard input, as they come, on the event loop and without a thread.

A thread that waits for a terminal cannot be told to stop; a terminal made non-blocking stays so for the shell
that comes after us. So the loop says when there is something to read, and the read does not wait.
"""

import asyncio
import codecs
import os

READ_BYTES = 65_536


class InputLines:
    """What can be read from `descriptor`: a terminal, a pipe, a file, in UTF-8."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""  # of a line that has not ended
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()

    def start(self) -> None:
        """From now on."""
        try:
            asyncio.get_running_loop().add_reader(self._descriptor, self._take)
        except PermissionError:  # as epoll says of a file, where nobody ever waits
            while self._take():
                pass

    def stop(self) -> None:
        """No more."""
        asyncio.get_running_loop().remove_reader(self._descriptor)

    async def next(self) -> str | None:
        """The next line; None after the last one, however often it is asked."""
        if (line := await self._lines.get()) is None:
            self._lines.put_nowait(None)
        return line

    def _take(self) -> bool:
        """Read once. Whether there may be more."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except OSError:  # a terminal that was closed
            data = b""
        *lines, self._rest = (self._rest + self._decode(data, final=not data)).split("\n")
        for line in lines:
            self._lines.put_nowait(line)
        if not data:
            self._end()
        return bool(data)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._rest:
            self._lines.put_nowait(self._rest)
        self._lines.put_nowait(None)
