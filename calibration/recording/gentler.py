"""Gentler: what a recording does about a joint that does not go where it should, instead of recording nothing.

A joint that is pushed and does not move is left where it stands, and the others go on without it. What moves shows how
many times the data files' torques this arm takes. What is still to be flown is drawn anew in poses that leave every
joint the margin that it was planned with. Nothing is pushed harder than before, and no limit is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.excitation.redraw import redraw
from calibration.excitation.segment import Excitation
from calibration.excitation.stage import LIFTED, find_stage
from calibration.physics.law import POSITION_MODES, default_gains
from calibration.recording.strain import STRAINED, TRAILS
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.flying import Phase
from robot_runtime.safety import faults
from robot_runtime.safety.fault_kind import Fault
from robot_runtime.spec import ArmSpec
from robot_runtime.verdict import Verdict

BALKS = (STRAINED, TRAILS, faults.STALLED, faults.FOLLOWING_ERROR, faults.START_MISSED, faults.OVERLOADED)
"""Faults of a joint that did not go where it should."""
STANDS = (STRAINED, faults.STALLED)
"""Those of joints that stand: what they push with is what this pose takes at most."""
MOVED = 0.03
"""rad that a joint must have turned to count as one that moves: two times the play of a worn gear."""
BLOCKED = 4.0
"""Times the torque of the data files (gravity and friction) from which on it is no load that a joint stands against:
worn gears and a payload that nobody knows make three times of it."""
ROUNDS = 4
"""Times that a recording gives joints less room."""
STIFFER = 2.0
"""Times the position P gain that a joint which trails its goal gets, once, and all joints with the factory's gain:
LeRobot's Koch has nearly four times the factory's in its elbow.
"""
MORE = 1.15
"""Times what was thought of a joint before, at least, that stood still all the same."""

SLOW = (0.05, 0.6)
"""rad/s at which a motor's push is gravity and friction, and not much else."""
MOST = 0.8
"""Share of such samples that took less: starting from rest and noise take the rest."""
SAMPLES = 30  # that it takes to believe them
SMOOTH = 0.1  # s over which pushes and speeds are averaged
STOOD = 0.5  # s before the fault in which a joint stood


@dataclass(frozen=True, slots=True, eq=False)
class Gentler:
    """What to fly instead of the rest, and why."""

    excitation: Excitation
    note: Mapping[str, Any]  # for the recording: joint, left_out, at_rad, pushed_nm, times, text


@dataclass(frozen=True, slots=True)
class _Balk:
    joint: str
    at: float  # rad
    pushed: float  # N·m, as the servo tells it
    moved: float  # rad that it had turned in that flight
    times: float  # what it was pushed with, over what the data files say that this pose takes


def gentler(
    spec: ArmSpec, excitation: Excitation, done: Sequence[str], notes: Sequence[Mapping[str, Any]], file: Path,
    ended: Verdict,
) -> Gentler | None:  # fmt: skip
    """What to fly after a flight (`file`) that ended like this; None: nothing can be done about it.

    `notes`: of what was done about the flights before.
    """
    fault = next(iter(ended.faults), None)
    if fault is None or fault.kind not in (*BALKS, faults.HARDWARE_ERROR):
        return None
    flight = read_flight(file)
    if fault.kind is faults.HARDWARE_ERROR and not _overloaded(spec, flight, fault.joints[0]):
        return None
    balk = _balk(spec, flight, fault)
    i = spec.joint_names.index(balk.joint)
    known = np.max([np.ones(len(spec.joints)), *(note["times"] for note in notes)], axis=0)
    times = np.maximum(known, _times(spec, flight))
    for other in (_balk(spec, flight, f) for f in ended.faults[1:] if f.kind in STANDS and f.joints):
        k = spec.joint_names.index(other.joint)
        times[k] = max(times[k], min(MORE * other.times, BLOCKED))
    out = left_out(notes)
    stays = bool(balk.moved < MOVED or balk.times > BLOCKED)
    if balk.joint in out or (not stays and sum(not note["left_out"] for note in notes) >= ROUNDS):
        return None
    gains = _stiffer(spec, excitation, i) if fault.kind in (TRAILS, faults.FOLLOWING_ERROR) else {}
    text = f"{balk.joint} was pushed with {balk.pushed:.2f} N·m of {spec.joints[i].limits.torque:g} N·m and "
    if stays:
        out[balk.joint] = balk.at
        text += f"did not move: it is left out, and stays at {balk.at:.3f} rad"
    elif gains:
        told = ", ".join(f"{gain} in {name}" for name, gain in gains.items())
        text += f"trailed its goal at {balk.at:.2f} rad: the rest is flown with higher position P gains, {told}"
        excitation = _with_gains(excitation, gains)
    else:
        times[i] = max(times[i], balk.times, MORE * known[i])
        text += (
            f"stood at {balk.at:.2f} rad: it takes {times[i]:.1f} times what its data files say; "
            "the rest is drawn in poses that leave it its margin"
        )
    moved = dict.fromkeys(n for s in excitation.without(done).segments for n in s.joints if n not in out)
    if not moved:
        return None
    note = {
        "joint": balk.joint,
        "left_out": stays,
        "at_rad": balk.at,
        "pushed_nm": balk.pushed,
        "times": times.tolist(),
        "text": text,
    }
    heaviest = replace(spec, load=max([0.0, *excitation.loads.values()]))
    try:
        stage = find_stage(heaviest, Kinematics(heaviest), list(moved), carries=_carries(spec, times), stands=out)
        return Gentler(redraw(excitation, spec, stage, done), note)
    except CalibrationError:
        return None


