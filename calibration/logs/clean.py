"""Cleaning: samples that are not what the joint did are found, counted, marked and said. Never silently; and none but
those that are out of their clock's order, or whose clock stands still, is taken out.

A spike is one of the values that a bus or a firmware makes up (-pi rad, 0 V, 25 V, 150 °C), or a position that no servo
could have reached and left within two samples. A stale sample repeats the one before while the joint moves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.logs.log import Log
from robot_runtime.arrays import Flags, Floats
from robot_runtime.spec import JointSpec

FASTEST = 2.0
"""Times the no-load speed at nominal voltage: above it a position did not come about by turning."""
SETTLE = 2.0
"""ticks of the encoder that a position may flicker by."""
STALE_MOTION = 3.0
"""ticks that a joint should have turned between two samples: if both are equal then, they are one, read twice."""
GAP = 3.0
"""Times the usual period: a longer pause is a gap."""
PAUSE = 1.0
"""s that are left of a longer pause: nothing is known of it, and whoever samples a log would go through all of it."""
FEWEST = 20
"""Samples below which nothing can be said of a log."""
MOST_ASTRAY = 0.1
"""Share of samples out of their clock's order above which nobody knows what the order was."""
ON_TIME = 0.5
"""Of the usual time for so many samples: where less has passed over those that are left out, they were not astray, but
the clock was set back.
"""
LONGEST_STALE = 0.5
"""Share of stale samples above which a log is not worth fitting."""
PLAUSIBLE_VOLTS = (0.5, 2.0)
"""Times the nominal voltage: a reading outside is not of the supply (0 V and 25 V were seen on 5 V servos)."""
PLAUSIBLE_CELSIUS = (-20.0, 120.0)
"""°C: a reading outside is not of a working servo (150 °C was seen)."""


class ClockError(CalibrationError):
    """A log whose samples have no order in time.

    Example scenarios:
        - The mapping names another column as the time.
        - Two logs with clocks of their own were written into one file, row by row.
    """


def clean(log: Log, joints: Sequence[JointSpec]) -> Log:
    """Mark what must not be used; `log.findings` says what and how much.

    Raises:
        ClockError: the samples have no order in time.
    """
    if (np.diff(log.time) <= 0).any():
        log = _ascending(log)
    log = _missing(log)
    log = _spikes(log, joints)
    log = _readings(log, joints)
    log = _stale(log, joints)
    log = _off(log)
    return _gaps(log)


def _say(log: Log, bad: Flags, what: str) -> Log:
    """Mark, and say how many of which joint; nothing to say if there are none."""
    fresh = bad & log.valid
    if not fresh.any():
        return log
    counts = ", ".join(f"{name} {n}" for name, n in zip(log.joints, fresh.sum(axis=0), strict=True) if n)
    return log.without(bad, f"{what}: {counts} of {len(log)} samples")


def _ascending(log: Log) -> Log:
    """Time that stands still or goes back: a stamp is wrong, a clock was set back, or two logs were pasted together."""
    fresh = np.flatnonzero(np.diff(log.time, prepend=-np.inf) != 0)
    pieces = _pieces(log.time[fresh])
    whole = [piece for piece in pieces if len(piece) >= min(FEWEST, len(fresh))]
    kept = sum(map(len, whole))
    if (astray := len(fresh) - kept) > MOST_ASTRAY * len(fresh):
        raise ClockError(
            f"{log.name}: {astray} of {len(fresh)} samples are out of order in time: is it the right column of one log?"
        )
    ordered = log.cut(fresh[np.concatenate(whole)])
    later = np.zeros(kept)
    for begin in np.cumsum([len(piece) for piece in whole])[:-1]:
        later[begin:] = ordered.time[begin - 1] + later[begin - 1] + PAUSE - ordered.time[begin]
    ordered = replace(ordered, time=ordered.time + later, sent=ordered.sent + later)
    told = f"time does not ascend: {len(log) - kept} samples left out"
    if len(whole) > 1:
        told += f", and the clock goes back {len(whole) - 1} times: what follows is taken as behind a pause"
    return ordered.without(np.zeros_like(ordered.valid), told)


def _pieces(time: Floats) -> list[list[int]]:
    """Samples whose time ascends, in as many pieces as the clock was set. Of samples that disagree about the order the
    fewer ones are astray: those that lie ahead of what follows, or those that lie behind.
    """
    steps = np.diff(time)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    pieces: list[list[int]] = [[]]
    stamps: list[float] = []  # of the last piece
    row = 0
    while row < len(time):
        piece, now = pieces[-1], float(time[row])
        if not piece or now > stamps[-1]:
            piece.append(row)
            stamps.append(now)
            row += 1
            continue
        before = bisect_left(stamps, now)
        ahead = len(piece) - before
        after = time[row:] > stamps[-1]
        behind = int(after.argmax()) if after.any() else len(after)
        if behind <= ahead and after.any() and time[row + behind] - stamps[-1] >= ON_TIME * behind * usual:
            row += behind
        elif ahead < behind and (now - stamps[before - 1] >= ON_TIME * ahead * usual if before else ahead < FEWEST):
            del piece[before:], stamps[before:]
        else:
            pieces.append([])
            stamps = []
    return pieces


