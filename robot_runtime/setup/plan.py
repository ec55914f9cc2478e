"""What a servo's EEPROM should hold for its joint, and how that differs from what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from robot_runtime.servos import Register, ServoModel
from robot_runtime.spec import LIMIT_SLACK, SPLIT, BusSpec, JointSpec

POSITION_REGISTERS = ("homing_offset", "min_position_limit", "max_position_limit")
"""What depends on where the joint's zero is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The value that a register should hold, in ticks."""

    value: int
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """One register of one servo, before and after."""

    servo_id: int
    baudrate: int  # bit/s, at which the servo answers before the change
    model: ServoModel
    register: Register
    before: int
    after: int
    why: str


def wanted(joint: JointSpec, bus: BusSpec, model: ServoModel) -> dict[str, Wanted]:
    """EEPROM values for a joint: what control needs, and limits no wider than the arm file's.

    `model`: the joint's servo model as its firmware lays it out.
    """
    values = {name: Wanted(value, "recommended for control") for name, value in model.recommended.items()}
    values["operating_mode"] = Wanted(model.modes[joint.mode], f"the joint's mode is {joint.mode}")
    delay = model.register("return_delay_time").unit
    if delay is not None:
        values["return_delay_time"] = Wanted(
            round(bus.return_delay / delay.scale), f"{bus.return_delay * 1e6:g} µs, as the arm file says"
        )
    values["homing_offset"] = Wanted(joint.homing_offset, "the arm file's homing_offset")
    values |= _limits(joint, model)
    return {name: _inside(model.register(name), want) for name, want in values.items() if name in model.registers}


def changes(
    servo_id: int, baudrate: int, model: ServoModel, values: Mapping[str, int], want: Mapping[str, Wanted]
) -> tuple[Change, ...]:
    """Where the servo's values differ from the wanted ones, in an order that is valid at every step."""
    found = [
        Change(servo_id, baudrate, model, model.register(name), values[name], entry.value, entry.why)
        for name, entry in want.items()
        if values[name] != entry.value
    ]
    return tuple(sorted(found, key=lambda change: _rank(change, found)))


def only(want: Mapping[str, Wanted], names: Iterable[str]) -> dict[str, Wanted]:
    """The wanted values of some registers."""
    return {name: want[name] for name in names if name in want}


def _limits(joint: JointSpec, model: ServoModel) -> dict[str, Wanted]:
    """The arm file's limits in the servo's ticks, rounded as the runtime rounds the goals that it sends."""
    limits = joint.limits
    values = {
        "velocity_limit": Wanted(
            math.floor(limits.velocity * joint.gear / model.units["velocity"].scale), f"{limits.velocity:g} rad/s"
        )
    }
    celsius = min(math.floor(limits.temperature), model.register("temperature_limit").initial or 0)
    values["temperature_limit"] = Wanted(celsius, f"{celsius} °C")
    values["pwm_limit"] = Wanted(
        model.register("pwm_limit").maximum, "all of its duty; what bounds it is sent in flight"
    )
    if model.has_current:
        values["current_limit"] = Wanted(joint.current_bound, _bounded(joint))
    low, high = joint.position_ticks
    if 0 <= low < high < model.ticks_per_turn:  # else the joint turns further than these registers can say
        # Beside its limits a joint is held, not pulled in. Goals are kept inside the arm file's by the runtime itself.
        spare = LIMIT_SLACK + SPLIT * joint.is_second  # by which that may differ from its first one
        slack = math.floor(spare / abs(joint.rad_per_tick))
        text = f"{limits.lower:g} to {limits.upper:g} rad, {spare:g} to spare"
        values["min_position_limit"] = Wanted(max(low - slack, 0), text)
        values["max_position_limit"] = Wanted(min(high + slack, model.ticks_per_turn - 1), text)
    return values


def _bounded(joint: JointSpec) -> str:
    """What a servo's current limit is for, and where it does nothing: a position loop drives the motor by its duty."""
    whose = " of both servos" if joint.facing or joint.is_second else ""
    where = ", in the supply" if joint.servo.senses_supply else ""
    heeded = "; position mode does not heed it" if joint.mode in {"position", "extended_position"} else ""
    return f"{joint.limits.torque:g} N·m{whose}{where}{heeded}"


def _inside(register: Register, want: Wanted) -> Wanted:
    """No more than the register can hold: then it is narrower than asked for, never wider."""
    return Wanted(min(max(want.value, register.minimum), register.maximum), want.why)


def _rank(change: Change, all_changes: Iterable[Change]) -> tuple[int, int]:
    """Operating mode first (it resets other registers); of two limits, first the one that makes room."""
    name = change.register.name
    if name == "operating_mode":
        return 0, 0
    others = {c.register.name: c for c in all_changes if c.servo_id == change.servo_id}
    low, high = others.get("min_position_limit"), others.get("max_position_limit")
    if name == "max_position_limit" and low is not None and high is not None and high.after <= low.before:
        return 2, change.register.address  # it lies in front of the lower limit, and comes first unless that blocks it
    return 1, change.register.address
