"""Windows: pieces of logs that a simulation starts at the measured state and then runs on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.logs.log import Log
from robot_runtime.arrays import Flags, Floats

MARGIN = 0.08
"""s of commands kept before a window: the longest delay, and a bit."""
SLOPE_REACH = 0.020
"""s to either side over which a line is laid through the positions: the velocity, without lag."""
LONGEST_HOLE = 0.03
"""s without a usable sample that is still bridged."""
QUIET = 0.1
"""Duty below which a supply stands near its open voltage."""
BENT = 9
"""Samples in a row through which a cubic is laid: motion bends no more in 40 ms, what is left is the encoder's."""
SMOOTH = (0.1, 1.0)
"""rad/s between which a joint passes many steps of its encoder and yet is smooth."""


class NoWindowError(CalibrationError):
    """Logs of which no piece can be simulated.

    Example scenarios:
        - A log of a few samples is checked.
        - A log was sampled so slowly that all of it is holes.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """W windows of K + 1 samples. Commands and switches are on a finer grid that begins `margin` steps earlier."""

    step: float  # s, of the simulation
    every: int  # steps between two samples
    margin: int  # steps
    q: Floats  # W x (K + 1) x n, rad, measured; the first one is the start
    dq: Floats  # W x (K + 1) x n, rad/s, slope of q, no lag
    weight: Floats  # W x (K + 1) x n, 1 or 0: usable
    commanded: Floats  # W x M x n, running integral of the command up to each step of the grid
    on: Flags  # W x M x n, torque
    volts: Floats  # W x n, V of the supply without load
    gains: tuple[Floats, Floats]  # W x n each: position P and D registers
    cluster: npt.NDArray[np.intp]  # W: windows of one stretch of one log, for intervals
    log: npt.NDArray[np.intp]  # W: which log
    begin: Floats  # W, s on that log's clock
    load: Floats  # W, kg known to hang at the tip
    noise: Floats  # W x n, rad rms, of measured angles about smooth motion: the encoder's steps and their flicker

    def __len__(self) -> int:
        """Windows."""
        return len(self.q)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Windows:
        """Some of them."""
        return Windows(
            self.step,
            self.every,
            self.margin,
            self.q[rows],
            self.dq[rows],
            self.weight[rows],
            self.commanded[rows],
            self.on[rows],
            self.volts[rows],
            (self.gains[0][rows], self.gains[1][rows]),
            self.cluster[rows],
            self.log[rows],
            self.begin[rows],
            self.load[rows],
            self.noise[rows],
        )


def slopes(time: Floats, values: Floats, at: Floats, reach: float = SLOPE_REACH, degree: int = 1) -> Floats:
    """Local polynomials through `values` (samples x columns) around each time: value, slope, bend ... (first axis)."""
    count = len(time)
    low, high = np.searchsorted(time, at - reach - 1e-9), np.searchsorted(time, at + reach + 1e-9)
    out = np.empty((degree + 1, len(at), values.shape[1]))
    for row, t in enumerate(at):
        first, last = int(low[row]), int(high[row])
        while last - first <= degree and last - first < count:
            first, last = max(first - 1, 0), min(last + 1, count)
        powers = (time[first:last, None] - t) ** np.arange(degree + 1)
        out[:, row] = np.linalg.lstsq(powers, values[first:last], rcond=None)[0]
    factorial = np.cumprod(np.maximum(np.arange(degree + 1), 1))
    result: Floats = out * factorial[:, None, None]
    return result


def cut(
    logs: Sequence[Log],
    length: float = 0.5,
    stride: float | None = None,
    *,
    step: float = 0.002,
    every: int = 5,
    until: float = np.inf,
    stretch: float = 2.0,
    lead: float = 0.0,
) -> Windows:
    """Windows of `length` seconds from each log, `stride` apart (default: end to end), from `lead` to `until`.

    A log that begins in mid-motion needs a lead: the velocity at its first sample is not known.

    `length` inf: one window a log, as long as the shortest of them.

    Raises:
        NoWindowError: there is none, and why.
    """
    ends = [min(log.duration, until) - lead for log in logs]
    if not np.isfinite(length):
        length = min(ends)
    samples = int(length / step / every + 1e-6)
    margin = int(np.ceil(MARGIN / step))
    fine = (np.arange(-margin, samples * every + margin + 1)) * step
    coarse = np.arange(samples + 1) * every * step
    parts: dict[str, list[npt.NDArray[np.generic]]] = {k: [] for k in ("q", "dq", "w", "c", "on", "v", "p", "d", "n")}
    cluster, source, begin, load = [], [], [], []
    clusters = 0
    for number, (log, end) in enumerate(zip(logs, ends, strict=True)):
        count = 1 + int((end - samples * every * step) / (stride or length) + 1e-6) if end >= length - 1e-9 else 0
        if not count:
            continue
        starts = log.time[0] + lead + np.arange(count) * (stride or length)
        signals = _Signals(log)
        volts, gains, noise = open_volts(log), position_gains(log), encoder_noise(log)
        for start in starts:
            q, dq, weight = signals.measured(start + coarse)
            parts["q"].append(q)
            parts["dq"].append(dq)
            parts["w"].append(weight)
            parts["c"].append(signals.commanded(start + fine))
            parts["on"].append(signals.on(start + fine))
            parts["v"].append(volts)
            parts["p"].append(gains[0])
            parts["d"].append(gains[1])
            parts["n"].append(noise)
            cluster.append(clusters + int((start - log.time[0]) / stretch))
            source.append(number)
            begin.append(start)
            load.append(log.load)
        clusters = cluster[-1] + 1
    if not cluster:
        raise NoWindowError(f"no log is {length:.3g} s long: give a longer one")
    a = {key: np.array(value) for key, value in parts.items()}
    first: Flags = np.asarray(a["w"][:, 0], dtype=bool)
    usable: Flags = np.asarray(first.all(axis=1))  # a window needs its first sample
    if not usable.any():
        never = [name for i, name in enumerate(logs[0].joints) if not first[:, i].any()]
        raise NoWindowError(
            f"none of {len(usable)} windows of {length:.3g} s can be simulated: where they begin, "
            f"{', '.join(never) or 'one joint or another'} has no good sample within {LONGEST_HOLE * 1e3:g} ms; look "
            f"for lost replies (robot-scan), and log at {np.ceil(1 / LONGEST_HOLE):.0f} Hz or faster"
        )
    found = Windows(
        step, every, margin, a["q"], a["dq"], a["w"], a["c"], a["on"], a["v"], (a["p"], a["d"]),
        np.array(cluster), np.array(source), np.array(begin), np.array(load), a["n"],
    )  # fmt: skip
    return found.take(np.flatnonzero(usable))


class _Signals:
    """A log's signals at any time."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._columns = range(len(log.joints))
        held = _held(log.command)
        spans = np.diff(log.sent)[:, None]
        self._integral = np.concatenate([np.zeros((1, held.shape[1])), np.cumsum(held[:-1] * spans, axis=0)])
        self._held = held

    def measured(self, at: Floats) -> tuple[Floats, Floats, Floats]:
        log = self._log
        shape = (len(at), len(log.joints))
        q, dq, weight = np.empty(shape), np.empty(shape), np.zeros(shape)
        for i in self._columns:
            good = np.flatnonzero(log.valid[:, i])
            if len(good) < 4:
                q[:, i] = dq[:, i] = 0.0
                continue
            time, values = log.time[good], log.q[good, i]
            q[:, i] = np.interp(at, time, values)
            dq[:, i] = slopes(time, values[:, None], at)[1][:, 0]
            after = np.clip(np.searchsorted(time, at), 1, len(time) - 1)
            hole = time[after] - time[after - 1]
            inside = (at >= time[0] - LONGEST_HOLE) & (at <= time[-1] + LONGEST_HOLE)
            weight[:, i] = (hole <= LONGEST_HOLE) & inside
        return q, dq, weight

    def commanded(self, at: Floats) -> Floats:
        """Running integral of the command, which holds from one sample to the next."""
        sent = self._log.sent
        row = np.clip(np.searchsorted(sent, at, side="right") - 1, 0, len(sent) - 1)
        value: Floats = self._integral[row] + self._held[row] * (at - sent[row])[:, None]
        return value

    def on(self, at: Floats) -> Flags:
        row = np.clip(np.searchsorted(self._log.time, at, side="right") - 1, 0, len(self._log) - 1)
        return self._log.torque_on[row]


