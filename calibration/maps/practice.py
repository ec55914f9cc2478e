"""Practice for the observation map: the arm as it was fitted, pushed about as policies do.

A recording moves smoothly. A filter that is fitted to it alone averages noise away over its past, and what torques of
the last moments have begun it sees too late: a policy that acts 50 times a second swings the arm by that lag. So the
fitted arm is simulated under torques that change with every action (springs and dampers of many sizes towards poses of
the recording, and chance), harder where it was recorded faster, behind encoders that step and flicker and registers
that look back as the recording's do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.logs.log import Log
from calibration.logs.windows import encoder_noise
from calibration.maps.targets import Track, rubbed, simulator_torque
from calibration.physics.identify import heavier
from calibration.physics.motor import Motor
from calibration.physics.rollout import Arms, Rig
from robot_runtime.arrays import Flags, Floats

ARMS, SECONDS = 20, 6.0
FIRST = 1.5
"""s of a first motion, which shows how much harder to push towards the recording's speeds."""
ACTS = 0.02
"""s from one torque to the next, as policies act."""
STAYS = 1.0
"""s that a goal stays, on average."""
SPRING, DAMPING = (8.0, 25.0), (0.3, 2.0)
"""rad/s of the springs, and their damping, of the critical one: some of them swing."""
REACH, CHANCE = 0.15, 0.1
"""At first: rad from which on goals pull no harder; of a joint's acceleration limit, rms, in every torque."""
LEAST, MOST = 0.1, 2.0
"""Times these, afterwards."""
LONGEST = 0.1
"""s that a velocity register looks back, at most."""
STICKY = 0.15
"""Of the torque that a joint's acceleration limit takes: with more dry friction than that, a joint does not practise.
What torques have just begun hardly shows there, and a filter that looks for it reached 85 instead of 90 % on the
OpenMANIPULATOR-X (0.19 to 0.93; the pendulum, which gains, has 0.03 to 0.12).
"""
SEED = 7


def practice(
    rig: Rig, numbers: Mapping[str, Floats], volts: Floats, logs: Sequence[Log], period: float, lead: float
) -> tuple[Track, ...]:
    """Motions of the arm of these numbers (`Fitted.numbers`, open `volts`) as its own sensors show them.

    `logs`: whose poses are visited, and whose sensors are copied; `lead`: s from a reading to its command's effect.
    Only joints that do not stick count in them; none are made where all do.
    """
    counts = loose(rig, numbers)
    if not counts.any():
        return ()
    step = float(rig.world.model.opt.timestep)
    back = round(lookback(logs) / step)
    waits = round(lead / step)
    visited = np.concatenate([log.q[log.valid.all(axis=1)] for log in logs]) + numbers["offset"]
    recorded = np.nanstd(np.concatenate([np.where(log.valid, log.dq, np.nan) for log in logs]), axis=0)

    def moved(seconds: float, size: Floats) -> tuple[Floats, Floats]:
        return _move(rig, numbers, volts, visited, round(seconds / step), waits, back, size)

    first = np.diff(moved(FIRST, np.ones(len(recorded)))[0], axis=0) / step
    true, sent = moved(SECONDS, np.clip(recorded / first.std(axis=(0, 1)), LEAST, MOST))
    random = np.random.default_rng(SEED)
    at = np.rint(np.arange(LONGEST, (len(true) - waits - 1) * step, period) / step).astype(np.intp)  # readings
    shown = true - numbers["offset"]
    seen = shown[at] + flicker(rig, logs) * random.standard_normal(shown[at].shape)
    q = np.rint(seen / rig.laws.tick) * rig.laws.tick
    unit = np.array([joint.servo.units["velocity"].scale / joint.gear for joint in rig.world.joints])
    dq = np.rint((shown[at] - shown[at - back]) / (back * step) / unit) * unit
    lag = max(joint.servo.motor.velocity_lag for joint in rig.world.joints)
    looks = max(1, round(2.0 * lag / step))  # of the simulator's own register
    wanted = (shown[at + waits] - shown[at + waits - looks]) / (looks * step)
    return tuple(_track(period, q[:, i], dq[:, i], sent[at, i], wanted[:, i], counts) for i in range(ARMS))


