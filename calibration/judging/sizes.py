"""Are a log's numbers of a size that this arm can have? Correlations see no unit: degrees follow degrees as well."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calibration.logs.ingest import UNITS
from calibration.logs.log import Log
from calibration.physics.law import POSITION_MODES
from robot_runtime.arrays import Floats
from robot_runtime.spec import JointSpec

REACH = 0.5
"""rad beyond its limits that a joint may be found at: zeros are askew, and arms sag when torque is off."""
PUSH = 2.0
"""Times its torque limit that a joint may be commanded: a servo clips what it cannot give."""
DUTY = 1.05
"""Of full duty: a register's rounding."""
DRAWN = 2.0
"""Times its stall current that a servo may draw: what is turned against its full speed takes that."""
TAIL = 2.0
"""Percent of the samples at either end that may be anything: spikes."""


def wrong_sizes(log: Log, joints: tuple[JointSpec, ...]) -> list[str]:
    """Joints whose angles, commands or currents cannot be in the unit they are said to be in; and which may."""
    found = []
    for i, joint in enumerate(joints):
        given = log.command[:, i]
        found += _angles(joint, "its angles", log.q[:, i])
        if log.modes[i] in POSITION_MODES:
            found += _angles(joint, "its goals", given)
        elif log.modes[i] == "current":
            found += _pushes(joint, "commands", given, PUSH * joint.limits.torque, "N·m", _torques(joint))
        elif log.modes[i] == "pwm":
            ticks = joint.servo.units["pwm"].scale
            found += _pushes(joint, "commands", given, DUTY, "of full duty", {"%": UNITS["duty"]["%"], "pwm": ticks})
        if joint.servo.has_current:
            units = {"mA": UNITS["current"]["mA"], "tick": joint.servo.units["current"].scale}
            found += _pushes(joint, "currents", log.current[:, i], DRAWN * joint.servo.motor.stall_current, "A", units)
    return found


def _range(values: Floats) -> tuple[float, float]:
    """Without what may be spikes."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (TAIL, 100.0 - TAIL)) if len(known) else (0.0, 0.0)
    return float(low), float(high)


def _angles(joint: JointSpec, what: str, values: Floats) -> list[str]:
    low, high = _range(values)
    least, most = joint.limits.lower - REACH, joint.limits.upper + REACH
    if least <= low and high <= most:
        return []
    limits = f"{joint.limits.lower:.3g} to {joint.limits.upper:.3g} rad"
    said = f"{joint.name}: {what} go from {low:.3g} to {high:.3g} rad, and its limits are {limits}: "
    if high - low <= most - least:
        off = (low + high - joint.limits.lower - joint.limits.upper) / 2
        degrees = "; it is in rad: 90 degrees are 1.571" if abs(off) > 2 * np.pi else ""
        return [f"{said}is its zero elsewhere, by about {off:.3g} rad (offset, in arm file or mapping{degrees})?"]
    units = {**UNITS["angle"], "tick": abs(joint.rad_per_tick)}
    fitting = [unit for unit, size in units.items() if (high - low) * size <= most - least]
    return [f"{said}are they in {_or(fitting[:1])}?"]  # ticks are smaller than all else: they would always fit


def _pushes(
    joint: JointSpec, what: str, values: Floats, most: float, unit: str, units: Mapping[str, float]
) -> list[str]:
    size = max(abs(end) for end in _range(values))
    if size <= most:
        return []
    fitting = [u for u, scale in units.items() if size * scale <= most]
    said = f"{joint.name}: its {what} go up to {size:.3g} {unit}, and it takes {most:.3g} at most"
    return [f"{said}: are they in {_or(fitting)}, or is it another column?"]


def _torques(joint: JointSpec) -> dict[str, float]:
    """Units in which a torque may have been logged; the servo's current stands for it too."""
    constant = joint.gear * joint.servo.motor.torque_constant
    return {"mNm": UNITS["torque"]["mNm"], "mA": UNITS["current"]["mA"] * constant}


def _or(units: list[str]) -> str:
    return " or ".join(units) or "another unit"
