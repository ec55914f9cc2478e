"""Settling a joint's sign and offset from how it was moved by hand, and refusing what cannot be right.

The encoder's wrap is where it is: Present Position is what the encoder counts within one turn, plus Homing Offset. An
offset shifts the numbers and leaves the wrap at the same angle of the shaft (ROBOTIS forum, topic 7814: an XC430 with
offset -512 goes from 3700 to -396 when torque is switched on). A wrap inside a joint's range is therefore refused, with
the angle by which the horn must be turned, and Homing Offset is settled to 0: any other value only narrows the range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from robot_runtime.setup.errors import CannotBeRightError
from robot_runtime.setup.track import JointTrack
from robot_runtime.spec import LIMIT_SLACK, ArmSpec, JointSpec

HOMING_OFFSET = 0
"""ticks, for every servo; the reason stands above."""

MOVE = 0.2
"""rad that a joint must be moved for its direction to be believed."""

_BACK = 0.5
"""Share of a movement by which it may have gone the other way first."""

BY_POSE, BY_STOPS = 0.02, 0.01
"""rad, standard deviation: how well a zero is known from a pose held by eye, and from both stops."""

_STOP_SLACK = 0.09
"""rad by which limits may reach beyond the stops that were felt: gears give."""

_STOP_EXCESS = 0.5
"""rad by which stops may lie further apart than the limits; beyond, their middle says little about the zero."""

_DECIMALS = 4
"""Digits kept of an offset (rad): an encoder tick is 0.0015."""

_BEYOND_LIMITS = 0.35
"""rad beyond its limits that a joint may be seen while it is moved by hand, before a note is made."""


@dataclass(frozen=True, slots=True)
class Zero:
    """What was settled for one joint, or for its second servo."""

    before: JointSpec
    after: JointSpec
    seen: tuple[float, float]  # rad, by the new zero: how far the joint was moved
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """One thing to do with the arm: move one joint in its positive direction, or hold a pose, or find the stops."""

    kind: str  # "sign", "pose" or "stops"
    joint: int | None = None  # index in the arm, for "sign"

    def label(self, spec: ArmSpec) -> str:
        """A name that is the same in every run."""
        return self.kind if self.joint is None else f"{self.kind} {spec.joints[self.joint].name}"


class Zeroing:
    """The captures of one run. Feed it the readings of all servos; it settles those of the chosen joints.

    A second servo is settled like a joint of its own, which moves with its first and is held in the same pose.
    """

    def __init__(
        self,
        spec: ArmSpec,
        homing: Mapping[str, int],
        *,
        joints: Sequence[str] | None = None,
        pose: str = "home",
        stops: bool = False,
        keep_signs: bool = False,
    ) -> None:
        """`homing`: the Homing Offset in each servo now (ticks), by its label.

        Raises:
            KeyError: no such pose or joint.
        """
        self.spec = spec
        self.pose = dict(zip(spec.joint_names, spec.poses[pose], strict=True))
        self.pose_name = pose
        self.servos = spec.servos
        self.tracks = [JointTrack(j.servo.ticks_per_turn, homing[j.servo_label]) for j in self.servos]
        chosen = [spec.joint_names.index(name) for name in (joints or spec.joint_names)]
        self.chosen = [k for i in chosen for k in self._turning(i)]
        self.signs: dict[int, int] = {}
        self.offsets: dict[int, float] = {}
        self._keep_signs = keep_signs
        self._within = BY_STOPS if stops else BY_POSE
        self._widest: dict[int, tuple[int, int]] = {}
        last = Capture("stops" if stops else "pose")
        self.captures = (*(Capture("sign", i) for i in chosen), last)

    def begin(self) -> None:
        """A capture starts."""
        for track in self.tracks:
            track.restart()

    def feed(self, time: float, ticks: Sequence[int | None]) -> None:
        """A reading of every servo's Present Position (ticks; None: it did not answer) at a time (s)."""
        for i, (track, value) in enumerate(zip(self.tracks, ticks, strict=True)):
            if value is not None:
                track.add(time, value)
                low, high = self._widest.get(i, (track.now, track.now))
                self._widest[i] = min(low, track.now), max(high, track.now)

    def finish(self, capture: Capture) -> None:
        """A capture is over: settle what it shows.

        Raises:
            CannotBeRightError: what was shown cannot be; the capture may be repeated.
        """
        for i in self.chosen:
            _require_seen(self.servos[i], self.tracks[i])
        if capture.joint is not None:
            for i in self._turning(capture.joint):
                self._settle_sign(i)
            return
        for i in self.chosen:
            joint, track = self.servos[i], self.tracks[i]
            _require_one_turn(joint, track)
            if capture.kind == "stops":
                self.offsets[i] = offset_by_stops(joint, self.signs[i], track)
            else:
                self.offsets[i] = offset_by_pose(joint, self.signs[i], track, self.pose[joint.name])
        for i in self.chosen:
            self._settled(i)

    def results(self) -> tuple[Zero, ...]:
        """What was settled, once all captures are finished, in the order of the joints that were chosen."""
        return tuple(self._settled(i) for i in self.chosen)

    def _turning(self, joint: int) -> list[int]:
        """The servos that turn a joint, by their places among all servos."""
        return [k for k, i in enumerate(self.spec.turned_by) if i == joint]

    def _settle_sign(self, i: int) -> None:
        joint, track = self.servos[i], self.tracks[i]
        moved = [
            other.servo_label
            for k, (other, t) in enumerate(zip(self.servos, self.tracks, strict=True))
            if k != i and _radians(other, t.span) >= MOVE
        ]
        if _radians(joint, track.span) < MOVE and moved:
            raise CannotBeRightError(
                f"joint '{joint.servo_label}' did not move, but {', '.join(moved)} did; do two servos have each "
                "other's IDs, or does a horn slip?"
            )
        sign = sign_by_movement(joint, track)
        if self._keep_signs and sign != joint.sign:
            grew = "grew" if track.high - track.start > track.start - track.low else "fell"
            raise CannotBeRightError(
                f"joint '{joint.name}' moved the wrong way for its sign, {joint.sign}: the servo's ticks {grew}; "
                "either it was moved in its negative direction, or the sign is wrong (then leave out --keep-signs)"
            )
        self.signs[i] = sign

    def _settled(self, i: int) -> Zero:
        joint = self.servos[i]
        sign, offset = self.signs[i], self.offsets[i]
        same = sign == joint.sign and abs(offset - joint.offset) < abs(joint.rad_per_tick) / 2
        offset = joint.offset if same else round(offset, _DECIMALS)  # no encoder could tell them apart
        after = replace(joint, sign=sign, offset=offset, zero_within=self._within, homing_offset=HOMING_OFFSET)
        try:
            notes = [*require_clear_of_wrap(after, self.pose_name, self.pose[joint.name])]
        except CannotBeRightError as error:
            if sign == joint.sign:
                raise
            raise CannotBeRightError(
                f"joint '{joint.name}' moved the wrong way for its sign, {joint.sign}: was it moved in its negative "
                f"direction? Then zero it again, moving it the other way first. If it was moved rightly: {error}"
            ) from error
        base = math.floor(self.tracks[i].now / joint.servo.ticks_per_turn) * joint.servo.ticks_per_turn
        seen = sorted(after.angle(ticks - base) for ticks in self._widest[i])
        if seen[0] < joint.limits.lower - _BEYOND_LIMITS or seen[1] > joint.limits.upper + _BEYOND_LIMITS:
            notes.append(
                f"was moved from {seen[0]:.2f} to {seen[1]:.2f} rad, far beyond its limits "
                f"({joint.limits.lower:g} to {joint.limits.upper:g}): was the pose the right one?"
            )
        return Zero(joint, after, (seen[0], seen[1]), tuple(notes))


