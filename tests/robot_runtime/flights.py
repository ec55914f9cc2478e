"""Whole flights on the lock-step twin, in virtual time: a small policy that swings every joint about the home pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from examples.make_wave import about_home, contract_of, make_wave
from robot_runtime.bus import Bus
from robot_runtime.calibrated.file import Calibration
from robot_runtime.flight.recorder import FlightRecorder, NullRecorder
from robot_runtime.flying import Inputs, InputSource, Phase
from robot_runtime.loop import Loop
from robot_runtime.policy import Contract
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.preflight.table import Check, passed
from robot_runtime.session import Orders, fly, layout_of
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from robot_runtime.verdict import Verdict
from sim.twin import LockstepPort, Twin

PERIOD = 1.5  # s, of the swing
SIZE = 0.15  # rad


def swing_contract(spec: ArmSpec, first: float = SIZE) -> Contract:
    """Every joint but a gripper swings about home, the first by `first` (rad); torque joints by a spring."""
    others = [name for name in spec.joint_names if name != "gripper"][1:]
    return contract_of(spec, about_home(spec, first, *[SIZE] * len(others)), PERIOD)


def swing(folder: Path, spec: ArmSpec, first: float = SIZE) -> Policy:
    path = folder / "swing.onnx"
    make_wave(swing_contract(spec, first), path)
    return load_policy(path, spec)


@dataclass
class Script:
    """Inputs of a test: does something once, `after` seconds into a phase."""

    phase: Phase = Phase.ENDED
    act: Callable[[], object] = lambda: None
    after: float = 0.1  # s
    request: int = 0
    then: int = 0  # a second later
    loop: Loop | None = None
    acted_at: float = np.inf
    _entered: float = field(default=np.inf, init=False)

    def begin(self, now: float) -> None:
        pass

    def sample(self, inputs: Inputs, now: float) -> None:
        if self.loop is not None and self.loop.phase is self.phase:
            self._entered = min(self._entered, now)
            if now - self._entered >= self.after and self.acted_at == np.inf:
                self.acted_at = now
                self.act()
        if now >= self.acted_at:
            inputs.request |= self.request
        if now >= self.acted_at + 1.0:
            inputs.request |= self.then


@dataclass
class Flown:
    """A flight that is over, and what truly happened in it."""

    verdict: Verdict
    loop: Loop | None
    twin: Twin
    script: Script
    excess: float = -np.inf  # rad beyond a joint limit, truly
    speed_share: float = 0.0  # of a joint's velocity limit, truly
    stops: list[tuple[float, int]] = field(default_factory=list)  # when the class of stop changed, to what
    checks: list[Check] = field(default_factory=list)  # of the preflight


def fly_twin(
    folder: Path,
    name: str = "open-manipulator-x",
    *,
    duration: float | None = 2.0,
    script: Script | None = None,
    gap: str | None = None,
    faults: Sequence[str] = (),
    recorder: FlightRecorder | None = None,
    port: Callable[[LockstepPort], Any] = lambda port: port,
    spec: ArmSpec | None = None,
    first: float = SIZE,
    policy: Policy | None = None,
    rate: float = 200.0,
    inputs: InputSource | None = None,
    calibration: Calibration | None = None,
    **orders: Any,
) -> Flown:
    spec = spec or load_arm(name)
    twin = Twin.load(str(spec.path), gap=gap)
    set_up_unboxed(Bus(LockstepPort(twin)), spec)
    for fault in faults:
        twin.inject(fault)
    policy = policy or swing(folder, spec, first)
    script = script or Script()
    flown = Flown(Verdict.__new__(Verdict), None, twin, script)
    lower = np.array([j.limits.lower for j in spec.joints])
    upper = np.array([j.limits.upper for j in spec.joints])
    fastest = np.array([j.limits.velocity for j in spec.joints])

    def watch(loop: Loop) -> None:
        flown.loop = script.loop = loop
        q, dq = np.array(twin.drives.joint_position), np.array(twin.drives.joint_velocity)
        flown.excess = max(flown.excess, float(np.maximum(lower - q, q - upper).max()))
        flown.speed_share = max(flown.speed_share, float((np.abs(dq) / fastest).max()))
        if loop.stop and (not flown.stops or flown.stops[-1][1] != loop.stop):
            flown.stops.append((loop.arm.bus.port.now(), int(loop.stop)))

    def look(checks: list[Check]) -> bool:
        flown.checks = checks
        return passed(checks)

    flown.verdict = fly(
        spec,
        policy,
        port(LockstepPort(twin)),
        Orders(rate=rate, duration=duration, **orders),
        inputs or script,
        recorder or NullRecorder(layout_of(spec, policy.contract)),
        calibration=calibration,
        show_checks=look,
        show_cycle=watch,
    )
    return flown
