"""Plan: from an arm's files to an excitation that it can fly, and that says as much as its time allows.

Shapes are drawn on the arm's stage, rehearsed against its envelope, and drawn calmer where that would interfere. Of
many Fourier series the one is kept that tells the fit most beyond what the segments before it have told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.excitation import shapes
from calibration.excitation.information import Information, Judge
from calibration.excitation.rehearsal import Rehearsal, Rehearsed
from calibration.excitation.segment import CHECK, Excitation, Gains, Segment
from calibration.excitation.stage import NoStageError, Stage, find_stage
from calibration.physics.law import POSITION_MODES, default_gains
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec

Joints = Sequence[int] | npt.NDArray[np.intp]

RATE = 200.0
"""Hz of the bus, as robot-run's own; a slow adapter needs less."""
RATES = (50.0, 1000.0)
"""Hz that a bus keeps, and in which a fit sees a speed: slopes are laid through 40 ms."""
LEVELS = ("quick", "full")
SECOND = "second-gains"
"""The part with other gains, for arms whose servos have any."""
LOADED = "loaded"
"""The part with a known weight at the tip: what that changes tells masses from torques, and offsets from a payload."""
GAIN_SHARE = 0.6
"""Of the position P gain in that part: far enough for another step response, and the arm does not sag much deeper."""

Times = tuple[tuple[str, float], ...]

_QUICK: Times = (
    ("sweep-1", 14.0),
    ("cruise-1", 9.0),
    ("fourier-1", 13.0),
    ("chirp-1", 10.0),
    ("fourier-2" + CHECK, 12.0),
)
_QUICK_BARE: Times = (
    ("sweep-1", 11.0),
    ("cruise-1", 7.0),
    ("fourier-1", 9.0),
    ("chirp-1", 7.0),
    ("fourier-2" + CHECK, 8.0),
)
_QUICK_LOADED: Times = (("sweep-4", 8.0), ("fourier-4", 9.0))
_FULL: Times = (
    ("sweep-1", 26.0),
    ("cruise-1", 16.0),
    *((f"fourier-{i}", 18.0) for i in range(1, 7)),
    ("chirp-1", 14.0),
    ("chirp-2", 14.0),
    ("fourier-7" + CHECK, 18.0),
)
_FULL_SECOND: Times = (
    ("sweep-2", 22.0),
    ("cruise-2", 14.0),
    ("fourier-8", 18.0),
    ("chirp-3", 12.0),
    ("fourier-9" + CHECK, 16.0),
)
_FULL_LOADED: Times = (("sweep-4", 22.0), ("fourier-10", 18.0), ("fourier-11", 18.0), ("fourier-12" + CHECK, 16.0))
_TIMES: Mapping[tuple[str, bool], tuple[Times, Times]] = {
    ("quick", False): (_QUICK, ()),
    ("quick", True): (_QUICK, (("sweep-3", 10.0), ("fourier-3", 10.0))),
    ("full", False): (_FULL, _FULL_SECOND),
    ("full", True): (_FULL, _FULL_SECOND),
}
"""Level, and whether there are second gains -> segments before, and with them: names (the kind in front) and s."""
_WITH_LOAD: Mapping[str, tuple[Times, Times]] = {"quick": (_QUICK_BARE, _QUICK_LOADED), "full": (_FULL, _FULL_LOADED)}
"""Level -> segments before, and with the weight. Quick stays a minute; in full the weight is a minute more."""
REPLAYED = {"quick": 12.0, "full": 30.0}  # s of a policy's motion
ALONE = 2.0
"""Times a joint's share of a segment's time that it gets when joints move one by one; 6 s at least."""
SHORTEST = 6.0

DRAWN = 8
"""Fourier series of which the best is kept."""
STRIDE = 2.0  # s from window to window when they are judged
CALM = 0.8
"""Of its speed that a joint keeps whose commands the envelope would change."""
TRIES = 8
CHANGED = 0.002
"""Share of cycles in which it may."""
TOUCHING = 0.012
"""m: a segment that comes closer is not flown."""


class NotFreeError(CalibrationError):
    """A motion that the arm cannot make without coming too near to something, or without its envelope interfering.

    Example scenarios:
        - A policy's replay passes close to the table.
    """


