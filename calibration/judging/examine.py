"""Does a log speak of this arm, and of enough? Everything that a fit would otherwise hide in strange numbers.

Position joints must follow their own commands (`align`). Torque and PWM joints must turn as their motors push: what the
arm's model says that the motion took is compared with what the commands gave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.judging.align import CLEAR, LATEST, MOVED, check_law, follow
from calibration.judging.sizes import wrong_sizes
from calibration.logs.clean import GAP, unusable
from calibration.logs.load import Loaded
from calibration.logs.log import Log
from calibration.maps.targets import MOVING, Track, track
from calibration.physics.law import POSITION_MODES
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.identity import Identity
from robot_runtime.preflight.gains import beyond_p_and_d, line_without, told

PERIOD = 0.01  # s, of the samples that are compared
SHORTEST = 15.0
"""s that each joint must have moved, all logs together: half of what a quick recording gives."""
STUCK = 0.01
"""rad of range within which a joint stands still."""
PUSHED = 2.0
"""Times its nominal dry friction that a torque must have reached for a joint that stands still to count as stuck."""
BLOCK, TURNED = 0.1, 0.005
"""s over which angles and speed registers are compared, and rad (rms) that a joint must turn in that time."""
SPEED = (0.5, 2.0)
"""Times what the angles say: a register outside is in another unit. Real ones were at 0.95 to 1.06."""
SURE = 0.15
"""By how much better another joint's command must explain a motion to say that two are swapped."""


class RefusedLogError(CalibrationError):
    """Logs that cannot be what they are said to be; the message lists every reason, and what to do.

    Example scenarios:
        - A sign in arm.toml is wrong, or two servos' IDs are swapped.
        - A joint was blocked, or its cable was loose.
        - The log is of another arm.
    """

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a torque or PWM joint turns under its commands."""

    joint: str
    correlation: float  # of the torque that the motion took and the one that was commanded, at the best lag
    best: str  # whose command explains the motion best

    @property
    def problem(self) -> str:
        """What is wrong; empty: nothing."""
        if self.best != self.joint:
            return f"{self.joint} turns as the command of {self.best} says: are their servos or columns swapped?"
        if self.correlation < -CLEAR:
            return f"{self.joint} turns against its command: is its sign, or its column's, wrong?"
        if self.correlation < CLEAR:
            return f"{self.joint} does not turn as its command says: is it blocked, loose, or another arm's?"
        return ""


def examine(loaded: Sequence[Loaded], rig: Rig, shortest: float = SHORTEST) -> tuple[str, ...]:
    """What was found odd but can be worked with, in words. `shortest`: s that each joint must have moved.

    Raises:
        RefusedLogError: the logs cannot be fitted; every reason is named.
    """
    wrong = _identities(loaded, rig)
    names = rig.world.names
    logs = [one.log.select(names) for one in loaded]
    wrong += _beyond_the_law(logs, rig)
    for log in logs:
        wrong += [f"{log.name}: {reason}" for reason in _reasons(log, rig)]
    if not wrong:
        wrong += _too_short(logs, names, shortest)
    if wrong:
        raise RefusedLogError("these logs cannot be fitted:\n  " + "\n  ".join(wrong))
    return tuple(f"{log.name}: {finding}" for log in logs for finding in log.findings)


def _identities(loaded: Sequence[Loaded], rig: Rig) -> list[str]:
    """What stands against these logs being of one arm, the arm file's, as it was throughout."""
    found = [(one.log.name, one.identity) for one in loaded if one.identity is not None]
    if not found:
        return []
    wrong = []
    ours = Identity.of_spec(rig.world.spec)
    for name, identity in found:
        if identity.spec != ours.spec:
            wrong.append(f"the log is of a '{identity.spec}', the arm file of a '{ours.spec}': give the right --arm")
        elif identity.mjcf_digest != ours.mjcf_digest:
            wrong.append(
                f"the arm's MJCF has changed since {name} was recorded: record again, or use the files of that day"
            )
    begun, first = found[0]
    for name, other in found[1:]:
        if (first.name, first.adapter) != (other.name, other.adapter):
            names = " and ".join(f"'{i.name}'" + (f" ({i.adapter})" if i.adapter else "") for i in (first, other))
            wrong.append(f"logs of two arms, {names}: calibrate each with its own")
        elif (first.spec, first.mjcf_digest) == (other.spec, other.mjcf_digest):
            changed = [
                f"{what} {now}, not {was}" for what, now, was in _of_servos(first).differences(_of_servos(other))
            ]
            if changed:
                wrong.append(
                    f"between {begun} and {name} the arm was changed: {'; '.join(changed)}: fit each by itself, or "
                    "record again (a homing offset changes when robot-setup zero is run)"
                )
    return list(dict.fromkeys(wrong))


