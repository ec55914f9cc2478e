"""The maps of an arm: which there are, what residual each ships with, and what they score on what was held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from calibration.logs.log import Log
from calibration.logs.splits import Split, Unit
from calibration.logs.windows import SLOPE_REACH, encoder_noise
from calibration.maps.export import goal_file, observation_file, torque_file
from calibration.maps.fit import (
    GOAL_HISTORY,
    SENSE_HISTORY,
    TORQUE_HISTORY,
    Part,
    fit_observation_map,
    fit_torque_map,
    goal_inputs,
    lags_of,
    make_goal_map,
    sense_inputs,
    sense_scores,
    torque_inputs,
    torque_scores,
    whole,
)
from calibration.maps.modules import GoalMap, ObservationMap, TorqueMap
from calibration.maps.practice import flicker, loose, practice
from calibration.maps.residuals import LEVELS, Choice, choose
from calibration.maps.targets import Track, track
from calibration.maps.training import Budget
from calibration.physics.fit import Fitted
from calibration.physics.identify import heavier
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import MapFile

EPOCHS = 40
"""Of the networks' training; twice as many take away 2 % more."""
UNSEEN = 6
"""Motions of practice that no map is fitted to."""
STANDS = 2.0
"""Times its encoder's flicker, steps included, that a standing joint's angles lie apart; at least one step."""
EXPORTED = 400
"""Samples that an exported map is compared on with what was fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """Fitted maps and their figures."""

    observation: ObservationMap
    torque: TorqueMap | None  # of torque and PWM joints
    goal: GoalMap | None  # of position joints
    choices: Mapping[str, Choice]  # map -> its residual
    errors: Mapping[str, Floats]  # map -> what is left over of what was held out, a joint's, over its spread
    tracks: tuple[Track, ...]
    volts: Floats  # V, of each joint's supply without load
    lead: float  # s from a reading to the effect of what a policy makes of it
    period: float


class MapStage:
    """Tracks of all logs, made once; parts of them for any split."""

    def __init__(self, rig: Rig, logs: Sequence[Log], fitted: Fitted, volts: Floats, period: float) -> None:
        """`logs`: of the rig's joints."""
        self.rig, self.volts, self.period = rig, volts, period
        self.numbers = fitted.numbers()
        self.lead = max(float(self.numbers["delay"][0]), 0.0)
        # The simulator's register looks back; the map shows what it would show once the command has its effect.
        lag = max(joint.servo.motor.velocity_lag for joint in rig.world.joints)
        carrying = {log.load: rig.loaded(log.load) for log in logs}
        self.tracks = tuple(
            self._weighed(
                track(carrying[log.load], log, period, self.numbers["offset"], delay=self.lead, ahead=self.lead - lag),
                carrying[log.load],
                fitted,
            )
            for log in logs
        )
        self._begins = [float(log.time[0]) for log in logs]
        self._logs = logs
        # A policy's torques push joints about; goals, which servos follow on their own, hardly do.
        by_torque = not rig.laws.position.any()
        self._practice = practice(rig, self.numbers, volts, logs, period, self.lead) if by_torque else ()
        apart = np.maximum(rig.laws.tick, STANDS * np.sqrt(flicker(rig, logs) ** 2 + rig.laws.rounding))
        # Torques are what friction takes up; a servo that follows a goal pulls until it is there.
        self.still: Floats = np.where(loose(rig, self.numbers) | rig.laws.position, 0.0, apart)
        # What ships was chosen by its score: it was fitted then.
        self._observations: dict[tuple[tuple[Unit, ...], str], ObservationMap] = {}
        self._torques: dict[tuple[Unit, ...], dict[str, TorqueMap]] = {}

    def _weighed(self, made: Track, rig: Rig, fitted: Fitted) -> Track:
        """With what the simulator's arm weighs, and what this one weighs more."""
        weight = weights(rig.world.model, made.true_q)
        made = replace(made, weight=weight)
        if not {"link_mass", "payload"} & {e.kind.name for e in fitted.physics.entries}:
            return made
        arm = heavier(rig, self.numbers).world.model
        return replace(made, extra=weights(arm, made.true_q) - weight)

    def parts(self, units: Sequence[Unit]) -> list[Part]:
        """These units' samples of the tracks."""
        found: list[Part] = []
        for unit in units:
            log, made = self._logs[unit.log], self.tracks[unit.log]
            where = np.flatnonzero(unit.rows)
            at = self._begins[unit.log] + np.arange(len(made)) * self.period
            rows = np.asarray((at >= log.time[where[0]]) & (at <= log.time[where[-1]]))
            found.append((made, rows))
        return found

    def observation(self, units: tuple[Unit, ...], level: str) -> ObservationMap:
        """The observation map of these units."""
        if (units, level) not in self._observations:
            self._observations[units, level] = fit_observation_map(
                self.rig,
                self.numbers,
                self.parts(units),
                practised=self._practice[:-UNSEEN],
                lead=self.lead,
                still=self.still,
                linear=level != LEVELS[0],
                network=level == LEVELS[2],
                budget=Budget(epochs=EPOCHS),
            )
        return self._observations[units, level]

    def torque(self, units: tuple[Unit, ...], level: str) -> TorqueMap:
        """The torque map of these units; all its levels stand on the same physics."""
        found = self._torques.setdefault(units, {})
        if level not in found:
            found[level] = fit_torque_map(
                self.rig,
                self.numbers,
                self.parts(units),
                self.volts,
                linear=level != LEVELS[0],
                network=level == LEVELS[2],
                tuned=next(iter(found.values()), None),
                budget=Budget(epochs=EPOCHS),
            )
        return found[level]

    def observation_score(self, split: Split, level: str) -> Floats:
        """Velocity error over the velocity's spread, a joint's: on what the split holds out, and on practice that no
        map is fitted to, as much of one as of the other.
        """
        found = self.observation(split.train, level)
        recorded = self.velocity_error(found, split)
        if not self._practice:
            return recorded
        spread = np.std(np.concatenate([one.wanted_dq for one in self._practice]), axis=0)
        practised = sense_scores(found, [whole(one) for one in self._practice[-UNSEEN:]])["map"] / spread
        both = np.hypot(recorded, practised) / np.sqrt(2.0)
        return np.where(np.isfinite(practised), both, recorded)  # joints that stick do not practise

    def velocity_error(self, found: ObservationMap, split: Split) -> Floats:
        """Velocity error over the velocity's spread, a joint's, on what the split holds out of the recording."""
        scores = sense_scores(found, self.parts(split.test))
        return np.asarray(scores["map"] / scores["spread"])

    def flicker(self, split: Split) -> Floats:
        """Of the velocity's spread on what the split holds out, a joint's: the error that an encoder's flicker makes of
        a line through the angles about a moment.
        """
        parts = self.parts(split.test)
        seen = np.concatenate([np.where(t.usable, t.wanted_dq, np.nan)[rows] for t, rows in parts])
        noise = np.mean([encoder_noise(self._logs[unit.log]) for unit in split.test], axis=0)
        samples = round(SLOPE_REACH / self.period)
        lever = self.period * np.sqrt(2.0 * np.sum(np.arange(1, samples + 1) ** 2))
        return np.asarray(noise / lever / np.nanstd(seen, axis=0))

    def torque_score(self, split: Split, level: str) -> Floats:
        """Squared command error over the command's variance, a joint's."""
        return self.command_error(self.torque(split.train, level), split)

    def command_error(self, found: TorqueMap, split: Split) -> Floats:
        """The same, of a map."""
        return torque_scores(found, self.parts(split.test), self.volts)["map"]