def plan(
    spec: ArmSpec,
    level: str = "quick",
    *,
    rate: float = RATE,
    joints: Sequence[str] | None = None,
    one_by_one: bool = False,
    gains: bool | None = None,
    payload: float = 0.0,
    policy: Path | None = None,
    drawn: int = DRAWN,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Excitation:
    """An excitation of about 60 s of motion (`quick`) or 5 minutes (`full`).

    `rate` (Hz): of the bus. `joints`: those that move (default: all whose law is known). `gains`: record a part with
    other P gains too (default: in `full`, where joints have such a gain). `payload` (kg): record a part with this
    weight at the tip too. `policy`: replay what it does in simulation. `drawn`: Fourier series of which the best is
    kept. `tell` hears what is being done.

    Raises:
        CalibrationError: the arm cannot be moved like this; the message says why.
    """
    if level not in LEVELS:
        raise CalibrationError(f"no level '{level}'; there are {', '.join(LEVELS)}")
    if not RATES[0] <= rate <= RATES[1]:
        raise CalibrationError(f"--rate {rate:g}: cycles of the bus a second, from {RATES[0]:g} to {RATES[1]:g}")
    if seed < 0:
        raise CalibrationError(f"--seed {seed}: a whole number from 0 on")
    second = _second_gains(spec) if (level == "full" if gains is None else gains) else {}
    if gains and not second:
        raise CalibrationError(f"{spec.path}: no joint has a position P gain to change")
    loaded = replace(spec, load=payload)
    tell("looking for room")
    try:
        stage = find_stage(loaded, Kinematics(loaded), joints)
    except NoStageError as error:
        if not payload:
            raise
        raise NoStageError(f"with {payload * 1e3:.0f} g at the tip: {error}; or take a lighter weight") from error
    maker = Maker(spec, stage, 1.0 / rate, seed, drawn, tell)
    first, then = _TIMES[level, bool(second)]
    bare, heavy = _WITH_LOAD[level] if payload else (first, ())
    for wanted, part in ((bare, ""), (then, SECOND if second else "")):
        for name, seconds in wanted:
            maker.add(name, seconds, part, one_by_one=one_by_one)
    if policy is not None:
        maker.replay(policy, REPLAYED[level])
    maker.carry(payload)
    for name, seconds in heavy:
        maker.add(name, seconds, LOADED, one_by_one=one_by_one)
    return Excitation(
        spec.name,
        spec.digest,
        level,
        1.0 / rate,
        stage.start,
        tuple(maker.segments),
        {SECOND: second} if second else {},
        {LOADED: payload} if payload else {},
        maker.notes(),
    )


@dataclass
class Maker:
    """Makes one segment after the other, and knows what those before have told. `seed`: of what is drawn by chance;
    `drawn`: series of which the best is kept.
    """

    spec: ArmSpec
    stage: Stage
    period: float
    seed: int = 0
    drawn: int = DRAWN
    tell: Callable[[str], None] = lambda _: None
    segments: list[Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._set_up(self.spec)
        self._told: Information = self._judge.nothing()
        self._nearest = np.inf
        self._share: dict[str, Floats] = {}
        """Kind -> share of its speed that each joint kept in the segment before."""

    def carry(self, load: float) -> None:
        """From now on with so much (kg) at the tip."""
        if load != self.spec.load:
            self._set_up(replace(self.spec, load=load))

    def _set_up(self, spec: ArmSpec) -> None:
        self.spec, self._kinematics = spec, Kinematics(spec)
        self._rehearsal = Rehearsal(spec, self._kinematics, self.period)
        names = [spec.joints[i].name for i in self.stage.moved]
        self._judge = Judge(spec, self._kinematics, names, self.period)

    def add(self, name: str, seconds: float, part: str, *, one_by_one: bool) -> None:
        """One segment, or one a joint."""
        moved = self.stage.moved
        if not one_by_one or len(moved) == 1:
            self.make(name, name, seconds, part, moved)
            return
        for i in moved:
            time = max(SHORTEST, ALONE * seconds / len(moved))
            joint = self.spec.joints[i].name
            self.make(
                f"{name.removesuffix(CHECK)}-{joint}{CHECK if name.endswith(CHECK) else ''}", name, time, part, [i]
            )

    def replay(self, policy: Path, seconds: float) -> None:
        """What a policy does; slower, if it must be."""
        from calibration.excitation.replay import replay  # noqa: PLC0415 (the runtime's loop and the twin)

        self.tell("replay-1: flying the policy in simulation")
        q = replay(self.spec, self._kinematics, policy, self.stage.start, seconds, self.period)
        for _ in range(TRIES):
            found = self._rehearsal.of(q)
            if self._fits(found):
                moved = np.flatnonzero(np.ptp(q, axis=0) > 0)
                self._keep(Segment("replay-1", "replay", tuple(self.spec.joints[i].name for i in moved), q), found)
                return
            q = shapes.stretched(q, 1 / CALM)
        raise NotFreeError(
            f"{policy}: what it does in simulation cannot be replayed: the arm comes within "
            f"{found.nearest * 1e3:.0f} mm of the table or itself, or its envelope would interfere"
        )

    def notes(self) -> dict[str, Any]:
        """What came of it."""
        return {
            "nearest_m": self._nearest,
            "condition": self._told.condition,
            "directions_seen": self._told.seen,
            "parameters": len(self._told.labels),
            "gain_nats": self._told.gain,
        }

    def make(self, name: str, like: str, seconds: float, part: str, joints: Joints) -> None:
        """One segment of these joints. `like`: the name that says its kind and order."""
        kind = like.split("-", 1)[0]
        self.tell(f"{name}: drawing")
        share = self._share.get(kind, np.ones(len(self.spec.joints))).copy()
        order = [int(i) for i in joints][:: -1 if int(like.split("-")[1]) % 2 == 0 else 1]
        number = len(self.segments)
        chosen = kind == "fourier" and not name.endswith(CHECK)  # what judges a fit need not tell it anything
        best = self._best(order, seconds, number, share) if chosen else 0
        for _ in range(TRIES):
            q = self._draw(kind, order, seconds, (self.seed, number, best), share)
            found = self._rehearsal.of(q)
            if self._fits(found):
                break
            busy = found.changed > CHANGED
            share[busy if busy.any() else slice(None)] *= CALM
        else:
            raise NotFreeError(f"{name}: the envelope would still interfere at {share.min():.0%} of the speed")
        self._share[kind] = share
        names = tuple(self.spec.joints[i].name for i in sorted(order))
        self._keep(Segment(name, kind, names, q, part), found)

    def _best(self, joints: list[int], seconds: float, number: int, share: Floats) -> int:
        """Which of the series drawn tells most."""
        gains = []
        for k in range(self.drawn if self.drawn > 1 else 0):
            q = self._draw("fourier", joints, seconds, (self.seed, number, k), share)
            gains.append((self._told + self._judge.of(q, STRIDE)).gain)
        return int(np.argmax(gains)) if gains else 0

    def _draw(self, kind: str, joints: list[int], seconds: float, seed: tuple[int, ...], share: Floats) -> Floats:
        stage = self.stage.calmer(share)
        if kind == "fourier":
            return shapes.fourier(stage, joints, seconds, self.period, np.random.default_rng(seed))
        shape = {"sweep": shapes.sweep, "cruise": shapes.cruise, "chirp": shapes.chirp}[kind]
        return shape(stage, joints, seconds, self.period)

    @staticmethod
    def _fits(found: Rehearsed) -> bool:
        return bool((found.changed <= CHANGED).all()) and found.nearest >= TOUCHING

    def _keep(self, segment: Segment, found: Rehearsed) -> None:
        self.segments.append(segment)
        self._nearest = min(self._nearest, found.nearest)
        if not segment.name.endswith(CHECK):
            self._told += self._judge.of(segment.q, STRIDE)


def _second_gains(spec: ArmSpec) -> Gains:
    """Lower P gains of the joints whose servo positions them by one."""
    p, _ = default_gains(spec.joints)
    return {
        joint.name: {"position_p_gain": round(GAIN_SHARE * gain)}
        for joint, gain in zip(spec.joints, p.tolist(), strict=True)
        if joint.mode in POSITION_MODES and gain > 0
    }
