"""One flight from an opened port to a verdict: preflight, the parts put together, the loop.

A replay calls the same function with the recorded port and inputs, so nothing here may look at anything else that
could change a command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from robot_runtime.arm import Arm
from robot_runtime.bus import Port
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.recorder import FlightRecorder, Level
from robot_runtime.flight.ring import RecorderStatus
from robot_runtime.flying import Inputs, InputSource, Request, Source
from robot_runtime.loop import Loop
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.load import Policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.policy.targets import TargetSource
from robot_runtime.preflight.gate import Recording, preflight
from robot_runtime.preflight.table import Check, passed
from robot_runtime.realtime import Facts
from robot_runtime.safety.envelope import Box, Envelope, Why
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.safety.friction import Friction
from robot_runtime.safety.monitor import Monitor, Settings
from robot_runtime.safety.stopping import HOLD_FOR, Stopping
from robot_runtime.spec import ArmSpec
from robot_runtime.verdict import Verdict, refused, verdict

if TYPE_CHECKING:
    from robot_runtime.calibrated.file import Calibration
    from robot_runtime.calibrated.maps import ResidualMaps

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
    grips: bool = True  # what a joint in current-based position mode pushes without moving is a grasp
    force: bool = False  # fly with a calibration that is not of this arm, or was not accepted

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
    calibration: Calibration | None = None,
    adapter: str = "",
    targets: Sequence[Sequence[float]] = (),
    show_checks: Callable[[list[Check]], bool] = passed,
    show_cycle: Callable[[Loop], None] | None = None,
) -> Verdict:
    """Fly a policy and say how it ended. `show_checks` sees the preflight and says whether to go on.

    `calibration`: the arm's; without one the servos' nominal physics stand in. `adapter`: serial number of the port's.
    `targets`: those that are known before the flight.

    Raises:
        PolicyError: the policy does not fit the arm.
        ArmCalError: the calibration's maps cannot be run, where `show_checks` went on all the same.
        ArmError, BusError: torque could not be switched on; it is off.
    """
    also = calibration_checks(calibration, orders, adapter, policy.digest)
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
        targets=targets,
        also=also and _with_doubts_recorded(also, recorder),
    )
    try:
        if not show_checks(checks) or arm is None:
            only_asked = "nothing stands against a flight; only the checks were asked for"
            return refused(checks) or Verdict(Ending.COMPLETED, only_asked)
        maps, friction = learnt(calibration, spec, orders)
        pilot = PolicyPilot(policy, arm, orders.period, maps)
        loop = make_loop(
            arm,
            pilot,
            Inputs(target_size(policy.contract)),
            input_source,
            recorder,
            orders,
            friction=friction,
            show_cycle=show_cycle,
        )
        recorder.bind("observation", pilot.observation)
        recorder.bind("action", pilot.action)
        recorder.bind("mapped_q", pilot.mapped[0])
        recorder.bind("mapped_dq", pilot.mapped[1])
        recorder.bind("unmapped", pilot.intent)
        loop.fly()
        ended = verdict(loop)
        return ended if maps is None else replace(ended, figures={**ended.figures, "calibration": maps.summary()})
    finally:
        if arm is not None:
            arm.close()


def calibration_checks(
    calibration: Calibration | None, orders: Orders, adapter: str, policy: str | None = None
) -> Callable[[Arm], Iterable[Check]] | None:
    """What preflight asks of an arm besides, if there is a calibration. `policy`: digest of the one that flies."""
    if calibration is None:
        return None
    from robot_runtime.calibrated.check import checks_of  # noqa: PLC0415 (a flight without one starts sooner)

    return checks_of(calibration, orders.period, adapter=adapter, force=orders.force, policy=policy)


def _with_doubts_recorded(
    checks: Callable[[Arm], Iterable[Check]], recorder: FlightRecorder
) -> Callable[[Arm], Iterable[Check]]:
    """The same checks; whoever reads the flight shall see what was doubtful of its calibration."""

    def rows(arm: Arm) -> Iterator[Check]:
        for check in checks(arm):
            if check.ok is None:
                recorder.event(f"{check.name}: {check.found}; wanted: {check.wanted}", Level.WARNING, "calibration")
            yield check

    return rows


def learnt(
    calibration: Calibration | None, spec: ArmSpec, orders: Orders
) -> tuple[ResidualMaps | None, Friction | None]:
    """What a calibration has for a flight, if there is one: its maps, and the friction that it is sure of."""
    if calibration is None:
        return None, None
    from robot_runtime.calibrated.friction import known_friction  # noqa: PLC0415 (as above)
    from robot_runtime.calibrated.maps import ResidualMaps  # noqa: PLC0415 (as above)

    # With torque off the arm does not do what it is told, which no calibration has seen.
    maps = ResidualMaps(spec, calibration, orders.period, guarded=not orders.readonly)
    return maps, known_friction(spec, calibration)


def make_loop(
    arm: Arm,
    source: Source,
    inputs: Inputs,
    input_source: InputSource,
    recorder: FlightRecorder,
    orders: Orders,
    *,
    friction: Friction | None = None,
    show_cycle: Callable[[Loop], None] | None = None,
) -> Loop:
    """The loop with everything that guards it, for any source of motion. `friction`: see `Envelope`."""
    period = orders.period
    box = Box(*orders.box) if orders.box else None
    settings = Settings(torque=not orders.readonly, target_silence=orders.target_silence, grips=orders.grips)
    monitor = Monitor(arm.spec, period, settings)
    return Loop(
        arm,
        source,
        Envelope(arm.spec, arm.kinematics, period, workspace=box, friction=friction),
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
