"""Policies that want the worst, flown on the twin through the envelope, and what truly happened to the arm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm import JointCommand
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.safety.envelope import Box, Envelope
from robot_runtime.safety.friction import Friction
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.arm.twins import PERIOD, TwinArm, start

Angles = NDArray[np.float64]

Want = Callable[[int, Angles, Angles], Angles]
"""(cycle, true angles, true speeds) -> wanted commands, in the unit of each joint's mode."""

_SPARE = 1.05  # times the slowest cycle seen

REACH = 3.0  # times a joint's limit that adversaries ask for

SPEED_MEAN = 0.01
"""s over which a joint's true speed is averaged. A light link is thrown across the play of its gear (1 degree) within
1 to 3 ms, by a knock in another joint and faster than any servo: `thrown` says how fast, and no command prevents it."""


def scales(spec: ArmSpec) -> tuple[Angles, Angles]:
    """Middle and half-width of what adversaries ask for, in the unit of each joint's mode."""
    middle, width = [], []
    for joint in spec.joints:
        limits = joint.limits
        if joint.mode in POSITION_MODES:
            middle.append((limits.lower + limits.upper) / 2)
            width.append((limits.upper - limits.lower) / 2 * 1.5)
        else:
            middle.append(0.0)
            width.append({"velocity": REACH * limits.velocity, "pwm": 1.0}.get(joint.mode, REACH * limits.torque))
    return np.array(middle), np.array(width)


