"""Reading pickles: numbers come through, and nothing is ever run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import CheckpointError
from models.importers.pickles import Inert, read_pickle


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.float64).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.array(2.5),
        np.array([True, False]),
        np.arange(3, dtype=">f8"),
    ],
    ids=["doubles", "fortran", "scalar", "bools", "big-endian"],
)
def test_arrays_come_through(protocol: int, value: Any) -> None:
    got = np.asarray(read_pickle(pickle.dumps(value, protocol), "a file"))
    np.testing.assert_array_equal(got, value)
    assert (got.dtype.kind, got.dtype.itemsize) == (value.dtype.kind, value.dtype.itemsize)


def test_plain_values_come_through() -> None:
    value = OrderedDict(a=[1, 2.5, None, True, "text"], b={"c": (1,)}, d=np.float64(0.1) + 0.2)
    assert read_pickle(pickle.dumps(value), "a file") == value


def test_reading_does_not_change_numpy() -> None:
    read_pickle(pickle.dumps(np.arange(3, dtype=">f4")), "a file")
    assert np.dtype("f4").byteorder == "="


class Bomb:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("name", ["os", "eval", "getattr", "codecs", "numpy"])
def test_nothing_is_run(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("here")
    calls: dict[str, tuple[Any, ...]] = {
        "os": (os.remove, str(victim)),
        "eval": (eval, f"__import__('os').remove({str(victim)!r})"),
        "getattr": (getattr, os, "name"),
        "codecs": (__import__("codecs").encode, "a", "rot13"),
        "numpy": (np.fromfile, str(victim)),
    }
    content = pickle.dumps({"a": [Bomb(*calls[name])]}) if name != "getattr" else b"cbuiltins\ngetattr\n(cos\nname\ntR."
    with pytest.raises(CheckpointError, match=r"a file: asks for .*nothing was run"):
        read_pickle(content, "a file")
    assert victim.read_text() == "here"


def test_known_classes_are_kept_without_being_run() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    box = gymnasium.spaces.Box(-1.0, 2.0, (3,))
    box.seed(1)  # its random generator is pickled along
    got = read_pickle(pickle.dumps({"space": box}), "a file")["space"]
    assert isinstance(got, Inert)
    assert got.name == "gymnasium.spaces.box.Box"
    np.testing.assert_array_equal(np.asarray(got.state["high"]), box.high)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", pickle.dumps([1, 2])[:-3], pickle.dumps(np.array([object()], object))],
    ids=["empty", "text", "cut", "objects"],
)
def test_damaged_or_strange(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="a file"):
        read_pickle(content, "a file")


@pytest.mark.parametrize(
    "content", [b"\x8e" + (1 << 40).to_bytes(8, "little") + b"x.", b"\x80\x02]r\xff\xff\xff\x7f."], ids=["text", "memo"]
)
def test_sizes_that_no_memory_has_are_damage(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="a file: not a pickle that can be read"):
        read_pickle(content, "a file")
