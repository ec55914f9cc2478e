"""Joints that a rig does not have stand still in its model: what they moved in, or stood elsewhere in, is not used.

A joint that was left out late had moved before; one that a log alone has columns of may move all the time. Simulated as
if it stood, its motion would turn up as masses and offsets of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.logs.load import Loaded, left_out
from calibration.logs.log import Log
from calibration.physics.joints import fitted_joints
from calibration.recording.gentler import MOVED
from robot_runtime.arrays import Flags, Floats
from robot_runtime.spec import ArmSpec

AROUND = 0.5
"""s before and after such a moment that are not used either: as long as a rollout."""


class NotModelledError(CalibrationError):
    """Logs in which joints that are not fitted moved all the time, or never stood where the model has them.

    Example scenarios:
        - A joint was blocked in the last segment, and all others moved it.
        - A mapping of one log lacks a joint that moves in all others.
    """

    exit_code = 1


def as_modelled(
    loaded: Sequence[Loaded], spec: ArmSpec, joints: Sequence[str]
) -> tuple[ArmSpec, list[Loaded], tuple[str, ...]]:
    """The arm to simulate these joints of, with the others at home where they stood (left out, or mostly); the logs
    without segments, and moments outside of segments, in which one of the others was elsewhere; and what was taken out,
    in words. A gripper that no law is known for may move.

    Raises:
        NotModelledError: nothing is left.
    """
    outside = [name for name in fitted_joints(spec) if name not in joints]
    spec = standing(spec, loaded, outside)
    home = dict(zip(spec.joint_names, spec.poses["home"], strict=True))
    kept, findings = [], []
    for one in loaded:
        off = {name: _off(one.log, name, home[name]) for name in outside if name in one.log.joints}
        apart = np.any([np.zeros(len(one.log)), *off.values()], axis=0)
        if not apart.any():
            kept.append(one)
            continue
        gone, spans = _gone(one, apart), tuple(s for s in one.spans if not apart[one.rows(s)].any())
        if not gone.all() and (spans or not one.spans):
            kept.append(replace(one, log=one.log.cut(np.flatnonzero(~gone)), spans=spans))
        else:
            gone[:] = True
        findings.append(_told(one, gone, off, home))
    if not kept:
        raise NotModelledError("nothing of these logs can be used:\n  " + "\n  ".join(findings))
    return spec, kept, tuple(findings)


def standing(spec: ArmSpec, loaded: Sequence[Loaded], joints: Sequence[str]) -> ArmSpec:
    """The arm with these joints at home where they were left out, or else where the logs mostly have them."""
    stood = {name: _mostly(loaded, name) for name in joints}
    stood |= {name: one.at for name, one in left_out(loaded).items()}
    at = {name: angle for name, angle in stood.items() if angle is not None}
    home = tuple(at.get(name, angle) for name, angle in zip(spec.joint_names, spec.poses["home"], strict=True))
    return replace(spec, poses={**spec.poses, "home": home}) if at else spec


def _mostly(loaded: Sequence[Loaded], joint: str) -> float | None:
    logs = [one.log.select([joint]) for one in loaded if joint in one.log.joints]
    seen = np.concatenate([np.zeros(0), *(log.q[log.valid] for log in logs)])
    return float(np.median(seen)) if len(seen) else None


def _off(log: Log, joint: str, home: float) -> Floats:
    """How far from home a joint stood, rad; 0 where nobody knows, or within what counts as standing."""
    i = log.joints.index(joint)
    far = np.where(log.valid[:, i], np.abs(log.q[:, i] - home), 0.0)
    return np.asarray(np.where(far > MOVED, far, 0.0))


def _gone(one: Loaded, apart: Flags) -> Flags:
    """Whole segments in which anything was apart, and what lies around other such moments."""
    time, inside, gone = one.log.time, np.zeros_like(apart), np.zeros_like(apart)
    for span in one.spans:
        rows = one.rows(span)
        inside |= rows
        gone |= rows & apart[rows].any()
    count = np.concatenate([[0], np.cumsum(apart & ~inside)])
    first, last = np.searchsorted(time, time - AROUND), np.searchsorted(time, time + AROUND, side="right")
    return np.asarray(gone | (~inside & (count[last] > count[first])))


def _told(one: Loaded, gone: Flags, off: dict[str, Floats], home: dict[str, float]) -> str:
    seconds = float(np.diff(one.log.time)[gone[1:]].sum())
    which = [s.name for s in one.spans if gone[one.rows(s)].any()]
    where = "; ".join(
        f"{name} was up to {far.max():.2f} rad from {home[name]:.3f} rad, where the model has it stand"
        for name, far in off.items()
        if far.any()
    )
    told = f" ({', '.join(which)})" if which else ""
    return f"{one.log.name}: {seconds:.0f} s{told} of {one.log.duration:.0f} s are not used: {where}"
