"""Moving pictures in one file: an animated PNG, which every browser shows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Height x width x 3."""


_CLEAR = np.array([255, 0, 255], np.uint8)
"""The colour that stands for `as it was`: unchanged pixels all look alike and take up nothing."""
_NEARLY = np.array([255, 0, 254], np.uint8)
_OVER = 1  # blend: what is clear lets through what was there


def animated_png(pictures: Sequence[Picture], seconds: float) -> bytes:
    """Pictures, all alike in size, each shown for so long.

    The file is a PNG (ISO/IEC 15948) whose chunks acTL and fcTL make it move.
    """
    height, width, _ = pictures[0].shape
    delay = struct.pack(">HH", min(round(seconds * 1000), 65535), 1000)
    out = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    out.append(_chunk(b"acTL", struct.pack(">II", len(pictures), 0)))  # for ever
    out.append(_chunk(b"tRNS", struct.pack(">HHH", *_CLEAR)))
    number = 0
    shown = None
    for picture in pictures:
        now = np.where((picture == _CLEAR).all(axis=2, keepdims=True), _NEARLY, picture)
        x, y, part = _changed(shown, now)
        place = struct.pack(">IIIII", number, part.shape[1], part.shape[0], x, y)
        out.append(_chunk(b"fcTL", place + delay + struct.pack(">BB", 0, _OVER)))
        number += 1
        data = zlib.compress(_filtered(part) if shown is None else _plain(part))
        if shown is None:
            out.append(_chunk(b"IDAT", data))
        else:
            out.append(_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
        shown = now
    return b"".join((*out, _chunk(b"IEND", b"")))


def _changed(before: Picture | None, now: Picture) -> tuple[int, int, Picture]:
    """What is different from the picture before, clear where it is not; and where that part begins."""
    if before is None:
        return 0, 0, now
    differs = (before != now).any(axis=2)
    rows, columns = np.nonzero(differs)
    if not len(rows):
        return 0, 0, _CLEAR.reshape(1, 1, 3)
    x, y = int(columns.min()), int(rows.min())
    part = np.where(differs[:, :, np.newaxis], now, _CLEAR)
    return x, y, part[y : rows.max() + 1, x : columns.max() + 1]


def _filtered(picture: Picture) -> bytes:
    """Every line as the difference from the one above (filter 2): flat surfaces become zeros."""
    above = np.vstack([np.zeros_like(picture[:1]), picture[:-1]])
    lines = (picture - above).reshape(len(picture), -1)
    return np.hstack([np.full((len(lines), 1), 2, np.uint8), lines]).tobytes()


def _plain(picture: Picture) -> bytes:
    """Every line as it is (filter 0), for parts that are mostly clear."""
    lines = picture.reshape(len(picture), -1)
    return np.hstack([np.zeros((len(lines), 1), np.uint8), lines]).tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
