from __future__ import annotations

import struct
import zlib

import numpy as np

from robot_runtime.flight.clip import animated_png


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    return found


def unfilter(data: bytes, width: int, height: int) -> np.ndarray:
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + 3 * width)
    assert (lines[:, 0] == 2).all()
    return np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def test_pictures_come_back_and_only_what_moved_is_kept() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    second = first.copy()
    second[5:9, 10:12] = 255 - second[5:9, 10:12]
    found = chunks(animated_png([first, second, second], 0.1))
    assert [kind for kind, _ in found] == [
        b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"fcTL", b"fdAT", b"IEND",
    ]  # fmt: skip
    shown = np.zeros_like(first)
    numbers = []
    for (kind, control), (_, data) in zip(found[2:-1:2], found[3:-1:2], strict=True):
        assert kind == b"fcTL"
        number, width, height, x, y = struct.unpack_from(">IIIII", control)
        numbers.append(number)
        body = data if len(numbers) == 1 else data[4:]
        shown[y : y + height, x : x + width] = unfilter(body, width, height)
        if len(numbers) == 2:
            assert (width, height, x, y) == (2, 4, 10, 5)
    assert np.array_equal(shown, second)
    assert numbers == [0, 1, 3]
    assert struct.unpack_from(">HH", found[2][1], 20) == (100, 1000)
