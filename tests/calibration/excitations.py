"""Small excitations, made without looking for anything: a few seconds of motion about home."""

from __future__ import annotations

import numpy as np

from calibration.excitation import Excitation, Segment, shapes
from calibration.excitation.segment import Gains
from calibration.excitation.stage import Stage
from robot_runtime.spec import ArmSpec

PERIOD = 0.005  # s


def around_home(spec: ArmSpec, joints: tuple[str, ...], reach: float = 0.25) -> Stage:
    home = np.array(spec.poses["home"])
    moved = np.array([reach if name in joints else 0.0 for name in spec.joint_names])
    limits = [j.limits for j in spec.joints]
    return Stage(
        home,
        home - moved,
        home + moved,
        0.2 * np.array([x.velocity for x in limits]),
        0.1 * np.array([x.acceleration for x in limits]),
        0.3 * np.array([x.jerk for x in limits]),
    )


def small(
    spec: ArmSpec,
    joints: tuple[str, ...],
    kinds: tuple[str, ...] = ("sweep", "chirp"),
    seconds: float = 3.0,
    gains: Gains | None = None,
    load: float = 0.0,
) -> Excitation:
    """One segment a kind; the last one in a part of its own if there are gains or a load (kg) for it."""
    stage = around_home(spec, joints)
    draw = {"sweep": shapes.sweep, "cruise": shapes.cruise, "chirp": shapes.chirp}
    segments = [
        Segment(
            f"{kind}-{k + 1}",
            kind,
            joints,
            draw[kind](stage, stage.moved, seconds, PERIOD),
            "other" if (gains or load) and k == len(kinds) - 1 else "",
        )
        for k, kind in enumerate(kinds)
    ]
    parts = {"other": gains} if gains else {}
    loads = {"other": load} if load else {}
    return Excitation(spec.name, spec.digest, "small", PERIOD, stage.start, tuple(segments), parts, loads)
