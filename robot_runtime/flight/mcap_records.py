"""The records of an MCAP file, also of one that is torn or damaged: the usual readers give up on those."""

from __future__ import annotations

import mmap
import struct
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, Metadata
from mcap.stream_reader import CRCValidationError, get_chunk_data_stream

_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")  # opcode, length
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


class NotMcapError(ValueError):
    """It does not begin as MCAP files do."""


_BROKEN = (McapError, CRCValidationError, zstandard.ZstdError, struct.error, UnicodeDecodeError)
"""What a record raises whose bytes are not as they were written."""


@dataclass(slots=True)
class Messages:
    """All messages of a topic, in the order in which they were written; kept closely, there are millions."""

    sequences: array[int] = field(default_factory=lambda: array("q"))
    log_times: array[int] = field(default_factory=lambda: array("q"))  # ns since 1970
    ends: array[int] = field(default_factory=lambda: array("q"))  # where in `data` each ends
    data: bytearray = field(default_factory=bytearray)

    def __iter__(self) -> Iterator[bytes]:
        """One after the other."""
        start = 0
        for end in self.ends:
            yield bytes(self.data[start:end])
            start = end

    def add(self, sequence: int, log_time: int, data: bytes) -> None:
        """One more."""
        self.data += data
        self.sequences.append(sequence)
        self.log_times.append(log_time)
        self.ends.append(len(self.data))


class Records:
    """Everything in a file that is whole."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        """Look at a file's bytes. Raises NotMcapError."""
        if data[: len(_MAGIC)] != _MAGIC:
            raise NotMcapError("no MCAP file")
        self.metadata: dict[str, Mapping[str, str]] = {}
        self.attachments: dict[str, bytes] = {}
        self.damage: list[str] = []
        self._data = data
        self._topics: dict[int, str] = {}

    def messages(self) -> dict[str, Messages]:
        """Read everything; messages by topic."""
        found: dict[str, Messages] = defaultdict(Messages)
        for at, code, body in self._records():
            try:
                self._one(code, body, found)
            except _BROKEN as error:
                self.damage.append(f"damaged at byte {at}: {str(error) or type(error).__name__}")
        return dict(found)

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        at, end = len(_MAGIC), len(self._data)
        while at + _RECORD.size <= end:
            code, length = _RECORD.unpack_from(self._data, at)
            body = at + _RECORD.size
            if body + length > end:
                break
            if code == Opcode.FOOTER:
                return
            yield at, code, self._data[body : body + length]
            at = body + length
        self.damage.append(f"the file breaks off: {end - at} bytes behind the last whole piece, and no end")

    def _one(self, code: int, body: bytes, found: dict[str, Messages]) -> None:
        stream = ReadDataStream(BytesIO(body))
        match code:
            case Opcode.METADATA:
                metadata = Metadata.read(stream)
                self.metadata[metadata.name] = metadata.metadata
            case Opcode.ATTACHMENT:
                attachment = Attachment.read(stream)
                if zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
                    raise McapError(f"the attachment '{attachment.name}' is not as it was written")
                self.attachments[attachment.name] = attachment.data
            case Opcode.CHUNK:
                content, length = get_chunk_data_stream(Chunk.read(stream), validate_crc=True)
                self._chunk(content.read(length), found)

    def _chunk(self, data: bytes, found: dict[str, Messages]) -> None:
        at = 0
        while at < len(data):
            code, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if code == Opcode.MESSAGE:
                channel, sequence, log_time, _ = _MESSAGE.unpack_from(data, at)
                if channel not in self._topics:
                    raise McapError(f"messages of a channel ({channel}) whose description is lost")
                found[self._topics[channel]].add(sequence, log_time, data[at + _MESSAGE.size : at + length])
            elif code == Opcode.CHANNEL:
                entry = Channel.read(ReadDataStream(BytesIO(data[at : at + length])))
                self._topics[entry.id] = entry.topic
            at += length
