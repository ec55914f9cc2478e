"""The loop as a whole, on the lock-step twin in virtual time."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.arm import JointState
from robot_runtime.arrays import Floats
from robot_runtime.bus import BusError, PortStuckError
from robot_runtime.flying import Inputs, Phase, Request
from robot_runtime.policy import Target, Term, contract_to_json
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.safety.faults import FAULTS
from robot_runtime.spec import load_arm
from sim.twin import LockstepPort
from tests.robot_runtime.arm.twins import variant
from tests.robot_runtime.flights import Script, fly_twin, swing_contract
from tests.robot_runtime.policy.networks import linear


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1", "xl330-pendulum"])
@pytest.mark.parametrize("gap", [None, "mild"])
def test_a_healthy_flight_completes_and_ends_at_rest(name: str, gap: str | None, tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, name, gap=gap)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
    assert flown.verdict.faults == ()
    assert flown.excess < 0.02
    assert flown.speed_share < 1.0
    assert not any(flown.twin.drives.torque_on)
    rest = np.array(load_arm(name).poses["rest"])
    assert np.abs(np.array(flown.twin.drives.joint_position) - rest).max() < 0.2
    assert flown.verdict.seconds == pytest.approx(2.0, abs=0.011)


def test_nothing_moves_and_nothing_is_sent_in_a_readonly_flight(tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, readonly=True, duration=0.5)
    assert flown.verdict.ending is Ending.COMPLETED
    assert flown.loop is not None
    assert flown.loop.arm.bus.statistics.writes == 0
    assert not any(flown.twin.drives.torque_on)


def test_a_start_pose_that_is_not_reached_ends_the_flight(tmp_path: Path) -> None:
    script = Script(Phase.START, after=0.2)

    def cut_short() -> None:
        assert script.loop is not None
        script.loop._moves = []

    script.act = cut_short
    flown = fly_twin(tmp_path, script=script)
    assert next(f.kind.name for f in flown.verdict.faults) == "start-missed"
    assert flown.verdict.ending is Ending.MOTION
    assert flown.verdict.seconds == 0.0


def test_what_is_gripped_already_when_the_flight_starts_does_not_end_it(tmp_path: Path) -> None:
    spec = load_arm("koch-v1.1")
    gently = replace(
        spec.joints[-1].limits, torque=0.15
    )  # 26 % of the servo's full load: a grip that it bears for long
    for mode, ends in (("current_position", Ending.COMPLETED), ("position", Ending.MOTION)):
        joints = (*spec.joints[:-1], replace(spec.joints[-1], mode=mode, limits=gently))
        script = Script(Phase.START, after=0.02)

        def grasp(script: Script = script) -> None:
            assert script.loop is not None
            port = script.loop.arm.bus.port
            assert isinstance(port, LockstepPort)
            port.twin.inject("stuck-shaft:servo=6")

        script.act = grasp
        flown = fly_twin(tmp_path, spec=replace(spec, joints=joints), duration=0.5, script=script)
        assert flown.verdict.ending is ends, flown.verdict.text


@pytest.mark.parametrize("request_", [Request.SPACE, Request.CTRL_C])
def test_a_flight_that_is_done_cannot_be_stopped_any_more(tmp_path: Path, request_: Request) -> None:
    script = Script(Phase.STOP, after=0.5, request=request_)
    flown = fly_twin(tmp_path, duration=0.5, script=script)
    assert (flown.verdict.ending, flown.verdict.faults) == (Ending.COMPLETED, ())
    assert script.acted_at < np.inf


def test_nobody_waits_for_targets_while_the_arm_is_lowered(tmp_path: Path) -> None:
    class Sender(Script):
        def sample(self, inputs: Inputs, now: float) -> None:
            if self.loop is None or self.loop.phase is not Phase.STOP:
                inputs.target_stamp = now

    flown = fly_twin(tmp_path, duration=0.5, script=Sender(), target_silence=0.5)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text


def test_torque_that_stays_on_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(Phase.RUN, after=0.2, request=Request.ESTOP)
    tries: list[float] = []

    def deafen() -> None:
        assert script.loop is not None
        port = script.loop.arm.bus.port
        assert isinstance(port, LockstepPort)
        port.twin.inject("servo-silent:servo=12,for=60")
        arm, off = script.loop.arm, script.loop.arm.torque_off

        def counted() -> None:
            tries.append(port.now())
            off()

        monkeypatch.setattr(arm, "torque_off", counted)

    script.act = deafen
    flown = fly_twin(tmp_path, script=script)
    assert "torque-stays" in [f.kind.name for f in flown.verdict.faults]
    assert "TORQUE MAY STILL BE ON" in flown.verdict.outcome
    assert "joint2" in flown.verdict.faults[-1].text
    assert script.loop is not None
    stays = FAULTS["torque-stays"].bound.at(script.loop.period, 0.0)
    assert flown.verdict.faults[-1].time - tries[0] <= stays
    assert flown.verdict.exit_code != 0


@pytest.mark.parametrize("back", [np.inf, 1.0])
def test_torque_that_stays_on_though_it_never_came_on_everywhere(back: float, tmp_path: Path) -> None:
    """A servo's data line breaks just after torque came on; for good, or it is back in time."""
    ports: list[LockstepPort] = []

    def breaks(port: LockstepPort) -> LockstepPort:
        ports.append(port)
        write = port.write

        def watched(data: bytes | bytearray | memoryview) -> None:
            write(data)
            if bytes(data)[8:10] == b"\x40\x00" and data[13] == 1:
                port.sleep_until(port.now() + 0.002)
                port.twin.inject(f"servo-silent:servo=13,for={min(back, 1000.0)}")

        port.write = watched  # type: ignore[method-assign]
        return port

    if back < np.inf:
        with pytest.raises(BusError, match="servo 13"):
            fly_twin(tmp_path, port=breaks)
        drives: Any = ports[0].twin.drives
        assert not any(drives.torque_on)
        return
    flown = fly_twin(tmp_path, port=breaks)
    assert list(flown.twin.drives.torque_on) == [False, False, True, False, False]
    assert [f.kind.name for f in flown.verdict.faults] == ["torque-stays"]
    assert flown.verdict.ending is Ending.BUS
    assert "CUT THE POWER" in flown.verdict.text
    assert "no answer from joint3 (servo 13) as torque came on" in flown.verdict.outcome
    assert "TORQUE MAY STILL BE ON" in flown.verdict.outcome
    assert isinstance(flown.verdict.error, BusError)