def _held(command: Floats) -> Floats:
    """Without holes: a servo keeps the last command that it got, and had the first one before the log begins."""
    known = np.isfinite(command)
    row = np.maximum.accumulate(np.where(known, np.arange(len(command))[:, None], -1), axis=0)
    row = np.where(row < 0, known.argmax(axis=0), row)
    value: Floats = np.nan_to_num(np.take_along_axis(command, row, axis=0), posinf=0.0, neginf=0.0)
    return value


def open_volts(log: Log) -> Floats:
    """V of each joint's supply without load: the register at small duty. Under load it shows the PWM's ripple too.

    Where nobody logged a duty, the mean, as in flight (`robot_runtime.calibrated.supply`): ripple goes both ways. On a
    real XL330 behind 7.4 V the means of sixteen logs lie between 7.2 and 7.3 V, 90th percentiles up to 8.2 V.
    """
    found = np.full(len(log.joints), np.nan)
    for i in range(len(log.joints)):
        good = log.valid[:, i] & np.isfinite(log.volts[:, i])
        quiet = good & ((np.abs(log.duty[:, i]) < QUIET) | ~log.torque_on[:, i])
        if quiet.sum() > 50:
            found[i] = np.median(log.volts[quiet, i])
        elif good.any():
            found[i] = np.mean(log.volts[good, i])
    return found


def encoder_noise(log: Log) -> Floats:
    """How far each joint's measured angles lie from smooth motion, rad rms; 0 where too little moved to tell."""
    found = np.zeros(len(log.joints))
    at = np.linspace(-1.0, 1.0, BENT)[:, None] ** np.arange(4)
    left_over = np.eye(BENT) - at @ np.linalg.pinv(at)
    period = float(np.median(np.diff(log.time)))
    for i in range(len(log.joints)):
        q = log.q[log.valid[:, i], i]
        if len(q) < BENT:
            continue
        near = np.lib.stride_tricks.sliding_window_view(q, BENT)
        speed = np.abs(near[:, -1] - near[:, 0]) / ((BENT - 1) * period)
        smooth = (speed > SMOOTH[0]) & (speed < SMOOTH[1])
        if smooth.sum() > 50:
            squares = ((near[smooth] @ left_over) ** 2).sum(axis=1) / (BENT - 4)
            found[i] = np.sqrt(np.median(squares))
    return found


def position_gains(log: Log) -> tuple[Floats, Floats]:
    """Position P and D registers; nan where the log does not say."""
    p = [float(g.get("position_p_gain", np.nan)) for g in log.gains]
    d = [float(g.get("position_d_gain", np.nan)) for g in log.gains]
    return np.array(p), np.array(d)
