"""Which arm a calibration belongs to, as far as that can be told: X-series servos carry no serial number.

What tells arms apart is the name that the user gave, the USB adapter's serial number, and of each joint the servo, its
firmware, its mode and gains, and how its ticks become angles. Two arms of one kind on one adapter look the same here;
a short fresh log (`robot-calibrate check`) tells them apart by how they move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from serial.tools import list_ports

from robot_runtime.arm import Arm
from robot_runtime.spec import ArmSpec, JointSpec
from robot_runtime.typed_json import record


@dataclass(frozen=True, slots=True)
class JointIdentity:
    """What calibration took for granted of one joint."""

    name: str
    servo: str  # model
    servo_id: int
    firmware: int | None  # None: not known, as in logs that somebody else made
    mode: str
    gains: Mapping[str, int]  # registers of the servo's own loops, in ticks
    sign: int
    offset: float  # rad
    gear: float
    homing_offset: int  # ticks
    second_servo_id: int | None = None  # where two turn the joint


@dataclass(frozen=True, slots=True)
class Identity:
    """What calibration took for granted of an arm."""

    spec: str  # name in its arm.toml
    joints: tuple[JointIdentity, ...]
    arm_digest: str  # SHA-256 of arm.toml and MJCF
    mjcf_digest: str  # SHA-256 of the MJCF: the simulator model
    name: str = ""  # what its user calls this very arm
    adapter: str = ""  # serial number of the USB adapter; "": it has none

    @classmethod
    def of_spec(cls, spec: ArmSpec, *, name: str = "", adapter: str = "") -> Self:
        """What an arm file says; firmware is not known."""
        joints = tuple(_joint(joint, None, gains_of(joint)) for joint in spec.joints)
        return cls(spec.name, joints, spec.digest, spec.mjcf_digest, name, adapter)

    @classmethod
    def of_arm(cls, arm: Arm, *, name: str = "", adapter: str = "") -> Self:
        """What stands on the bus. Gains are those that it will fly with: what its servos hold now, a recording with
        other gains may have left there, and `prepare` replaces it.
        """
        joints = tuple(  # what is said of a joint holds for a second servo, too
            _joint(servo.joint, servo.firmware, gains_of(servo.joint)) for servo in arm.servos[: len(arm.spec.joints)]
        )
        return cls(arm.spec.name, joints, arm.spec.digest, arm.spec.mjcf_digest, name, adapter)

    def with_gains_of(self, spec: ArmSpec) -> Self:
        """The same arm with the gains that an arm file gives it."""
        gains = {joint.name: gains_of(joint) for joint in spec.joints}
        return replace(self, joints=tuple(replace(j, gains=gains.get(j.name, j.gains)) for j in self.joints))

    def as_json(self) -> dict[str, Any]:
        """Plain data; `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` gave. Raises TypeError when something is missing, or of another type."""
        return record(cls, dict(data))

    def differences(self, found: Identity) -> Iterator[tuple[str, str, str]]:
        """In what another identity differs so that a calibration does not hold: what, as found, as calibrated."""
        for what in ("spec", "adapter"):
            here, there = getattr(found, what), getattr(self, what)
            if here != there:
                yield {"spec": "arm", "adapter": "USB adapter"}[what], here or "no serial number", there or "none"
        if found.mjcf_digest != self.mjcf_digest:
            yield "simulator model", found.mjcf_digest[:12], self.mjcf_digest[:12]
        others = {joint.name: joint for joint in found.joints}
        for joint in self.joints:
            if joint.name not in others:
                yield f"joint '{joint.name}'", "not there", "calibrated"
                continue
            yield from _differences(others[joint.name], joint)


_LOOPS: dict[str, tuple[str, ...]] = {
    "position": (
        "position_d_gain",
        "position_i_gain",
        "position_p_gain",
        "feedforward_2nd_gain",
        "feedforward_1st_gain",
    ),
    "velocity": ("velocity_i_gain", "velocity_p_gain"),
}
_LOOPS["extended_position"] = _LOOPS["current_position"] = _LOOPS["position"]


def gains_of(joint: JointSpec) -> dict[str, int]:
    """Gains of the loop that is closed in the joint's mode: as the arm file sets them, else as the servo starts."""
    return {name: joint.gain(name) for name in _LOOPS.get(joint.mode, ()) if name in joint.servo.registers}


def adapter_serial(port: str) -> str:
    """Serial number of the USB adapter behind a port; "" where it has none or there is no adapter."""
    found = next((info for info in list_ports.comports(include_links=True) if info.device == port), None)
    return (found.serial_number or "") if found else ""


def _joint(joint: JointSpec, firmware: int | None, gains: Mapping[str, int]) -> JointIdentity:
    return JointIdentity(
        joint.name,
        joint.servo.name,
        joint.servo_id,
        firmware,
        joint.mode,
        dict(gains),
        joint.sign,
        joint.offset,
        joint.gear,
        joint.homing_offset,
        joint.facing.servo_id if joint.facing else None,
    )


def _differences(found: JointIdentity, calibrated: JointIdentity) -> Iterator[tuple[str, str, str]]:
    for entry in fields(JointIdentity):
        here, there = getattr(found, entry.name), getattr(calibrated, entry.name)
        if here == there or (entry.name == "firmware" and None in (here, there)):
            continue
        what = f"{calibrated.name}: {entry.name.replace('_', ' ')}"
        if entry.name == "gains":
            changed = [key for key in {**there, **here} if here.get(key) != there.get(key)]
            here, there = ({key: gains.get(key) for key in changed} for gains in (here, there))
        yield what, str(here), str(there)
