"""The motor's current of servos that measure their supply's: in an XL330 at a tenth of its duty ten times as much.

A motor at duty d carries i = (d V - k w) / R, as in PWM mode (`duty`). The measured current over the duty would say as
much, but at little duty it is all rounding and noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from robot_runtime.arm.state import POWERED
from robot_runtime.arrays import Floats
from robot_runtime.spec import JointSpec


class MotorCurrent:
    """Puts motors' currents where a read brought supplies'."""

    def __init__(self, servos: Sequence[JointSpec], turned_by: Sequence[int]) -> None:
        """Constants of the motors, in the units of their registers. `turned_by`: the joint of each servo."""
        self._rows = []
        for k, (joint, i) in enumerate(zip(servos, turned_by, strict=True)):
            model, motor = joint.servo, joint.servo.motor
            if model.senses_supply:
                volts_per_tick = motor.resistance * model.units["current"].scale
                of_duty = model.units["pwm"].scale / volts_per_tick  # ticks of current for one of PWM and a volt
                of_speed = motor.torque_constant * model.units["velocity"].scale / volts_per_tick
                self._rows.append((k, i, of_duty, of_speed, motor.nominal_voltage))

    def put(self, ticks: list[int | float], duties: Sequence[int], voltage: Floats, drives: Sequence[bool]) -> None:
        """`ticks`: current, velocity, position of one servo after the other; `voltage` (V) of every joint as last read.

        `drives`: whether a servo is known to hold torque: at duty 0 that brakes, while without torque nothing flows.
        """
        for k, i, of_duty, of_speed, nominal in self._rows:
            if not duties[k] and not drives[k]:
                ticks[3 * k] = 0
                continue
            volts = float(voltage[i])
            ticks[3 * k] = duties[k] * of_duty * (volts if volts > POWERED else nominal) - ticks[3 * k + 1] * of_speed
