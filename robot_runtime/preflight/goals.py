"""The angles that a policy can ask for, as its contract says, against those that the arm can turn to."""

from __future__ import annotations

import numpy as np

from robot_runtime.policy.contract import Action
from robot_runtime.preflight.table import Check
from robot_runtime.spec import ArmSpec

WIDE = 6.0
"""Times a joint's whole range that a policy may ask for without a word: many were trained with no thought of an end."""


def goals_beyond(action: Action, spec: ArmSpec) -> Check | None:
    """Goals that a joint can never be at, or hardly ever: somebody's degrees; the envelope would stop it at its limits.

    Of outputs that nothing clips, what 0 means is all that is known.
    """
    if action.meaning != "position":
        return None
    out = np.array(action.clip if action.clip else (0.0, 0.0))
    count = len(action.joints)
    scale, offset = (np.broadcast_to(v, count) for v in (action.scale, action.offset))
    ends = np.sort(out[:, None] * scale + offset, axis=0)
    if action.low:
        ends = np.maximum(ends, np.broadcast_to(action.low, count))
    if action.high:
        ends = np.minimum(ends, np.broadcast_to(action.high, count))
    never, wide = [], []
    for name, low, high in zip(action.joints, *ends.tolist(), strict=True):
        limits = spec.joints[spec.joint_names.index(name)].limits if name in spec.joint_names else None
        if limits is None:
            continue  # `belongs` says so
        asks = f"{name}: {low:.3g}" + (f" to {high:.3g}" if high > low else "")
        asks += f" rad of {limits.lower:.3g} to {limits.upper:.3g}"
        if high < limits.lower or low > limits.upper:
            never.append(asks)
        elif high - low > WIDE * (limits.upper - limits.lower):
            wide.append(asks)
    if not (never or wide):
        return None
    return Check(
        "policy: goals",
        ok=False if never else None,
        found="; ".join(never or wide),
        wanted="goals that the joints can be at",
        advice="correct action.scale and action.offset of the contract: are they degrees? rad are meant",
    )
