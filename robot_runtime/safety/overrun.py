"""How far a positioned joint will run past its limit: a servo's position loop brakes late, and only by an error.

A command that stops in time does not stop the joint behind it where the loop is weak, or where a weight has fallen past
it: the error that brakes builds up behind the stop. So the joint's measured speed is carried forward, and by what it
would run too far its command is taken back. A joint that follows its command hardly gets there: commands approach their
stops gently (`braking.GENTLE_SHARE`).
"""

from __future__ import annotations

from robot_runtime.spec import ArmSpec

_BRAKING = 0.25
"""Of the acceleration limit that a weak servo brakes with."""

_LATE = 0.05
"""s that a joint runs on before its servo brakes: what a loop of 15 to 30 rad/s takes, and the age of a reading."""

_AVERAGED = 0.01
"""s over which speeds are averaged: one tick of the encoder in one cycle is 0.3 rad/s."""

_BACK = 2.0
"""Times what the joint would run too far that its command is taken back: the loop is a spring, and short of force."""


class Overrun:
    """How far to take back the commands of all joints from their upper and lower limits, rad, not negative."""

    def __init__(self, spec: ArmSpec, joints: list[int]) -> None:
        """By the limits of the arm file; of these joints only."""
        limits = [j.limits for j in spec.joints]
        self._joints = joints
        self._lower, self._upper = [x.lower for x in limits], [x.upper for x in limits]
        self._braking = [_BRAKING * x.acceleration for x in limits]
        self.reset([0.0] * len(limits))

    def reset(self, q: list[float]) -> None:
        """The joints stand at `q` (rad)."""
        count = len(q)
        self._q, self._stamps, self._speed = q[:], [0.0] * count, [0.0] * count
        self.up, self.down = [0.0] * count, [0.0] * count

    def look(self, q: list[float], stamps: list[float]) -> None:
        """Where the joints were (rad) when they were read last (s)."""
        seen, times, speeds, up, down = self._q, self._stamps, self._speed, self.up, self.down
        for i in self._joints:
            angle, speed, passed = q[i], speeds[i], stamps[i] - times[i]
            if passed > 0.0:
                speed += ((angle - seen[i]) / passed - speed) * passed / (passed + _AVERAGED)
                seen[i], times[i], speeds[i] = angle, stamps[i], speed
            end = angle + speed * (_LATE + abs(speed) / (2.0 * self._braking[i]))
            above, below = end - self._upper[i], self._lower[i] - end
            up[i] = _BACK * above if above > 0.0 and speed > 0.0 else 0.0
            down[i] = _BACK * below if below > 0.0 and speed < 0.0 else 0.0