def loose(rig: Rig, numbers: Mapping[str, Floats]) -> Flags:
    """Joints that do not stick."""
    pushed = rig.world.inertia * np.array([joint.limits.acceleration for joint in rig.world.joints])
    return np.asarray(numbers["coulomb"] < STICKY * pushed)


def lookback(logs: Sequence[Log]) -> float:
    """How far the velocity registers look back: the s over which a difference of position is most like them."""
    found = []
    for seconds in np.arange(0.004, LONGEST, 0.002):
        off = 0.0
        for log in logs:
            for i, good in enumerate(log.valid.T):  # a spike that is masked is no past, either
                time, q, dq = log.time[good], log.q[good, i], log.dq[good, i]
                past = time > log.time[0] + LONGEST  # there is something to look back at
                before = np.interp(time[past] - seconds, time, q)
                off += float(np.nansum(((q[past] - before) / seconds - dq[past]) ** 2))
        found.append((off, float(seconds)))
    return min(found)[1]


def flicker(rig: Rig, logs: Sequence[Log]) -> Floats:
    """Of each joint's encoder, rad rms, besides its steps; from the logs in which enough moves to tell."""
    noise = np.array([encoder_noise(log) for log in logs])
    mean = noise.sum(axis=0) / np.maximum((noise > 0.0).sum(axis=0), 1)
    return np.asarray(np.sqrt(np.maximum(mean**2 - rig.laws.rounding, 0.0)))


def _move(
    rig: Rig,
    numbers: Mapping[str, Floats],
    volts: Floats,
    visited: Floats,
    steps: int,
    waits: int,
    back: int,
    size: Floats,
) -> tuple[Floats, Floats]:
    """Where the joints truly were, and what was sent (steps x ARMS x joints each); `size`: of a joint's pushes."""
    random, joints, step = np.random.default_rng(SEED), rig.world.joints, float(rig.world.model.opt.timestep)
    each = {name: np.repeat([value], ARMS, axis=0) for name, value in numbers.items()}
    supply = np.repeat([volts], ARMS, axis=0)
    default = np.full_like(supply, np.nan)
    arms, laden = Arms(rig, each, supply, (default, default), np.zeros(ARMS)), heavier(rig, numbers)
    arms.q[:] = goal = visited[random.integers(len(visited), size=ARMS)]
    spring, damping = (a * (b / a) ** random.random((ARMS, 1)) for a, b in (SPRING, DAMPING))
    chance = CHANCE * np.array([joint.limits.acceleration for joint in joints]) * random.uniform(0.0, 1.0, (ARMS, 1))
    load, motor = numbers["load_friction"], Motor.of(rig.world).at(volts)
    acts, on = max(1, round(ACTS / step)), np.ones_like(supply, dtype=bool)
    true, sent = np.empty((2, steps, *supply.shape))
    for k in range(steps):
        true[k] = arms.q
        if k % acts == 0:
            fresh = random.random((ARMS, 1)) < ACTS / STAYS
            goal = np.where(fresh, visited[random.integers(len(visited), size=ARMS)], goal)
            speed = (true[k] - true[max(k - back, 0)]) / (back * step)
            pull = spring * (spring * np.clip(goal - true[k], -REACH * size, REACH * size) - 2.0 * damping * speed)
            pull += chance * size * random.standard_normal(supply.shape)
            net = simulator_torque(laden, true[k], speed, pull, friction=False)
            soon = speed + ACTS * pull  # friction is paid for, as torque maps do
            torque = rubbed(net, soon, numbers["coulomb"], numbers["viscous"], load)
            command = motor.command(np.clip(torque, -motor.limit, motor.limit), speed)
        sent[k] = command
        arms.step(sent[max(k - waits, 0)], on, true[k] - numbers["offset"])
    return true, sent


def _track(period: float, q: Floats, dq: Floats, command: Floats, wanted: Floats, counts: Flags) -> Track:
    """What an observation map is fitted to; the rest says nothing."""
    nothing, never = np.full_like(q, np.nan), np.zeros_like(q, dtype=bool)
    return Track(
        "practice", period, q, dq, command, nothing, nothing, nothing, nothing, nothing, never | counts, never, wanted
    )