def _of_servos(identity: Identity) -> Identity:
    """Without gains: a recording may have a part with others, which its log says."""
    return replace(identity, joints=tuple(replace(joint, gains={}) for joint in identity.joints))


def _beyond_the_law(logs: Sequence[Log], rig: Rig) -> list[str]:
    """Joints, once each, whose position loop had more than the P and D gains that are simulated: what an I gain holds
    would be found in torque constant, friction and masses, far outside of their intervals.
    """
    found: dict[str, str] = {}
    for log in logs:
        for joint, gains in zip(rig.world.joints, log.gains, strict=True):
            if (more := beyond_p_and_d(joint, gains)) and joint.name not in found:
                found[joint.name] = (
                    f"{log.name}: {joint.name} had {told(more)}, and a fit knows P and D gains alone: write "
                    f"{line_without(joint, more)} at joint '{joint.name}' in {rig.world.spec.path.name} and record "
                    "again (logs of others: their mapping says which gains they were made with)"
                )
    return list(found.values())


def _reasons(log: Log, rig: Rig) -> list[str]:
    if sizes := wrong_sizes(log, rig.world.joints):  # all else would follow from it
        return sizes
    if reason := unusable(log):
        return [reason]
    found = [f.problem for f in follow(log) if f.problem]
    found += [law.problem for law in check_law(log, rig.laws) if law.problem]
    speeds = _speeds(log)
    stuck = _stuck(log, rig)
    found += [*speeds, *stuck.values()]
    if speeds:  # by such a clock or such angles nobody can tell what the motion took
        return found
    return found + [p.problem for p in pushed(log, rig) if p.problem and p.joint not in stuck]


