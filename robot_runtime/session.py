"""One flight from an opened port to a verdict: preflight, the parts put together, the loop.

A replay calls the same function with the recorded port and inputs, so nothing here may look at anything else that
could change a command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from robot_runtime.arm import Arm
from robot_runtime.bus import Port
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.recorder import FlightRecorder
from robot_runtime.flight.ring import RecorderStatus
from robot_runtime.flying import Inputs, InputSource, Request, Source
from robot_runtime.loop import Loop
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.load import Policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.policy.targets import TargetSource
from robot_runtime.realtime import Facts
from robot_runtime.safety.envelope import Box, Envelope, Why
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.safety.monitor import Monitor, Settings
from robot_runtime.safety.preflight import Check, Recording, passed, preflight
from robot_runtime.safety.stopping import HOLD_FOR, Stopping
from robot_runtime.spec import ArmSpec
from robot_runtime.verdict import Verdict, verdict

BUS_RATE = 200.0
"""Hz, at least, when nobody asks for a rate: envelope and monitor act this often however slow the policy is."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What was asked of a flight. The same orders, bytes and inputs make the same commands."""

    rate: float  # Hz, of the bus
    duration: float | None = None  # s, of the policy's part; None: until somebody stops it
    readonly: bool = False
    hold_for: float = HOLD_FOR  # s
    target_silence: float | None = None  # s without a new target that ends the flight; None: targets do not stream
    box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None  # m, workspace of the tip

    @property
    def period(self) -> float:
        """Of the bus (s)."""
        return 1.0 / self.rate

    def as_json(self) -> dict[str, Any]:
        """For the recording."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From a recording."""
        box = data.get("box")
        return cls(**{**data, "box": (tuple(box[0]), tuple(box[1])) if box else None})


def bus_rate(policy_rate: float, asked: float | None = None) -> float:
    """Hz of the bus: what was asked, or the smallest multiple of the policy's rate that is fast enough to guard it."""
    return asked or policy_rate * max(1, math.ceil(BUS_RATE / policy_rate - 1e-9))


@dataclass(frozen=True, slots=True)
class Together:
    """Who may end the flight, and who says where to go, as one source of inputs."""

    operator: Operator
    targets: TargetSource

    def sample(self, inputs: Inputs, now: float) -> None:
        """Ask both."""
        self.operator.sample(inputs, now)
        self.targets.sample(inputs, now)

    def begin(self, now: float) -> None:
        """The source is in charge from now on."""
        self.targets.begin(now)


_RECORDER_TROUBLES = {
    RecorderStatus.BEHIND: int(Request.RECORDER_BEHIND),
    RecorderStatus.DISK_FULL: int(Request.DISK_FULL),
    RecorderStatus.FAILED: int(Request.RECORDER_FAILED),
}


def recorder_watcher(recorder: FlightRecorder) -> Callable[[], int]:
    """For the operator: what is wrong with the recording, as bits of Request."""
    return lambda: _RECORDER_TROUBLES.get(recorder.status(), 0)


def layout_of(spec: ArmSpec, contract: Contract | None, *, target: int | None = None) -> CycleLayout:
    """What one cycle of such a flight is in the recording. `target`: numbers of it, where no contract says how many."""
    return CycleLayout(
        joints=spec.joint_names,
        modes=tuple(j.mode for j in spec.joints),
        observation=contract.observation_size if contract else 0,
        action=contract.action_size if contract else 0,
        target=target_size(contract) if target is None else target,
        reasons=tuple(str(why.name).lower().replace("_", "-") for why in Why),
    )


def target_size(contract: Contract | None) -> int:
    """Numbers of a target."""
    return contract.target.size if contract and contract.target else 0


def fly(
    spec: ArmSpec,
    policy: Policy,
    port: Port,
    orders: Orders,
    input_source: InputSource,
    recorder: FlightRecorder,
    *,
    facts: Facts = (),
    timer: LatencyTimer | None = None,
    recording: Recording | None = None,
    show_checks: Callable[[list[Check]], bool] = passed,
    show_cycle: Callable[[Loop], None] | None = None,
) -> Verdict:
    """Fly a policy and say how it ended. `show_checks` sees the preflight and says whether to go on.

    Raises:
        PolicyError: the policy does not fit the arm.
        ArmError, BusError: torque could not be switched on; it is off.
    """
    arm, checks = preflight(
        spec,
        port,
        orders.period,
        contract=policy.contract,
        facts=facts,
        timer=timer,
        recording=recording,
        recorder=recorder,
        box=Box(*orders.box) if orders.box else None,
        torque=not orders.readonly,
    )
    try:
        if not show_checks(checks) or arm is None:
            wrong = "; ".join(f"{c.name}: {c.found}" for c in checks if c.ok is False)
            if not wrong:
                return Verdict(Ending.COMPLETED, "nothing stands against a flight; only the checks were asked for")
            return Verdict(Ending.PREFLIGHT, f"not started: {wrong}")
        pilot = PolicyPilot(policy, arm, orders.period)
        loop = make_loop(
            arm, pilot, Inputs(target_size(policy.contract)), input_source, recorder, orders, show_cycle=show_cycle
        )
        recorder.bind("observation", pilot.observation)
        recorder.bind("action", pilot.action)
        recorder.bind("mapped_q", pilot.mapped[0])
        recorder.bind("mapped_dq", pilot.mapped[1])
        recorder.bind("unmapped", pilot.intent)
        loop.fly()
        return verdict(loop)
    finally:
        if arm is not None:
            arm.close()


def make_loop(
    arm: Arm,
    source: Source,
    inputs: Inputs,
    input_source: InputSource,
    recorder: FlightRecorder,
    orders: Orders,
    *,
    show_cycle: Callable[[Loop], None] | None = None,
) -> Loop:
    """The loop with everything that guards it, for any source of motion."""
    period = orders.period
    box = Box(*orders.box) if orders.box else None
    monitor = Monitor(arm.spec, period, Settings(torque=not orders.readonly, target_silence=orders.target_silence))
    return Loop(
        arm,
        source,
        Envelope(arm.spec, arm.kinematics, period, workspace=box),
        monitor,
        Stopping(arm, period, monitor.add, hold_for=orders.hold_for),
        inputs,
        input_source,
        recorder,
        period,
        duration=orders.duration,
        readonly=orders.readonly,
        every_cycle=show_cycle,
    )
