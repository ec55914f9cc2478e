"""Stage: the box of joint angles in which an arm may be excited whatever way it takes, and the pose that it starts at.

Every pose of the box keeps its distance from the table and from the arm itself, so that all joints may move at once and
a fault finds room to stop. The box is found, not written down: any arm whose MJCF has shapes can be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.physics.joints import fitted_joints
from calibration.physics.law import MODES, POSITION_MODES
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.gains import beyond_p_and_d, line_without, told
from robot_runtime.safety.path import soft_path
from robot_runtime.spec import ArmSpec

NEAR = 0.04
"""m to the table and to itself that the arm keeps: the envelope stops it 5 mm before, and begins to brake as much
earlier as braking from full speed takes."""
CLOSER = 0.006
"""m by which parts may come closer that are nearer than that at home: neighbours on the arm."""
LEAST = 0.008
"""m that all parts keep, whatever they have at home."""
PASSING = 0.02
"""m on the soft way from rest to the start pose, or what rest itself has."""
EDGE = 0.2
"""rad kept from joint limits, or this share of the range where that is less: what a soft spring may sag."""
EDGE_SHARE = 0.08
WIDEST = 2.0
"""rad to either side of where a box begins to grow."""
ENOUGH = 3.0
"""rad of a joint's range: more says nothing new and takes time."""
ROOM = 0.15  # rad that a joint must have: ten times a gear's play
INSIDE = 0.25
"""Of the box, on either side of the start pose."""
AWAY = 0.15
"""A start pose 1 rad from home is worth so much less room, as a share."""
LIFTED = 0.75
"""Of a joint's torque limit, at most, to hold the arm still anywhere on the stage."""
JERK = 0.6
PLACED, DRIVEN = (0.55, 0.35), (0.45, 0.15)
"""Of a joint's limits of jerk, and of speed and acceleration in position and in other modes, that an excitation uses.
The envelope lets positions use 0.75 of both. Torques may have 0.85 of the speed, but at speed little acceleration, and
friction that its model does not know looks like some."""

HOPELESS = 1.5
"""By how much less room, on a log scale, an even box may have than the best one, that growing on could make up for."""
POSES = 80  # start poses tried
HARDER = 6
"""Times as many where gravity leaves fewer of them: those that cannot be held cost little."""
POINTS = 48  # poses of a box looked at while it grows
SURE = 400  # poses of the box looked at in the end
GROWTHS = np.array([0.04, 0.08, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0])
"""Shares of the widest box, tried one after the other."""
REACHED = 10  # poses looked at on the way from rest


class NoStageError(CalibrationError):
    """There is no room to move in.

    Example scenarios:
        - The arm file's limits leave a joint no range.
        - The MJCF's shapes touch each other, or the table, wherever the arm goes.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Where the arm may move. Arrays are one entry a joint of the arm; joints that do not move have low = high."""

    start: Floats  # rad, where every segment begins and ends
    low: Floats  # rad
    high: Floats  # rad
    velocity: Floats  # rad/s that a reference may have
    acceleration: Floats  # rad/s²
    jerk: Floats  # rad/s³

    def calmer(self, share: Floats) -> Stage:
        """Each joint with this share of its speed and acceleration, and a little less room."""
        room = 0.5 + 0.5 * share
        return replace(
            self,
            low=self.start + room * (self.low - self.start),
            high=self.start + room * (self.high - self.start),
            velocity=share * self.velocity,
            acceleration=share * self.acceleration,
        )

    @property
    def moved(self) -> npt.NDArray[np.intp]:
        """Joints that have room."""
        return np.flatnonzero(self.high > self.low)


