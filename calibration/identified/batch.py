"""A map of arm.cal for many arms at once: the network of the file, and a history for each arm.

What `robot_runtime.calibrated.network` does for one arm; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from robot_runtime.arrays import Floats, Indices
from robot_runtime.calibrated.file import MapFile
from robot_runtime.policy.network import session_options

Singles = npt.NDArray[np.float32]


class BatchMap:
    """Push a row of every arm each bus cycle; get what is mapped."""

    def __init__(self, file: MapFile, period: float, count: int, *, ages: Sequence[str] = ()) -> None:
        """`ages`: quantities whose newest row is one cycle old, as for the runtime's."""
        first = [1 if quantity in ages else 0 for quantity in file.taps]
        self._lags = [
            [round(seconds / period) - age for seconds in taps]
            for age, taps in zip(first, file.taps.values(), strict=True)
        ]
        deepest = max(max(lags) for lags in self._lags) + 1
        self._past: Singles = np.zeros((deepest, len(file.taps), count, len(file.joints)), np.float32)
        self._at = 0
        self._fresh = np.ones(count, dtype=bool)
        self._session = ort.InferenceSession(many(file.onnx), session_options(), providers=["CPUExecutionProvider"])

    def reset(self, ids: Indices) -> None:
        """The next row of these arms is as it had always been."""
        self._fresh[ids] = True

    def __call__(self, rows: Sequence[Floats], now: Sequence[Floats] = (), *, again: bool = False) -> Singles:
        """`rows`: of each quantity, `now`: of what has no history; arms x joints of the map.

        `again`: in place of the newest rows, not after them.
        """
        depth = len(self._past)
        self._at = self._at if again else (self._at - 1) % depth
        for quantity, row in enumerate(rows):
            self._past[self._at, quantity] = row
        if self._fresh.any():
            self._past[:, :, self._fresh] = self._past[self._at, :, self._fresh].swapaxes(0, 1)
            self._fresh[:] = False
        taps = [
            self._past[(self._at + lag) % depth, quantity] for quantity, lags in enumerate(self._lags) for lag in lags
        ]
        given = np.concatenate([*taps, *now], axis=1, dtype=np.float32)
        mapped: Singles = self._session.run(["mapped"], {"history": given})[0]
        return mapped


def many(content: bytes) -> bytes:
    """The network of a map, for any number of rows: what was 1 in its shapes is as many as there are."""
    model = onnx.load_from_string(content)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "arms"
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in shapes:
            shape = numpy_helper.to_array(tensor).copy()
            shape[0] = 0  # ONNX: as it is
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    content = model.SerializeToString()
    return bytes(content)