def weights(model: object, poses: Floats) -> Floats:
    """N·m that hold an arm in these poses."""
    data = mujoco.MjData(model)
    found = np.empty_like(poses)
    for row, q in enumerate(poses):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_crb(model, data)
        mujoco.mj_rne(model, data, 0, found[row])
    return found


def fit_maps(stage: MapStage, splits: Sequence[Split], progress: Callable[[str], None] = lambda _: None) -> Mapped:
    """Choose each map's residual on all splits, and fit it to the first one's training side."""
    rig = stage.rig
    progress("observation map")
    choices = {"observation": choose(stage.observation_score, splits)}
    observation = stage.observation(splits[0].train, choices["observation"].level)
    errors = {"observation": stage.velocity_error(observation, splits[0])}
    torque, goal = None, None
    if rig.laws.position.all():
        goal = make_goal_map(rig, stage.numbers, stage.period)
    elif not rig.laws.position.any():
        progress("torque map")
        choices["torque"] = choose(stage.torque_score, splits)
        torque = stage.torque(splits[0].train, choices["torque"].level)
        errors["torque"] = stage.command_error(torque, splits[0])
    return Mapped(observation, torque, goal, choices, errors, stage.tracks, stage.volts, stage.lead, stage.period)


def files_of(mapped: Mapped, rig: Rig) -> dict[str, MapFile]:
    """As they go into arm.cal; each is proven to compute what was fitted.

    Raises:
        MapExportError: it does not.
    """
    joints, period = rig.world.names, mapped.period
    longest = max(mapped.tracks, key=len)
    rows = np.linspace(0, len(longest) - 1, EXPORTED).astype(np.intp)
    sense = np.nan_to_num(sense_inputs(longest, lags_of(SENSE_HISTORY, period))[rows])
    files = {"observation": observation_file(mapped.observation, sense, joints, period)}
    if mapped.torque is not None:
        pushed = np.nan_to_num(torque_inputs(longest, lags_of(TORQUE_HISTORY, period), mapped.volts)[rows])
        files["torque"] = torque_file(mapped.torque, pushed, joints, period)
    if mapped.goal is not None:
        moved = np.nan_to_num(goal_inputs(longest, lags_of(GOAL_HISTORY, period), mapped.volts)[rows])
        files["goal"] = goal_file(mapped.goal, moved, joints, period)
    return files