def _speeds(log: Log) -> list[str]:
    """Joints whose speed register does not speak of their angles."""
    spans = np.diff(log.time, prepend=log.time[:1])
    usual = float(np.median(spans[1:]))
    reach = max(1, min(round(BLOCK / usual), len(log) // 100))
    found = []
    for i, joint in enumerate(log.joints):
        good = log.valid[:, i] & np.isfinite(log.dq[:, i])
        dq, rows = np.where(good, log.dq[:, i], 0.0), np.arange(0, len(log), reach)
        turned = np.concatenate([[0.0], np.cumsum(np.diff(log.time) * (dq[1:] + dq[:-1]) / 2)])
        whole = np.diff(np.cumsum(~good | (spans > GAP * usual))[rows]) == 0  # nobody knows what it did in a gap
        by_angle, by_speed = np.diff(log.q[rows, i])[whole], np.diff(turned[rows])[whole]
        size = by_angle @ by_angle
        if len(by_angle) < 20 or max(size, by_speed @ by_speed) < len(by_angle) * TURNED**2:
            continue
        factor = float(by_angle @ by_speed / max(size, 1e-12))
        if not SPEED[0] < factor < SPEED[1]:
            found.append(
                f"{joint}: its speed is {factor:.2g} times what its angles say: unit or sign of speed, angle or time?"
            )
    return found


def _stuck(log: Log, rig: Rig) -> dict[str, str]:
    """Torque joints that were pushed and did not move."""
    found = {}
    dry = np.array(rig.world.model.dof_frictionloss)
    for i, joint in enumerate(log.joints):
        good = log.valid[:, i] & log.torque_on[:, i]
        if log.modes[i] in POSITION_MODES or not good.any() or np.ptp(log.q[good, i]) > STUCK:
            continue
        given = _motor_torque(log, rig, log.command[good], log.q[good] * 0.0)[:, i]
        if np.ptp(given) > PUSHED * dry[i]:
            found[joint] = (
                f"{joint} was pushed with up to {np.abs(given).max():.2f} N·m and did not move: is it blocked?"
            )
    return found


def _motor_torque(log: Log, rig: Rig, command: Floats, dq: Floats) -> Floats:
    """N·m that nominal motors make of commands."""
    laws = rig.laws
    resistance = np.array([j.servo.motor.resistance for j in rig.world.joints])
    by_duty = (command * laws.nominal_volts - laws.constant * dq) * laws.constant / resistance
    return np.asarray(np.where([mode == "pwm" for mode in log.modes], by_duty, command))


def pushed(log: Log, rig: Rig) -> list[Pushed]:
    """Of all torque and PWM joints that moved."""
    joints = [i for i, mode in enumerate(log.modes) if mode not in POSITION_MODES and _moved(log, i)]
    if not joints:
        return []
    grid = track(rig.loaded(log.load), log, PERIOD, np.zeros(len(log.joints)))
    given = _motor_torque(log, rig, grid.command, grid.true_dq)
    found = []
    for i in joints:
        scores = {j: _agreement(grid, given[:, j], i) for j in joints}
        best = max(scores, key=lambda j: abs(scores[j]))
        swapped = best != i and abs(scores[best]) > abs(scores[i]) + SURE
        found.append(Pushed(log.joints[i], scores[i], log.joints[best if swapped else i]))
    return found


def _moved(log: Log, i: int) -> bool:
    good = log.valid[:, i] & log.torque_on[:, i]
    return bool(good.sum() > 20 and np.std(log.q[good, i]) >= MOVED)


def _agreement(grid: Track, given: Floats, i: int) -> float:
    """Correlation with what joint i's motion took, at the lag where it is largest."""
    good = grid.usable[:, i] & (np.abs(grid.true_dq[:, i]) > MOVING) & np.isfinite(given)
    best = 0.0
    for shift in range(round(LATEST / 2 / grid.period)):
        rows = np.flatnonzero(good[shift:])
        if len(rows) < 20:
            break
        a, b = given[rows], grid.torque[shift:, i][rows]
        fine = np.isfinite(a)
        if fine.sum() > 20 and np.std(a[fine]) > 0 and np.std(b[fine]) > 0:
            value = float(np.corrcoef(a[fine], b[fine])[0, 1])
            best = max(best, value, key=abs)
    return best


def _too_short(logs: Sequence[Log], names: Sequence[str], shortest: float) -> list[str]:
    found = []
    for i, name in enumerate(names):
        seconds = sum(_seconds_of_motion(log, i) for log in logs)
        if seconds < shortest:
            found.append(
                f"{name} moved for {math.floor(10 * seconds) / 10:g} s, which is too little to fit it (at least "
                f"{shortest:g} s): half a log? `robot-calibrate record` takes about a minute; it can be resumed"
            )
    return found


def _seconds_of_motion(log: Log, i: int) -> float:
    """Time in which the joint was on its way: it turned within half a second before or after."""
    good = log.valid[:, i] & log.torque_on[:, i]
    if good.sum() < 2:
        return 0.0
    period = float(np.median(np.diff(log.time)))
    reach = max(1, round(0.5 / period))
    q = np.where(good, log.q[:, i], np.nan)
    blocks = [q[k : k + reach] for k in range(0, len(q), reach)]
    moving = sum(
        len(b) for b in blocks if np.isfinite(b).sum() > reach // 2 and np.nanmax(b) - np.nanmin(b) > STUCK / 2
    )
    return moving * period
