"""Which files a network consists of: an ONNX may keep its weights in files beside it, and names them inside.

A walk over the few fields of the ONNX format (onnx.proto) that lead to tensors, so that the digest of a policy covers
all its numbers without the `onnx` package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from robot_runtime.policy.errors import PolicyFileError

_CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Field numbers on the way from ModelProto to TensorProto.external_data. Source: onnx/onnx.proto."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def files_of(path: Path) -> list[Path]:
    """The ONNX file and the data files that it names, each once, in order of their names.

    Raises:
        PolicyFileError: it cannot be read, is no ONNX, or names a data file that is missing or elsewhere.
    """
    try:
        named = locations(path.read_bytes())
    except OSError as error:
        raise PolicyFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyFileError(f"{path}: not an ONNX network; export one (other formats are never opened)") from error
    data = [path.parent / location for location in named]
    for file, location in zip(data, named, strict=True):
        if Path(location).is_absolute() or ".." in Path(location).parts:
            raise PolicyFileError(f"{path}: its weights are said to be in '{location}', outside its own folder")
        if not file.is_file():
            raise PolicyFileError(f"{path}: its weights are in '{location}', which is not beside it; copy both files")
    return [path, *data]


def locations(onnx: bytes) -> list[str]:
    """Names of the files in which this network keeps weights; empty: all are in it.

    Raises:
        IndexError, UnicodeDecodeError, RecursionError: it is no ONNX network.
    """
    model = memoryview(onnx)
    if not any(_CHILDREN["model"].get(number) == "graph" for number, _ in _fields(model)):
        raise IndexError  # an empty file, for one
    return sorted(set(_locations(model, "model")))


def digest_of(files: list[Path]) -> str:
    """SHA-256 (hex) of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _locations(message: memoryview, kind: str) -> Iterator[str]:
    """Where the tensors under this message keep their data, if not inside."""
    if kind == "entry":
        texts = {number: bytes(value).decode() for number, value in _fields(message)}
        if texts.get(1) == "location":
            yield texts.get(2, "")
        return
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if number in children:
            yield from _locations(value, children[number])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the length-delimited fields of a protobuf message; IndexError where it is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise IndexError
            yield tag >> 3, message[at : at + size]
            at += size
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise IndexError


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