def sign_by_movement(joint: JointSpec, track: JointTrack) -> int:
    """+1 if the servo's ticks grew while the joint was moved in its positive direction, -1 if they fell.

    Raises:
        CannotBeRightError: it did not move, moved both ways, or turned further than once.
    """
    _require_one_turn(joint, track)
    up, down = track.high - track.start, track.start - track.low
    far, back = _radians(joint, max(up, down)), _radians(joint, min(up, down))
    if far < MOVE:
        raise CannotBeRightError(
            f"joint '{joint.servo_label}' did not move: servo {joint.servo_id} saw {math.degrees(far):.0f} degrees, "
            f"{math.degrees(MOVE):.0f} are needed"
        )
    if back > _BACK * far:
        raise CannotBeRightError(
            f"joint '{joint.name}' moved both ways, {math.degrees(far):.0f} and {math.degrees(back):.0f} degrees; "
            "move it only in its positive direction"
        )
    return 1 if up > down else -1


def offset_by_pose(joint: JointSpec, sign: int, track: JointTrack, angle: float) -> float:
    """The offset (rad) that makes the joint read `angle` where it is held now.

    Raises:
        CannotBeRightError: the joint is not held still, or the pose is outside its limits.
    """
    if not joint.limits.lower <= angle <= joint.limits.upper:
        raise CannotBeRightError(
            f"joint '{joint.name}': the pose says {angle:g} rad, outside the limits {joint.limits.lower:g} to "
            f"{joint.limits.upper:g}"
        )
    if not track.rests:
        raise CannotBeRightError(f"joint '{joint.name}' is not held still; hold the pose for a moment")
    return angle - _shaft_angle(joint, sign, track.held % joint.servo.ticks_per_turn)


