"""An arm's MJCF as somebody else's environment has it: what moved the arm there does not here, servos do."""

from __future__ import annotations

from typing import Any

import mujoco


def without_motors(mjcf: Any) -> Any:
    """The same `MjSpec`, without what would move the arm besides its servos, or carry it: actuators and what looks at
    them or sets them, compensated gravity. An actuator that nobody commands is a spring to 0.
    """
    for sensor in list(mjcf.sensors):
        if sensor.objtype == mujoco.mjtObj.mjOBJ_ACTUATOR:
            mjcf.delete(sensor)
    for part in [*mjcf.actuators, *mjcf.keys]:
        mjcf.delete(part)
    for body in mjcf.bodies:
        body.gravcomp = 0.0
    return mjcf