def _overloaded(spec: ArmSpec, flight: Flight, joint: str) -> bool:
    """A servo has switched itself off: somebody has to reboot it, and then it is to have less to carry."""
    i = spec.joint_names.index(joint)
    bits = np.bitwise_or.reduce(np.maximum(flight["hardware_error"][:, i], 0))
    return "overload" in spec.joints[i].servo.error_names(int(bits))


def left_out(notes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Joints that were left out, and where they stand (rad)."""
    return {str(note["joint"]): float(note["at_rad"]) for note in notes if note["left_out"]}


def _stiffer(spec: ArmSpec, excitation: Excitation, i: int) -> dict[str, int]:
    """Higher position P gains, for the joint that trails and all that have the factory's; none: it has got one."""
    old = np.round(default_gains(spec.joints)[0]).astype(int).tolist()
    had = [part.get(spec.joints[i].name, {}).get("position_p_gain", 0) for part in excitation.gains.values()]
    if spec.joints[i].mode not in POSITION_MODES or max(had, default=0) > old[i]:
        return {}
    return {
        joint.name: round(STIFFER * gain)
        for k, (joint, gain) in enumerate(zip(spec.joints, old, strict=True))
        if joint.mode in POSITION_MODES and gain and (k == i or "position_p_gain" not in joint.gains)
    }


def _with_gains(excitation: Excitation, gains: Mapping[str, int]) -> Excitation:
    parts = {part: dict(excitation.gains.get(part, {})) for part in excitation.parts}
    for part in parts.values():
        for joint, gain in gains.items():
            own = part.get(joint, {})
            stiffer = round(STIFFER * own["position_p_gain"]) if "position_p_gain" in own else gain
            part[joint] = {**own, "position_p_gain": stiffer}
    return replace(excitation, gains=parts)


def _carries(spec: ArmSpec, times: Floats) -> Floats:
    """N·m of gravity that each joint can hold and move with its margin, where it takes so many times its data's."""
    margin = LIFTED * np.array([j.limits.torque for j in spec.joints])
    dry, share = _friction(spec)
    return np.asarray(np.clip(margin / times * (1.0 - share) - dry, 0.0, margin))


def _friction(spec: ArmSpec) -> tuple[Floats, Floats]:
    """The data files' dry friction (N·m), and the share of a motor's torque that its gears eat."""
    motors = [(j.servo.motor, j.gear) for j in spec.joints]
    return np.array([g * m.coulomb_friction for m, g in motors]), np.array([m.load_friction for m, _ in motors])


def _balk(spec: ArmSpec, flight: Flight, fault: Fault) -> _Balk:
    i = spec.joint_names.index(fault.joints[0])
    rows = flight["begin"] <= fault.time
    last = rows & (flight["begin"] > fault.time - STOOD)
    pose, pushed = np.median(flight["q"][last], axis=0), float(np.mean(flight["tau"][last, i]))
    dry, share = _friction(spec)
    against = float(_gravity(spec, flight, pose[None])[0, i]) * np.sign(pushed)
    takes = (max(against, 0.0) + dry[i]) / (1.0 - share[i])
    return _Balk(
        spec.joints[i].name, float(pose[i]), abs(pushed), float(np.ptp(flight["q"][rows, i])), abs(pushed) / takes
    )


def _times(spec: ArmSpec, flight: Flight) -> Floats:
    """How many times the data files' torque each joint took where it moved slowly against its load; 1 at least."""
    rows = np.flatnonzero(_flown(flight))
    found = np.ones(len(spec.joints))
    if len(rows) < SAMPLES:
        return found
    count = max(round(SMOOTH / float(np.median(np.diff(flight["begin"][rows])))), 1)
    box = np.full(count, 1.0 / count)
    gravity = _gravity(spec, flight, flight["q"][rows])
    dry, share = _friction(spec)
    for i in range(len(found)):
        push, speed = (np.convolve(flight[name][rows, i], box, "same") for name in ("tau", "dq"))
        way = np.sign(speed)
        slow = (np.abs(speed) > SLOW[0]) & (np.abs(speed) < SLOW[1]) & (push * way > 0) & (gravity[:, i] * way >= 0)
        if slow.sum() >= SAMPLES:
            takes = (np.abs(gravity[slow, i]) + dry[i]) / (1.0 - share[i])
            found[i] = max(1.0, float(np.quantile(np.abs(push[slow]) / takes, MOST)))
    return found


def _flown(flight: Flight) -> npt.NDArray[np.bool_]:
    """Cycles in which the arm was to move."""
    return np.asarray((flight["phase"] == Phase.START) | (flight["phase"] == Phase.RUN))


def _gravity(spec: ArmSpec, flight: Flight, poses: Floats) -> Floats:
    """N·m that hold the data files' arm, with what was hung on it, in these poses."""
    load = float(flight.metadata.get("recording", {}).get("payload_kg", 0.0))
    kinematics = Kinematics(replace(spec, load=load))
    return np.array([kinematics.gravity(pose, np.zeros(len(pose))) for pose in poses])
