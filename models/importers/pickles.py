"""Reading what a pickle holds without running what it asks for.

A pickle is a program: whoever wrote it decides which functions are called by whoever loads it. Here it may build numpy
arrays of numbers and nothing else; classes of known names become `Inert` objects that only keep what was put into
them, and any other name is refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import DAMAGED, CheckpointError

_KEPT = ("gymnasium.spaces.", "numpy.random.", "stable_baselines3.", "torch.nn.modules.", "torch.optim.")
"""Modules whose classes become inert."""


class Inert:
    """An object of a known class, of which only the name and the contents are kept."""

    name = ""  # module and class in the pickle
    state: dict[str, Any]

    def __new__(cls, *_: Any) -> Inert:
        """Takes whatever the real class would have been called with."""
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep what the real object would have held."""
        if isinstance(state, dict):
            self.state = state


def read_pickle(content: bytes, what: str) -> Any:
    """What the pickle holds: plain Python, arrays of numbers, inert objects, and inert classes.

    Raises:
        CheckpointError: it is damaged, or names anything else.
    """
    try:
        return _Reader(io.BytesIO(content), what).load()
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, MemoryError, OverflowError, *DAMAGED) as error:  # sizes are as the file says
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{what}: not a pickle that can be read: {reason}") from error


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, what: str) -> None:
        super().__init__(file)
        self._what = what

    def find_class(self, module: str, name: str) -> Any:
        if made := _BUILT.get((module.replace("numpy._core.", "numpy.core."), name)):
            return made
        if module.startswith(_KEPT) and "." not in name:
            return type(name, (Inert,), {"name": f"{module}.{name}"})
        raise CheckpointError(
            f"{self._what}: asks for {module}.{name}, which numbers and spaces have no need of; nothing was run"
        )


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array under construction that takes numbers only."""

    def __setstate__(self, state: Any) -> None:
        if state[2].hasobject:
            raise CheckpointError(f"an array of {state[2]} where numbers are expected")
        super().__setstate__(state)


def _array(*_: Any) -> NDArray[Any]:
    return _Array((0,), np.uint8)


def _dtype(name: str, *_: Any) -> np.dtype[Any]:
    """A type of numbers, as a copy: what the pickle says of it next must not change numpy's own."""
    return np.dtype(name, copy=True)


def _buffer(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]) -> NDArray[Any]:
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    return np.frombuffer(content, dtype)[0]


_BUILT: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _buffer,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): Inert,  # only handed to _reconstruct
    ("collections", "OrderedDict"): OrderedDict,
}
"""What a pickle may have built, and by what instead of numpy's own functions: these take numbers only."""