def offset_by_stops(joint: JointSpec, sign: int, track: JointTrack) -> float:
    """The offset (rad) that puts the middle of the joint's limits midway between the stops.

    Raises:
        CannotBeRightError: the distance of the stops does not fit the limits.
    """
    between = _radians(joint, track.span)
    width = joint.limits.upper - joint.limits.lower
    if between < width - _STOP_SLACK:
        raise CannotBeRightError(
            f"joint '{joint.name}' was moved through {between:.2f} rad, its limits span {width:.2f}: either not both "
            "stops were reached, or the limits reach beyond them"
        )
    if between > width + _STOP_EXCESS:
        raise CannotBeRightError(
            f"joint '{joint.name}' has {between:.2f} rad between its stops, its limits span only {width:.2f}: where "
            "they lie in between cannot be told; zero this joint with a pose"
        )
    middle = (track.low + track.high) / 2
    centre = (joint.limits.lower + joint.limits.upper) / 2
    return centre - _shaft_angle(joint, sign, middle % joint.servo.ticks_per_turn)


def require_clear_of_wrap(joint: JointSpec, pose: str, angle: float) -> tuple[str, ...]:
    """Notes about how near the encoder's wrap is to the joint's limits. `joint` has its new sign and offset.

    Raises:
        CannotBeRightError: it lies between them.
    """
    low, high = joint.position_ticks
    turn = joint.servo.ticks_per_turn
    if low >= 0 and high < turn:
        margin = _radians(joint, min(low, turn - 1 - high))
        return () if margin >= LIMIT_SLACK else (f"the encoder wraps only {margin:.3f} rad beyond its limits",)
    wraps = sorted(joint.angle(tick) for tick in (0, turn) if low < tick <= high)
    at = ", ".join(f"{q:.2f}" for q in wraps)
    if joint.mode == "extended_position":
        if _ticks(joint, joint.limits.upper - joint.limits.lower) >= turn:
            return (f"the encoder wraps inside its range, at {at} rad: after power-up beyond it, it is a turn off",)
        return (f"the encoder wraps inside its range, at {at} rad: after power-up beyond it, torque-on is refused",)
    width = joint.limits.upper - joint.limits.lower
    where = f"joint '{joint.name}': the encoder wraps at {at} rad, inside its limits"
    if _ticks(joint, width) >= turn:
        raise CannotBeRightError(
            f"{where}, which span more than a turn of the servo; mode 'extended_position' and turn_is_known can do that"
        )
    centre = (joint.limits.lower + joint.limits.upper) / 2
    wanted = joint.servo.zero_tick + round(joint.sign * _ticks(joint, angle - centre))
    degrees = ((joint.ticks(angle) - wanted) / turn * 360 + 180) % 360 - 180
    raise CannotBeRightError(
        f"{where} ({joint.limits.lower:g} to {joint.limits.upper:g}). Was it really at {angle:g} rad? Then no setting "
        f"helps: narrow the limits, or take the horn off, turn the servo until it reads {wanted % turn} ticks in the "
        f"pose '{pose}' ({abs(degrees):.0f} degrees from here), put the horn back, and zero again"
    )


def _require_seen(joint: JointSpec, track: JointTrack) -> None:
    if not track.seen:
        raise CannotBeRightError(f"joint '{joint.servo_label}': servo {joint.servo_id} gave no reading")


def _require_one_turn(joint: JointSpec, track: JointTrack) -> None:
    turn = joint.servo.ticks_per_turn
    if joint.mode != "extended_position" and track.span >= turn:
        raise CannotBeRightError(
            f"joint '{joint.name}' was turned {track.span / turn:.1f} times around, which no joint in mode "
            f"'{joint.mode}' can use: is the horn loose?"
        )


def _shaft_angle(joint: JointSpec, sign: int, raw: float) -> float:
    """Joint angle (rad) at a raw position if the offset were 0."""
    return sign * (raw - joint.servo.zero_tick) * joint.servo.radians_per_tick / joint.gear


def _radians(joint: JointSpec, ticks: float) -> float:
    return ticks * joint.servo.radians_per_tick / joint.gear


def _ticks(joint: JointSpec, radians: float) -> float:
    return radians * joint.gear / joint.servo.radians_per_tick