def movable(spec: ArmSpec, joints: Sequence[str] | None = None) -> npt.NDArray[np.intp]:
    """Which joints are to move: these, or all that can be fitted.

    Raises:
        CalibrationError: no such joint, or it cannot be fitted: its mode or its gains have no law here, or others
            follow it.
    """
    fitted = fitted_joints(spec)
    names = joints if joints is not None else fitted
    if unknown := [name for name in names if name not in spec.joint_names]:
        raise CalibrationError(f"{spec.path}: no joint {', '.join(unknown)}; it has {', '.join(spec.joint_names)}")
    found = [spec.joint_names.index(name) for name in names]
    if strange := [f"{spec.joints[i].name} ({spec.joints[i].mode})" for i in found if spec.joints[i].mode not in MODES]:
        raise CalibrationError(f"modes without a known law: {', '.join(strange)}; known: {', '.join(MODES)}")
    if beyond := [(joint, more) for joint in (spec.joints[i] for i in found) if (more := beyond_p_and_d(joint))]:
        lines = "; ".join(f"{joint.name} has {told(more)}: {line_without(joint, more)}" for joint, more in beyond)
        raise CalibrationError(
            f"a fit knows P and D gains alone, so write into {spec.path}, at these joints, before you record: {lines}"
        )
    if led := [name for name in names if name not in fitted]:
        raise CalibrationError(f"{', '.join(led)}: other joints of {spec.mjcf.name} follow it; leave it out")
    if not found:
        raise CalibrationError(f"{spec.path}: no joint to move; modes with a known law: {', '.join(MODES)}")
    return np.array(sorted(found))


def find_stage(
    spec: ArmSpec,
    kinematics: Kinematics,
    joints: Sequence[str] | None = None,
    seed: int = 0,
    *,
    carries: Floats | None = None,
    stands: Mapping[str, float] | None = None,
) -> Stage:
    """The largest box among those around many start poses that the arm can reach softly from rest.

    `carries`: N·m of gravity that each joint may have to hold (default: `LIFTED` of its torque limit). `stands`: where
    joints that do not move stand (rad), if that is not home.

    Raises:
        CalibrationError: joints cannot be moved.
        NoStageError: there is no room.
    """
    moved = movable(spec, joints)
    if default := carries is None:
        carries = LIFTED * np.array([j.limits.torque for j in spec.joints])
    look = _Look(spec, kinematics, moved, np.random.default_rng(seed), carries, stands or {})
    boxes: list[tuple[float, Floats, Floats, Floats]] = []
    for seed_pose in look.starts(POSES if default else HARDER * POSES):
        best = max((size for size, *_ in boxes), default=-np.inf)
        found = look.box(seed_pose, best if default else -np.inf)
        if found is None:
            continue
        start = look.inside(*found)
        size = look.size(*found) - look.strange(start)
        if look.reachable(start):
            boxes.append((size, start, *found))
    if not boxes:
        raise NoStageError(f"{spec.mjcf}: no pose of {spec.name} has room around it; check the shapes and the limits")
    cramped: list[str] = []
    for _, start, *box in sorted(boxes, key=lambda found: -found[0]):
        low, high = look.sure(start, *box)
        tight = [spec.joints[i].name for i in moved if high[i] - low[i] < ROOM]
        if not tight:
            break
        cramped = cramped or tight
    else:
        raise NoStageError(
            f"{spec.path}: {', '.join(cramped)} cannot turn by {ROOM} rad without coming near to something or to the "
            "limits; move fewer joints, or check limits and shapes"
        )
    limits = [j.limits for j in spec.joints]
    share = np.array([PLACED if j.mode in POSITION_MODES else DRIVEN for j in spec.joints])
    return Stage(
        start,
        low,
        high,
        share[:, 0] * np.array([x.velocity for x in limits]),
        share[:, 1] * np.array([x.acceleration for x in limits]),
        JERK * np.array([x.jerk for x in limits]),
    )


