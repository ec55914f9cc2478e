"""Redraw: what is still to be flown of an excitation, on another stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calibration.excitation.plan import Maker
from calibration.excitation.segment import Excitation
from calibration.excitation.stage import Stage
from robot_runtime.spec import ArmSpec


def redraw(excitation: Excitation, spec: ArmSpec, stage: Stage, done: Sequence[str]) -> Excitation:
    """The same segments but those that are done, which stay as they were flown: drawn anew on this stage.

    Joints that do not move there drop out, and so do segments that nobody moves in then, and replays: what a policy
    does cannot be drawn otherwise.

    Raises:
        CalibrationError: the arm cannot be moved like this; the message says why.
    """
    maker = Maker(spec, stage, excitation.period)
    names = {spec.joints[i].name: int(i) for i in stage.moved}
    for segment in excitation.without(done).segments:
        moved = [names[name] for name in segment.joints if name in names]
        if not moved or segment.kind == "replay":
            continue
        maker.carry(excitation.loads.get(segment.part, 0.0))
        maker.make(segment.name, segment.name, segment.duration(excitation.period), segment.part, moved)
    made = {segment.name: segment for segment in maker.segments}
    segments = [made.get(s.name, s) for s in excitation.segments if s.name in made or s.name in done]
    return replace(excitation, start=stage.start, segments=tuple(segments), notes=maker.notes())
