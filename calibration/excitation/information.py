"""How much an excitation would say of the numbers that a fit looks for: the fit's own Jacobian, before anything moves.

The log is imagined: the nominal arm follows the reference exactly, and its commands are those that make it do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.excitation.tracking import feedforward
from calibration.logs.windows import MARGIN, Windows
from calibration.physics.fit import KNOWN, Problem
from calibration.physics.numbers import KINDS, Physics
from calibration.physics.rollout import Rig
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec

ERROR = 0.005
"""rad, a rollout's usual error: what the twin's fits come down to."""
WINDOW = 0.5  # s
STEP, SAMPLE = 0.0025, 0.025
"""s, at most, of the simulation, and about, between two samples that count."""
FITTED = tuple(name for name in KINDS if name != "goal_speed")


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """What is known after a fit, in prior standard deviations. `matrix` is the data's alone."""

    labels: tuple[str, ...]
    matrix: Floats

    @property
    def gain(self) -> float:
        """By how much the posterior is smaller than the prior: half the log determinant, in nats."""
        return 0.5 * float(np.linalg.slogdet(self.matrix + np.eye(len(self.matrix)))[1])

    @property
    def condition(self) -> float:
        """Of the scaled Jacobian, over the directions that the data see at all (posterior below `KNOWN`)."""
        values = np.linalg.eigvalsh(self.matrix)
        seen = values[values > 1 / KNOWN**2 - 1]
        return float(np.sqrt(seen[-1] / seen[0])) if len(seen) else np.inf

    @property
    def seen(self) -> int:
        """Directions that the data see, of as many as there are parameters."""
        return int((np.linalg.eigvalsh(self.matrix) > 1 / KNOWN**2 - 1).sum())

    def __add__(self, other: Information) -> Information:
        """Of both together."""
        return Information(self.labels, self.matrix + other.matrix)


class Judge:
    """Knows an arm's parameters; says what a reference would tell of them."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, joints: Sequence[str], period: float) -> None:
        """`joints`: those that move."""
        self._spec, self._kinematics, self._period = spec, kinematics, period
        self._finer, self._coarser = int(np.ceil(period / STEP - 1e-9)), max(1, round(SAMPLE / period))
        self._rig = Rig.of(spec, tuple(joints), period / self._finer)
        self._physics = Physics(self._rig.world, FITTED)
        motors = [(j.servo.motor, j.gear) for j in spec.joints]
        self._constant = np.array([g * m.torque_constant for m, g in motors])
        self._ohms = np.array([m.resistance for m, _ in motors])
        self._volts = np.array([m.nominal_voltage for m, _ in motors])

    def nothing(self) -> Information:
        """Before any data."""
        return Information(self._physics.labels, np.zeros((len(self._physics), len(self._physics))))

    def of(self, q: Floats, stride: float = WINDOW) -> Information:
        """What this reference (samples x joints, rad) would tell. `stride`: s from window to window."""
        windows = self._windows(q, round(stride / self._period))
        problem = Problem(self._rig, self._physics, windows, np.full(windows.q.shape[2], ERROR))
        jacobian = problem.jacobian(np.zeros(len(self._physics)))[: -len(self._physics)]
        return Information(self._physics.labels, (stride / WINDOW) * jacobian.T @ jacobian)

    def _commands(self, q: Floats) -> Floats:
        """What makes the nominal arm do this, in the unit of each joint's mode: samples x joints of the rig."""
        torque = feedforward(self._spec, self._kinematics, q, self._period, friction=1.0)
        speed = np.gradient(q, self._period, axis=0)
        index, laws = self._rig.world.index, self._rig.laws
        duty = ((torque / self._constant * self._ohms + self._constant * speed) / self._volts)[:, index]
        gain = np.where(laws.position, laws.default_p * laws.p_unit, 1.0)
        return np.where(laws.position, q[:, index] + duty / gain, np.where(laws.current, torque[:, index], duty))

    def _windows(self, q: Floats, stride: int) -> Windows:
        finer, coarser, index = self._finer, self._coarser, self._rig.world.index
        step, every = self._period / finer, finer * coarser
        samples, margin = round(WINDOW / self._period), int(np.ceil(MARGIN / step))
        sent = np.repeat(self._commands(q), finer, axis=0)
        sent = np.concatenate([np.repeat(sent[:1], margin, axis=0), sent, np.repeat(sent[-1:], margin, axis=0)])
        integral = np.concatenate([np.zeros((1, len(index))), np.cumsum(sent * step, axis=0)])
        speed = np.gradient(q, self._period, axis=0)
        begins = np.arange(0, len(q) - samples - 1, stride)
        rows = begins[:, None] + np.arange(0, samples + 1, coarser)
        fine = begins[:, None] * finer + np.arange(samples * finer + 2 * margin + 1)
        count, joints = len(begins), len(index)
        shape = (*rows.shape, joints)
        unsaid = np.full((count, joints), np.nan)
        return Windows(
            step, every, margin, q[rows][..., index], speed[rows][..., index], np.ones(shape), integral[fine],
            np.ones((*fine.shape, joints), dtype=bool), unsaid, (unsaid, unsaid), np.arange(count),
            np.zeros(count, dtype=np.intp), np.asarray(begins * self._period, dtype=np.float64), np.zeros(count),
            np.zeros_like(unsaid),
        )  # fmt: skip
