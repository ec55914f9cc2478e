"""How far the tip may be from where it is taken to be: what joint data do not tell of offsets, at the tip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.physics.fit import TWO_SIGMA, Fitted
from calibration.physics.rollout import Rig
from robot_runtime.arm import Kinematics

WORTH_SAYING = 0.005
"""m: policies that reach do so within as much."""


@dataclass(frozen=True, slots=True)
class TipDoubt:
    """At the pose 'home'."""

    reach: float  # m, 95 %, in the worst direction
    joints: tuple[str, ...]  # whose offsets alone make as much as is worth saying, the worst first

    @property
    def text(self) -> str:
        """For people; empty where there is nothing to do."""
        if self.reach < WORTH_SAYING:
            return ""
        whose = f" of {', '.join(self.joints)}" if self.joints else ""
        return (
            f"offsets are known so well that the tip is within {self.reach * 1e3:.0f} mm (95 %, at 'home') of where it "
            f"is taken to be: settle the zeros{whose} with robot-setup zero (best with --stops), then record again"
        )


def tip_doubt(fitted: Fitted, rig: Rig) -> TipDoubt:
    """From the covariance of the offsets that were fitted; of the others nothing is known here."""
    entries, spec = fitted.physics.entries, rig.world.spec
    rows = [i for i, entry in enumerate(entries) if entry.kind.name == "offset"]
    spread = np.array([entries[i].spread for i in rows])
    covariance = fitted.covariance[np.ix_(rows, rows)] * np.outer(spread, spread)  # rad²
    jacobian = Kinematics(spec).tip_jacobian(np.array(spec.poses["home"]))
    moves = jacobian[:, [rig.world.index[entries[i].joint] for i in rows]]  # m/rad
    far = TWO_SIGMA * np.sqrt(max(float(np.linalg.eigvalsh(moves @ covariance @ moves.T)[-1]), 0.0))
    alone = TWO_SIGMA * np.linalg.norm(moves, axis=0) * np.sqrt(np.diag(covariance))
    worst = [k for k in np.argsort(-alone) if alone[k] >= WORTH_SAYING]
    return TipDoubt(far, tuple(rig.world.names[entries[rows[k]].joint] for k in worst))
