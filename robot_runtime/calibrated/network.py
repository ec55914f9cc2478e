"""One map at work: its network on preallocated arrays, and the history that it looks at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import MapFile
from robot_runtime.policy.network import ORT_ERRORS, runner, session_options

Singles = NDArray[np.float32]

_WARM_UP = 20
"""Runs before the first real one: memory is planned, caches are filled."""

_WHOLE = 2e-3
"""Share by which a tap may miss a whole number of cycles: rates that were told from clocks are off by less, and rates
that somebody meant to be others by more."""


class MapNetwork:
    """Push a row each cycle, run, read `mapped` and `novelty`. Nothing is allocated after the first."""

    def __init__(
        self, kind: str, file: MapFile, period: float, *, now: Sequence[str] = (), ages: Sequence[str] = ()
    ) -> None:
        """`period`: of the bus (s). `now`: quantities without a history, behind the taps in the network's input.

        `ages`: quantities whose newest row is one cycle old: what was sent before this cycle's reading.

        Raises:
            UnfitMapError: the taps are no whole number of these cycles, or the network is not as its file says.
        """
        self.file, self._kind = file, kind
        count, width = len(file.joints), len(file.taps)
        first = [1 if quantity in ages else 0 for quantity in file.taps]
        lags = [
            [self._cycles(quantity, seconds, period) - age for seconds in taps]
            for age, (quantity, taps) in zip(first, file.taps.items(), strict=True)
        ]
        if early := [q for q, cycles in zip(file.taps, lags, strict=True) if min(cycles) < 0]:
            raise UnfitMapError(
                f"the {kind} map wants the {', '.join(early)} of the very cycle that it is asked in, which does not "
                "exist yet; calibrate again"
            )
        deepest = max(max(cycles) for cycles in lags) + 1
        self.row: Singles = np.zeros(width * count, np.float32)
        """This cycle's quantities, one after the other, each of all joints of the map: fill it before `push`."""
        self._past: Singles = np.zeros(deepest * width * count, np.float32)
        past, row = self._past.data.cast("B"), self.row.nbytes
        self._older, self._newer = past[row:], past[: len(past) - row]
        self._newest = self._past[: len(self.row)]
        self._rows = self._past.reshape(deepest, -1)
        self._taps = np.array(
            [
                (lag * width + quantity) * count + joint
                for quantity, cycles in enumerate(lags)
                for lag in cycles
                for joint in range(count)
            ],
            dtype=np.intp,
        )
        taps, more = len(self._taps), len(now) * count
        given: Singles = np.zeros((1, taps + more), np.float32)
        self._history = given[0, :taps]
        self.now: Singles = given[0, taps:]
        """This cycle's other quantities."""
        outputs = 2 * count if kind == "observation" else count
        self._bind(given, outputs, count)

    def push(self) -> None:
        """A cycle has passed: `row` is its newest."""
        self._older[:] = self._newer  # memory views move within one another in place
        self._newest[:] = self.row

    def fill(self) -> None:
        """As if it had always been as `row` says."""
        self._rows[:] = self.row

    def run(self) -> None:
        """From the history to `mapped` and `novelty`."""
        self._past.take(self._taps, out=self._history, mode="clip")
        self._run()

    def sound(self) -> bool:
        """Whether `mapped` is all numbers, or what went in was not: then it is not this map's doing."""
        return math.isfinite(sum(self.mapped.tolist())) or not np.isfinite(self._given).all()

    def _cycles(self, quantity: str, seconds: float, period: float) -> int:
        cycles = seconds / period
        if abs(cycles - round(cycles)) > _WHOLE * max(cycles, 1.0):
            rate = f"{1 / self.file.period:.6g}"
            raise UnfitMapError(
                f"the {self._kind} map looks {seconds * 1e3:g} ms back at the {quantity}, which is no whole number of "
                f"bus cycles of {period * 1e3:g} ms; it was fitted at {rate} Hz: use --rate {rate} "
                "or a multiple"
            )
        return round(cycles)

    def _bind(self, given: Singles, outputs: int, count: int) -> None:
        self.mapped: Singles = np.zeros(outputs, np.float32)
        self.novelty: Singles = np.zeros(count, np.float32)
        try:
            options = session_options()
            options.enable_mem_reuse = False  # a few kB that cost less than sharing them
            session = ort.InferenceSession(self.file.onnx, options, providers=["CPUExecutionProvider"])
            self._binding = session.io_binding()
            self._given = given
            self._binding.bind_input("history", "cpu", 0, np.float32, given.shape, given.ctypes.data)
            for name, array in (("mapped", self.mapped), ("novelty", self.novelty)):
                self._binding.bind_output(name, "cpu", 0, np.float32, (1, array.size), array.ctypes.data)
            self._run = runner(session, self._binding)
            for _ in range(_WARM_UP):
                self._run()
        except (*ORT_ERRORS, ValueError) as error:
            raise UnfitMapError(f"the {self._kind} map is not a network that can be run: {error}") from error