def _missing(log: Log) -> Log:
    return _say(log, ~np.isfinite(log.q) | ~np.isfinite(log.command), "no position or no command")


def _spikes(log: Log, joints: Sequence[JointSpec]) -> Log:
    """Positions that leave and come back faster than the servo turns."""
    bad = np.zeros_like(log.valid)
    for i, joint in enumerate(joints):
        good = np.flatnonzero(log.valid[:, i])
        if len(good) < 3:
            continue
        reach = FASTEST * joint.servo.motor.no_load_speed / joint.gear
        slack = SETTLE * abs(joint.rad_per_tick)
        bad[good, i] = _outliers(log.time[good], log.q[good, i], reach, slack)
    return _say(log, bad, "position jumped and came back (spike)")


def _outliers(time: Floats, q: Floats, speed: float, slack: float) -> Flags:
    """Samples that lie out of reach of the running median of five around them."""
    padded = np.concatenate([q[:2][::-1], q, q[-2:][::-1]])
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    spans = np.gradient(time) * 2
    return np.asarray(np.abs(q - median) > speed * spans + slack)


def _readings(log: Log, joints: Sequence[JointSpec]) -> Log:
    """Volts and temperatures that cannot be: the reading goes, the sample stays."""
    nominal = np.array([j.servo.motor.nominal_voltage for j in joints])
    low, high = PLAUSIBLE_VOLTS[0] * nominal, PLAUSIBLE_VOLTS[1] * nominal
    for name, below, above in (("volts", low, high), ("temperature", *PLAUSIBLE_CELSIUS)):
        values: Floats = getattr(log, name)
        bad = (values < below) | (values > above)  # false for nan
        if bad.any():
            values[bad] = np.nan
            log = log.without(np.zeros_like(log.valid), f"impossible {name} ignored: {int(bad.sum())} readings")
    return log


def _stale(log: Log, joints: Sequence[JointSpec]) -> Log:
    same = (np.diff(log.q, axis=0) == 0) & (np.diff(log.dq, axis=0) == 0)
    turned = np.abs(np.nan_to_num(log.dq[1:])) * np.diff(log.time)[:, None]
    moving = turned > STALE_MOTION * np.abs([joint.rad_per_tick for joint in joints])
    bad = np.concatenate([np.zeros((1, len(log.joints)), dtype=bool), same & moving])
    return _say(log, bad, "stale sample, the one before again")


def _off(log: Log) -> Log:
    """Torque off is no fault: such a window swings freely and is worth having. It is said all the same."""
    off = ~log.torque_on
    if not off.any():
        return log
    counts = ", ".join(f"{n} {s:.0%}" for n, s in zip(log.joints, off.mean(axis=0), strict=True) if s)
    return log.without(np.zeros_like(log.valid), f"torque is off for part: {counts}")


def _gaps(log: Log) -> Log:
    spans = np.diff(log.time)
    if len(spans) == 0:
        return log
    usual = float(np.median(spans))
    gaps = spans > GAP * usual
    if not gaps.any():
        return log
    nothing = np.zeros_like(log.valid)
    return log.without(nothing, f"gaps: {int(gaps.sum())}, the longest {spans.max():.3f} s (period {usual:.4f} s)")


def without_pauses(log: Log) -> Log:
    """The same log with long pauses cut short on its clock; `clean` has said that they are there."""
    spans = np.diff(log.time, prepend=log.time[:1])
    before = np.cumsum(np.maximum(spans - PAUSE, 0.0))
    return replace(log, time=log.time - before, sent=log.sent - before) if before.any() else log


def unusable(log: Log) -> str:
    """Why a cleaned log is not worth fitting; empty: it is."""
    if len(log) < FEWEST:
        return f"{len(log)} samples are no log"
    share = 1.0 - log.valid.mean(axis=0)
    worst = int(np.argmax(share))
    if share[worst] > LONGEST_STALE:
        return f"{log.joints[worst]}: {share[worst]:.0%} of the samples are unusable"
    still = [n for n, q in zip(log.joints, log.q.T, strict=True) if np.ptp(q[np.isfinite(q)]) == 0.0]
    return f"{', '.join(still)} never moved" if still else ""