def uniform(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """New random commands every cycle."""
    middle, width = scales(spec)
    return lambda k, q, dq: middle + width * draw.uniform(-1, 1, len(middle))


def bang(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """Everything one way, then the other, switched at random moments."""
    middle, width = scales(spec)
    sign = draw.choice([-1.0, 1.0], len(middle))

    def want(k: int, q: Angles, dq: Angles) -> Angles:
        flip = draw.random(len(sign)) < 1 / 40
        sign[flip] *= -1
        wanted: Angles = middle + width * sign
        return wanted

    return want


def resonant(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """Square waves of a slowly rising frequency: somewhere it meets whatever resonance there is."""
    middle, width = scales(spec)
    phase = draw.uniform(0, 2 * np.pi, len(middle))
    angle = 0.0

    def want(k: int, q: Angles, dq: Angles) -> Angles:
        nonlocal angle
        angle += 2 * np.pi * PERIOD * 0.5 * 40 ** ((k % 2000) / 2000)  # 0.5 to 20 Hz
        wanted: Angles = middle + width * np.sign(np.sin(angle + phase))
        return wanted

    return want


def small_resonant(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """The same around the middle of the range, position by little: where the limits on speed are what is left."""
    square = resonant(spec, draw)
    middle, _ = scales(spec)
    share = np.array([0.3 if j.mode in POSITION_MODES else 1.0 for j in spec.joints])
    return lambda k, q, dq: middle + share * (square(k, q, dq) - middle)


def outwards(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """Every joint at full to a stop, and when it is there, to the other."""
    middle, width = scales(spec)
    lower = np.array([j.limits.lower for j in spec.joints])
    upper = np.array([j.limits.upper for j in spec.joints])
    sign = draw.choice([-1.0, 1.0], len(middle))
    waited = np.zeros(len(middle))

    def want(k: int, q: Angles, dq: Angles) -> Angles:
        waited[:] += 1
        there = (np.where(sign > 0, upper - q, q - lower) < 0.05) | (waited > 400)
        there &= waited > 40
        sign[there] *= -1
        waited[there] = 0
        wanted: Angles = middle + width * sign
        return wanted

    return want


def pumping(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """Pushes every joint the way it truly moves, so that whatever swings swings more; now and then turns round."""
    middle, width = scales(spec)
    turn = 1.0
    delay = [np.zeros(len(middle))] * int(draw.integers(1, 12))

    def want(k: int, q: Angles, dq: Angles) -> Angles:
        nonlocal turn
        delay.append(dq)
        if draw.random() < 1 / 100:
            turn = -turn
        push = np.sign(delay.pop(0) + 1e-3 * draw.standard_normal(len(middle)))
        position = np.array([j.mode in POSITION_MODES for j in spec.joints])
        return np.where(position, q + 0.3 * turn * push, turn * width * push)

    return want


def useless(spec: ArmSpec, draw: np.random.Generator) -> Want:
    """Full commands with holes: not a number, infinite, huge."""
    wild = bang(spec, draw)
    bad = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300])

    def want(k: int, q: Angles, dq: Angles) -> Angles:
        values = wild(k, q, dq)
        holes = draw.random(len(values)) < (0.5 if k // 100 % 2 else 0.02)
        values[holes] = draw.choice(bad, int(holes.sum()))
        return values

    return want


ADVERSARIES = {f.__name__: f for f in (uniform, bang, resonant, small_resonant, outwards, pumping, useless)}


@dataclass
class Worst:
    """The worst that a flight did. Excesses over a limit: negative when it was kept."""

    cycles: int = 0
    position: float = -np.inf  # rad outside, as the encoder shows it without noise
    speed: float = -np.inf  # share of the limit, true: of the servo, and mean of what is behind the play of its gear
    thrown: float = -np.inf  # share of the limit, true, of what is behind the play, at any moment
    command: dict[str, float] = field(default_factory=dict)  # share of the limit
    clearance: float = np.inf  # m, true
    box: float = -np.inf  # m outside
    braking: float = 0.0  # share of cycles and joints that were free of the jerk limit
    ended: int = 0  # cycle in which a servo said that it had a hardware error; 0: none did
    where: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, value: float, where: str) -> None:
        if value > self.command.get(what, -np.inf):
            self.command[what] = value
            self.where[f"commanded {what}"] = where


def fly(
    name: str | Path,
    adversary: str,
    *,
    gap: str | None = None,
    cycles: int = 2000,
    seed: int = 1,
    pose: str = "home",
    workspace: Box | None = None,
    stops: bool = False,
    spec: ArmSpec | None = None,
    policy: Want | None = None,
    happens: Callable[[int, TwinArm], None] | None = None,
    friction: Friction | None = None,
) -> Worst:
    """Fly an adversary; the twin has neither mechanical stops nor contacts (unless `stops`), so nothing else helps.

    `happens`: what befalls the twin, looked at before every cycle. `friction`: what the envelope takes as known.
    """
    rig = start(name, gap=gap, pose=pose, spec=spec)
    arm, spec = rig.arm, rig.arm.spec
    weight = rig.drives.model.opt.gravity.copy()
    rig.drives.model.opt.gravity[:] = 0.0  # until torque is on: it starts in this pose, not on the table below
    arm.prepare()
    arm.torque_on()
    rig.drives.model.opt.gravity[:] = weight
    if not stops:
        model = rig.drives.model
        for joint in spec.joint_names:
            model.jnt_limited[model.joint(joint).id] = 0
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    draw = np.random.default_rng(seed)
    want = policy or ADVERSARIES[adversary](spec, draw)
    period = _fastest_cycle(rig)
    envelope = Envelope(spec, arm.kinematics, period, workspace=workspace, friction=friction)
    command = JointCommand(len(spec.joints))
    command.held[:] = False
    worst = Worst()
    watch = Watch(rig, envelope, worst, period)
    begin = rig.port.now()
    arm.read(begin + 2 * period)
    envelope.reset(arm.state, rig.port.now())
    watch.reset()
    due = rig.port.now()
    for k in range(cycles):
        due += period
        if happens:
            happens(k, rig)
        arm.read(due)
        if arm.state.alert.any():
            worst.ended = k  # a servo has switched itself off: the flight would be stopped here
            break
        command.values[:] = want(k, watch.angles(), rig.drives.joint_velocity)
        envelope.limit(command.values, arm.state, rig.port.now())
        arm.write(command)
        watch.commands(command.values, k)
        rig.port.sleep_until(due)
        watch.truth(k)
    worst.cycles = cycles
    worst.braking = watch.braked / (cycles * len(spec.joints))
    return worst


def _fastest_cycle(rig: TwinArm) -> float:
    """The cycle (s) that this bus and adapter can keep up: 5 ms, 25 ms behind an adapter that nobody has set."""
    command, slowest = JointCommand(len(rig.arm.spec.joints)), 0.0
    for _ in range(60):
        begin = rig.port.now()
        rig.arm.read(begin + 0.05)
        rig.arm.write(command)
        slowest = max(slowest, rig.port.now() - begin)
        rig.port.sleep_until(begin + 0.03)
    return PERIOD * float(np.ceil(_SPARE * slowest / PERIOD))


class Watch:
    """Compares what was commanded and what truly was with the limits."""

    def __init__(self, rig: TwinArm, envelope: Envelope, worst: Worst, period: float) -> None:
        self._period = period
        self._rig, self._envelope, self._worst = rig, envelope, worst
        self.spec = spec = rig.arm.spec
        self._lower = np.array([j.limits.lower for j in spec.joints])
        self._upper = np.array([j.limits.upper for j in spec.joints])
        self._limits = {
            key: np.array([getattr(j.limits, key) for j in spec.joints])
            for key in ("velocity", "acceleration", "jerk", "torque")
        }
        # The gap's offset is what no encoder shows: what is measured is the truth without it.
        self._offset = np.array(rig.drives._offset)[: len(spec.joints)] - np.array([j.offset for j in spec.joints])
        self._is_position = np.array([j.mode in POSITION_MODES for j in spec.joints])
        self._is_velocity = np.array([j.mode == "velocity" for j in spec.joints])
        self._is_current = np.array([j.mode == "current" for j in spec.joints])
        self._kinematics = type(rig.arm.kinematics)(spec)
        self.braked = 0
        self._history: list[Angles] = []
        self._places: deque[Angles] = deque(maxlen=int(np.ceil(SPEED_MEAN / period)) + 1)

    def reset(self) -> None:
        self._history = [self._envelope.last.copy()] * 4

    def angles(self) -> Angles:
        shown: Angles = self._rig.truth - self._offset
        return shown

    def truth(self, k: int) -> None:
        worst, q = self._worst, self.angles()
        outside = np.maximum(self._lower - q, q - self._upper)
        self._places.append(q)
        mean = (q - self._places[0]) / max(len(self._places) - 1, 1) / self._period
        physics = self._rig.drives._physics
        speed = np.maximum(np.abs(physics.gather_motor_velocity @ physics.qvel), np.abs(mean))
        thrown = np.abs(self._rig.drives.joint_velocity)
        speed, thrown = (x / self._limits["velocity"] - 1 for x in (speed, thrown))
        for what, values in (("position", outside), ("speed", speed), ("thrown", thrown)):
            i = int(values.argmax())
            if values[i] > getattr(worst, what):
                setattr(worst, what, float(values[i]))
                worst.where[what] = f"{self.spec.joint_names[i]} at cycle {k}, q {q[i]:.3f}"
        if k % 5 == 0:
            nearest = self._kinematics.clearance(q, 0.1)
            if nearest is not None and nearest.distance < worst.clearance:
                worst.clearance = nearest.distance
                worst.where["clearance"] = f"{nearest.first} - {nearest.second} at cycle {k}"
            box = self._envelope._clearance._box
            if box is not None:
                tip = self._kinematics.tip_position(q)
                worst.box = max(worst.box, float(np.max([np.subtract(box.low, tip), np.subtract(tip, box.high)])))

    def commands(self, values: Angles, k: int) -> None:
        worst, limits, envelope = self._worst, self._limits, self._envelope
        assert np.isfinite(values).all()
        free = envelope.braking
        self.braked += int(free.sum())
        self._history = [*self._history[1:], values.copy()]
        x = np.array(self._history)
        first = np.diff(x, axis=0) / self._period
        second, third = np.diff(first, axis=0) / self._period, np.diff(first, n=2, axis=0) / self._period**2
        where = f"cycle {k}"
        if (mask := self._is_position).any():
            worst.note("position", float((np.maximum(self._lower - x[-1], x[-1] - self._upper))[mask].max()), where)
            worst.note("velocity", float((np.abs(first[-1]) / limits["velocity"] - 1)[mask].max()), where)
            worst.note("acceleration", float((np.abs(second[-1]) / limits["acceleration"] - 1)[mask].max()), where)
            worst.note("jerk", float((np.abs(third[-1]) / limits["jerk"] - 1)[mask].max()), where)
        if (mask := self._is_velocity).any():
            worst.note("velocity", float((np.abs(x[-1]) / limits["velocity"] - 1)[mask].max()), where)
            worst.note("acceleration", float((np.abs(first[-1]) / limits["acceleration"] - 1)[mask].max()), where)
            if (mask & ~free).any():
                worst.note("jerk", float((np.abs(second[-1]) / limits["jerk"] - 1)[mask & ~free].max()), where)
        driven = np.array(envelope.torques.index, dtype=int)
        if driven.size:
            torque = np.array(envelope.torques.torque)
            worst.note("torque", float((np.abs(torque) / limits["torque"][driven] - 1).max()), where)
            if self._is_current.any():
                worst.note("torque", float((np.abs(x[-1]) / limits["torque"] - 1)[self._is_current].max()), where)
            last = getattr(self, "_last_torque", None)
            still = ~free[driven]
            if last is not None and still.any():
                rate = np.abs(torque - last) / self._period / envelope.torques.rate - 1
                worst.note("jerk", float(rate[still].max()), where)
            self._last_torque = torque


def edited(folder: Path, name: str, mode: str) -> Path:
    """A shipped arm with every joint in another mode; its encoders' zero moved so that no range wraps."""
    from tests.robot_runtime.arm.twins import variant

    return variant(folder, name, (r'(?m)^mode = "\w+"', f'mode = "{mode}"'))


__all__ = ["ADVERSARIES", "Worst", "edited", "fly", "load_arm"]
