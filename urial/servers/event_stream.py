"""Server-sent events, as the HTML standard has them: from the bytes of a stream to the data of each event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from urial.errors import EngineError
from urial.servers.lenient_json import MARK

LONGEST_LINE = 8 * 2**20  # bytes; a stream without line ends must not fill the memory


async def data_fields(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each event; an event that the end of the stream cuts off is dropped, as the standard says.

    Raises EngineError for a line without end and for bytes that are not UTF-8.
    """
    data: list[bytes] = []
    before = MARK  # the standard: one leading byte order mark is ignored
    async for line in lines(chunks):
        line, before = line.removeprefix(before), b""
        if not line and data:
            yield decode(b"\n".join(data))
            data = []
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines without their ends; what follows the last line end is dropped.

    They end at a line feed only: a splitter for text would also cut at U+0085 or U+2028, which JSON may hold unescaped.
    """
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(rest) > LONGEST_LINE:
            raise EngineError("The server sent a line without an end; check that base_url leads to a model server.")


def decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EngineError("The server sent text that is not UTF-8; look into its log, then try again.") from error