class From:
    """A request from the given look on: the first is right before torque comes on."""

    def __init__(self, request: Request, look: int = 1) -> None:
        self._request, self._left = request, look

    def begin(self, now: float) -> None:
        pass

    def sample(self, inputs: Inputs, now: float) -> None:
        self._left -= 1
        if self._left <= 0:
            inputs.request |= self._request


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("request_", [r for r in Request if r is not Request.TARGETS_ENDED], ids=str)
def test_who_asks_for_a_stop_before_torque_does_not_see_the_arm_energised(
    request_: Request, readonly: bool, tmp_path: Path
) -> None:
    on: list[bytes] = []

    def watched(port: LockstepPort) -> LockstepPort:
        write = port.write

        def note(data: bytes | bytearray | memoryview) -> None:
            if bytes(data)[8:10] == b"\x40\x00" and data[7] == 0x83 and data[13]:
                on.append(bytes(data))
            write(data)

        port.write = note  # type: ignore[method-assign]
        return port

    flown = fly_twin(tmp_path, "xl330-pendulum", inputs=From(request_), port=watched, readonly=readonly)
    assert on == []
    assert flown.verdict.text.startswith("not started: ")
    recording = request_ in (Request.DISK_FULL, Request.RECORDER_FAILED, Request.RECORDER_BEHIND)
    assert flown.verdict.ending is (Ending.RECORDING if recording else Ending.ASKED)
    assert flown.loop is None


def test_who_asks_a_moment_later_sees_it_lowered(tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, "xl330-pendulum", inputs=From(Request.CTRL_C, look=2))
    assert flown.verdict.outcome == "braked, lowered to rest, torque off"


class Failing:
    """Inputs that break, once or `always`."""

    def __init__(self, script: Script, error: Exception, *, always: bool = False) -> None:
        self._script, self._error, self._always = script, error, always

    def begin(self, now: float) -> None:
        self._script.begin(now)

    def sample(self, inputs: Inputs, now: float) -> None:
        self._script.sample(inputs, now)
        if self._script.acted_at < np.inf and self._error.args:
            error, self._error = self._error, self._error if self._always else Exception()
            raise error