class _Look:
    """Asks the arm's model about poses."""

    def __init__(
        self,
        spec: ArmSpec,
        kinematics: Kinematics,
        moved: npt.NDArray[np.intp],
        random: np.random.Generator,
        carries: Floats,
        stands: Mapping[str, float],
    ) -> None:
        self._spec, self._kinematics, self._moved, self._random = spec, kinematics, moved, random
        low = np.array([j.limits.lower for j in spec.joints])
        high = np.array([j.limits.upper for j in spec.joints])
        edge = np.minimum(EDGE, EDGE_SHARE * (high - low))
        self._low, self._high = low + edge, high - edge
        self._home = np.clip(np.array(spec.poses["home"]), self._low, self._high)
        for name, angle in stands.items():
            self._home[spec.joint_names.index(name)] = angle
        kinematics.place(self._home)
        self._near = [max(min(NEAR, kinematics.distance(pair, 2 * NEAR) - CLOSER), LEAST) for pair in kinematics.pairs]
        self._rest = np.array(spec.poses["rest"])
        self._carries = carries
        self._gravity = np.zeros(len(low))
        self._points = self._random.uniform(-1.0, 1.0, (SURE, len(moved)))
        corners = self._random.random(SURE) < 0.5  # half of the poses on the box's corners, where it ends
        self._points[corners] = np.sign(self._points[corners])

    def starts(self, count: int) -> list[Floats]:
        """Home, and so many poses between it and anywhere."""
        poses = [self._home]
        for _ in range(count):
            pose = self._home.copy()
            there = self._random.uniform(self._low, self._high)[self._moved]
            pose[self._moved] += self._random.random() * (there - pose[self._moved])
            poses.append(pose)
        return poses

    def free(self, pose: Floats) -> bool:
        """Nothing is near, and the arm can be held."""
        self._kinematics.place(pose)
        for pair, near in zip(self._kinematics.pairs, self._near, strict=True):
            if self._kinematics.distance(pair, near) < near:
                return False
        held = np.abs(self._kinematics.gravity(pose, self._gravity)) <= self._carries
        return bool(held[self._moved].all())

    def size(self, low: Floats, high: Floats) -> float:
        """Of a box: what the joints' useful ranges multiply to, on a log scale."""
        widths = (high - low)[self._moved]
        return float(np.log(np.clip(widths, 1e-9, ENOUGH)).sum())

    def strange(self, start: Floats) -> float:
        """How far from home a start pose is, in the measure of `size`."""
        return AWAY * float(np.abs(start - self._home)[self._moved].sum())

    def inside(self, low: Floats, high: Floats) -> Floats:
        """The pose of a box that is next to home, but not at its edge."""
        edge = INSIDE * (high - low)
        return np.asarray(np.clip(self._home, low + edge, high - edge))

    def box(self, start: Floats, least: float) -> tuple[Floats, Floats] | None:
        """A free box around a pose: grown evenly, then joint by joint; None: none, or surely none beyond `least`."""
        if not self.free(start):
            return None
        low, high = start.copy(), start.copy()
        for share in GROWTHS:
            wider = self._sides(start, share)
            if not self._is_free(start, *wider, POINTS):
                break
            low, high = wider
        if self.size(low, high) < least - HOPELESS:
            return None
        for i in self._moved:  # what one joint can have of its own
            for side, ends in ((low, self._low), (high, self._high)):
                way = np.clip(ends[i], start[i] - WIDEST, start[i] + WIDEST)
                for share in (1.0, 0.7, 0.4, 0.2):
                    kept, side[i] = side[i], side[i] + share * (way - side[i])
                    if self._is_free(start, low, high, POINTS):
                        break
                    side[i] = kept
        return low, high

    def reachable(self, start: Floats) -> bool:
        """Whether the soft way from rest, and back, keeps as much distance as its ends do."""
        pose = np.empty_like(start)
        least = min(PASSING, self._distance(self._rest)) - 0.002
        for begin, end in ((self._rest, start), (start, self._rest)):
            for move in soft_path(self._spec, self._kinematics, begin, end):
                for t in np.linspace(0.0, move.duration, REACHED):
                    if self._distance(move.at(t, pose)) < least:
                        return False
        return True

    def sure(self, start: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The box, shrunk until none of many poses is too near."""
        while not self._is_free(start, low, high, SURE):
            low, high = start + 0.93 * (low - start), start + 0.93 * (high - start)
        return low, high

    def _distance(self, pose: Floats) -> float:
        found = self._kinematics.clearance(pose, PASSING)
        return PASSING if found is None else found.distance

    def _sides(self, start: Floats, share: float) -> tuple[Floats, Floats]:
        low, high = start.copy(), start.copy()
        i = self._moved
        low[i] = np.maximum(self._low[i], start[i] - share * WIDEST)
        high[i] = np.minimum(self._high[i], start[i] + share * WIDEST)
        return low, high

    def _is_free(self, start: Floats, low: Floats, high: Floats, points: int) -> bool:
        pose, i = start.copy(), self._moved
        for point in self._points[:points]:
            pose[i] = 0.5 * ((high + low)[i] + point * (high - low)[i])
            if not self.free(pose):
                return False
        return True