@pytest.mark.parametrize("always", [False, True])
def test_whatever_breaks_the_arm_is_lowered_first(tmp_path: Path, always: bool) -> None:
    script = Script(Phase.RUN, after=0.2)
    inputs = Failing(script, ValueError("a line that nobody expected"), always=always)
    flown = fly_twin(tmp_path, script=script, inputs=inputs)
    assert [f.kind.name for f in flown.verdict.faults] == ["software-failed"]
    assert isinstance(flown.verdict.error, ValueError)
    assert "lowered to rest" in flown.verdict.outcome
    assert not any(flown.twin.drives.torque_on)


@pytest.mark.parametrize("phase", [Phase.START, Phase.RUN, Phase.STOP])
def test_a_display_that_breaks_is_not_looked_at_any_more(tmp_path: Path, phase: Phase) -> None:
    script, calls = Script(phase, after=0.1), []

    def show(_: object) -> None:
        calls.append(1)
        raise BrokenPipeError

    def break_display() -> None:
        assert script.loop is not None
        script.loop._every_cycle = show

    script.act = break_display
    flown = fly_twin(tmp_path, script=script, duration=0.3)
    assert len(calls) == 1
    assert [f.kind.name for f in flown.verdict.faults] == ["software-failed"]
    assert "lowered to rest" in flown.verdict.outcome
    assert not any(flown.twin.drives.torque_on)


class Full:
    """A port that takes nothing until a time."""

    def __init__(self, port: LockstepPort) -> None:
        self._port, self.until = port, 0.0

    def write(self, data: bytes) -> None:
        if self._port.now() < self.until:
            self._port.sleep_until(self._port.now() + 0.1)  # s, how long a write is patient
            raise PortStuckError(errno.EAGAIN, "takes no more bytes", self._port.name)
        self._port.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def test_torque_goes_off_once_a_port_takes_bytes_again(tmp_path: Path) -> None:
    script = Script(Phase.RUN, after=0.2)
    ports: list[Full] = []

    def fill() -> None:
        ports[0].until = ports[0].now() + 0.6

    def full(port: LockstepPort) -> Full:
        ports.append(Full(port))
        return ports[0]

    script.act = fill
    flown = fly_twin(tmp_path, script=script, port=full)
    assert [f.kind.name for f in flown.verdict.faults] == ["port-gone"]
    assert not any(flown.twin.drives.torque_on)


def test_nan_that_nobody_owned_up_to_is_seen(tmp_path: Path) -> None:
    script = Script(Phase.RUN, after=0.2)

    def break_source() -> None:
        assert script.loop is not None
        intend = script.loop.source.intend

        def silent(state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:
            intend(state, target, now, acts, values)
            values[1] = np.nan
            return 0

        script.loop.source.intend = silent  # type: ignore[method-assign]

    script.act = break_source
    flown = fly_twin(tmp_path, script=script)
    assert [f.kind.name for f in flown.verdict.faults] == ["policy-not-finite"]


class Targets:
    """A stream of targets that begins late and ends."""

    def __init__(self, first: float, last: float) -> None:
        self._first, self._last = first, last

    def begin(self, now: float) -> None:
        pass

    def sample(self, inputs: Inputs, now: float) -> None:
        if self._first <= now < self._last:
            inputs.target[:] = 0.1
            inputs.target_stamp = now
        if now >= self._last:
            inputs.request |= Request.TARGETS_ENDED


def with_target(folder: Path) -> Policy:
    spec = load_arm("xl330-pendulum")
    contract = replace(swing_contract(spec), target=Target("custom", 1))
    contract = replace(contract, observation=(*contract.observation, Term("target", 1)))
    weights = np.zeros((contract.observation_size, 1))
    path = linear(folder / "policy.onnx", weights, metadata={"contract": contract_to_json(contract)})
    return load_policy(path, spec)


def test_the_policy_does_not_begin_before_there_is_a_target(tmp_path: Path) -> None:
    script = Script(Phase.RUN, after=0.0)
    targets = Targets(9.0, 99.0)

    class Both(Targets):
        def sample(self, inputs: Inputs, now: float) -> None:
            script.sample(inputs, now)
            targets.sample(inputs, now)

    flown = fly_twin(tmp_path, "xl330-pendulum", policy=with_target(tmp_path), script=script, inputs=Both(0, 0))
    assert flown.verdict.ending is Ending.COMPLETED
    assert script.acted_at >= 9.0


def test_a_flight_without_any_target_ends(tmp_path: Path) -> None:
    policy = with_target(tmp_path)
    flown = fly_twin(
        tmp_path, "xl330-pendulum", policy=policy, inputs=Targets(99.0, 100.0), target_silence=0.5, hold_for=0.5
    )
    assert [f.kind.name for f in flown.verdict.faults] == ["target-silent"]
    assert flown.verdict.seconds == 0.0


@pytest.mark.parametrize(
    ("duration", "ending", "seconds"), [(1.0, Ending.COMPLETED, 1.0), (None, Ending.COMPLETED, 2.0)]
)
def test_the_end_of_the_targets_ends_a_flight_without_a_duration(
    duration: float | None, ending: Ending, seconds: float, tmp_path: Path
) -> None:
    policy, script = with_target(tmp_path), Script()
    at = 0.0 if duration else np.inf

    class Ends(Targets):
        def begin(self, now: float) -> None:
            nonlocal at
            at = min(at, now + 2.0)

        def sample(self, inputs: Inputs, now: float) -> None:
            inputs.target_stamp = max(inputs.target_stamp, 0.0)
            if now >= at:
                inputs.request |= Request.TARGETS_ENDED

    flown = fly_twin(
        tmp_path,
        "xl330-pendulum",
        policy=policy,
        script=script,
        inputs=Ends(0, 0),
        duration=duration,
        target_silence=0.5 if duration else None,
    )
    assert flown.verdict.ending is ending, flown.verdict.text
    assert flown.verdict.seconds == pytest.approx(seconds, abs=0.02)


def test_a_readonly_flight_of_a_position_arm_does_not_miss_what_was_never_sent(tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, "koch-v1.1", readonly=True, duration=2.0)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text


def test_targets_that_end_before_the_policy_begins_leave_their_last_one(tmp_path: Path) -> None:
    policy, script = with_target(tmp_path), Script(Phase.RUN, after=3.0, request=Request.CTRL_C)

    class Once(Targets):
        def sample(self, inputs: Inputs, now: float) -> None:
            script.sample(inputs, now)
            inputs.target_stamp = max(inputs.target_stamp, 0.0)
            inputs.request |= Request.TARGETS_ENDED

    flown = fly_twin(
        tmp_path, "xl330-pendulum", policy=policy, script=script, inputs=Once(0, 0), duration=None, target_silence=0.5
    )
    assert [f.kind.name for f in flown.verdict.faults] == ["operator-stop"]
    assert flown.verdict.seconds == pytest.approx(3.0, abs=0.02)


def test_the_source_is_shown_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Floats] = []
    monkeypatch.setattr(PolicyPilot, "follow", lambda _, sent: shown.append(sent))
    flown = fly_twin(tmp_path, duration=0.1)
    assert flown.loop is not None
    assert [sent is flown.loop.command for sent in shown] == [True]


@pytest.mark.parametrize("seen", [True, False])
def test_a_load_that_no_servo_bears_for_long_is_lowered_before_it_falls(
    seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not seen:  # what happens otherwise
        monkeypatch.setattr("robot_runtime.safety.load.Load.look", lambda self, *_: np.zeros(len(self._full)))
    heavy = tmp_path / "heavy.toml"
    heavy.write_text('name = "heavy"\npayload = 0.08\n')
    stiff = 'mode = "position"\ngains = { position_p_gain = 2000, position_d_gain = 600 }'
    level = ("home = .*", "home = { pendulum = 1.4 }"), ("mode = .pwm.*", stiff)
    spec = load_arm(variant(tmp_path, "xl330-pendulum", *level))
    flown = fly_twin(tmp_path, spec=spec, gap=str(heavy), duration=12.0)
    kinds = [f.kind.name for f in flown.verdict.faults]
    assert flown.verdict.ending is Ending.SERVO
    if seen:
        assert kinds == ["overloaded"]
        assert "joint 'pendulum' (servo 1) carries" in flown.verdict.text
        assert flown.twin.servos[0].get("hardware_error_status") == 0
        assert flown.twin.drives.joint_position[0] == pytest.approx(
            load_arm("xl330-pendulum").poses["rest"][0], abs=0.2
        )
    else:
        assert "hardware-error" in kinds
