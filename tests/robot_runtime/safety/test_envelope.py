"""The envelope as the loop uses it: what it lets through, what it says, and what nothing can make it do."""

from dataclasses import replace

import numpy as np
import pytest

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import JointState
from robot_runtime.safety.envelope import Envelope, Why
from robot_runtime.spec import ArmSpec, load_arm, shipped_arms

PERIOD = 0.005
MODES = ("current", "pwm", "velocity", "position")


class Still:
    """An arm that stands in a pose, and its envelope."""

    def __init__(self, name: str, mode: str = "", pose: str = "home") -> None:
        shipped = load_arm(name)
        self.spec: ArmSpec = replace(shipped, joints=tuple(replace(j, mode=mode or j.mode) for j in shipped.joints))
        self.state = JointState(len(self.spec.joints))
        self.state.q[:] = self.spec.poses[pose]
        self.state.fresh[:] = True
        self.state.voltage[:] = [j.servo.motor.nominal_voltage for j in self.spec.joints]
        self.state.temperature[:] = 30.0
        self.now = 1.0
        self.state.stamp[:] = self.now
        self.kinematics = Kinematics(self.spec)
        self.envelope = Envelope(self.spec, self.kinematics, PERIOD)
        self.envelope.reset(self.state, self.now)

    def limit(self, values: np.ndarray, *, heard: bool = True) -> np.ndarray:
        self.now += PERIOD
        if heard:
            self.state.stamp[:] = self.now
        limited = np.array(values, dtype=float)
        self.envelope.limit(limited, self.state, self.now)
        return limited

    @property
    def gravity(self) -> np.ndarray:
        return self.kinematics.gravity(self.state.q, np.zeros(len(self.state.q)))


def why(still: Still) -> list[Why]:
    return [Why(int(bits)) for bits in still.envelope.interventions]


@pytest.mark.parametrize("name", shipped_arms())
@pytest.mark.parametrize("mode", MODES)
def test_holding_still_is_let_through(name: str, mode: str) -> None:
    still = Still(name, mode)
    hold = still.envelope.last.copy()
    for _ in range(100):
        assert still.limit(hold) == pytest.approx(hold, abs=1e-9)
        assert not still.envelope.interventions.any()
    assert not still.envelope.counts.any()


@pytest.mark.parametrize("name", shipped_arms())
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_let_through(name: str, mode: str, bad: float) -> None:
    still = Still(name, mode)
    for _ in range(20):
        values = still.limit(np.full(len(still.spec.joints), bad))
        assert np.isfinite(values).all()
        assert not still.envelope.wanted_was_finite
    if mode in ("current", "pwm"):
        assert still.envelope.torques.torque == pytest.approx(still.gravity, abs=0.02)
    else:
        assert values == pytest.approx(still.envelope.last)
    assert all(Why.NOT_FINITE in w for w, bits in zip(why(still), still.envelope.interventions, strict=True) if bits)
    assert still.envelope.wanted_was_finite is False


def test_one_joint_that_is_no_number_does_not_stop_the_others() -> None:
    still = Still("open-manipulator-x", "position")
    goal = still.state.q.copy()
    goal[0], goal[1] = 0.01, np.nan
    for _ in range(100):
        values = still.limit(goal)
    assert values[0] == pytest.approx(0.01)
    assert values[1] == pytest.approx(still.state.q[1])
    assert why(still)[1] == Why.NOT_FINITE


@pytest.mark.parametrize("mode", ["current", "pwm"])
def test_torques_are_bounded_and_change_at_the_torque_rate(mode: str) -> None:
    still = Still("open-manipulator-x", mode)
    limit = np.array([j.limits.torque for j in still.spec.joints])
    before, rate = np.array(still.envelope.torques.torque), np.array(still.envelope.torques.rate)
    for _ in range(50):
        still.limit(np.full(5, 1e6 if mode == "current" else 1.0))
        torque = np.array(still.envelope.torques.torque)
        assert (np.abs(torque) <= limit).all()
        change = np.abs(torque - before) / PERIOD
        free = still.envelope.braking
        assert (change[~free] <= rate[~free] * (1 + 1e-9)).all()
        before = torque


def test_a_joint_beside_its_stop_is_not_pushed() -> None:
    """OpenMANIPULATOR-X rests 0.02 rad from a stop: nothing moves it there, and nothing lets it fall in."""
    still = Still("open-manipulator-x", pose="rest")
    for _ in range(200):
        values = still.limit(np.append(still.gravity[:4], still.state.q[4]))
    assert values[:4] == pytest.approx(still.gravity[:4], abs=0.01)
    down = still.gravity[:4].copy()
    down[1] -= 1.0
    for _ in range(200):
        values = still.limit(np.append(down, still.state.q[4]))
    assert values[1] > still.gravity[1] - 0.2  # of 1 N·m asked for


def test_a_joint_outside_its_limits_is_led_back_softly() -> None:
    still = Still("open-manipulator-x")
    still.state.q[1] = -1.54
    still.envelope.reset(still.state, still.now)
    for _ in range(5):
        values = still.limit(np.append(still.gravity[:4], 0.0))
    assert 0.0 < values[1] - still.gravity[1] < 0.2


def test_heat_takes_torque_but_carries_the_arm() -> None:
    still = Still("open-manipulator-x")
    still.state.temperature[:] = [j.limits.temperature for j in still.spec.joints]
    limit = np.array([j.limits.torque for j in still.spec.joints])[:4]
    for _ in range(20):
        values = still.limit(np.append(still.gravity[:4], 0.0))
        assert values[:4] == pytest.approx(still.gravity[:4], abs=0.02)
    for _ in range(20):
        values = still.limit(np.append(100 * limit, 0.0))
        assert (np.abs(values[:4]) <= np.abs(still.gravity[:4]) + 0.12 * limit).all()
    assert still.envelope.counts.sum(axis=0)[list(Why).index(Why.HEAT)] > 0


def test_power_is_shared_out_of_what_goes_beyond_gravity() -> None:
    still = Still("open-manipulator-x")
    envelope = Envelope(replace(still.spec, power=3.0), still.kinematics, PERIOD)
    envelope.reset(still.state, still.now)
    still.envelope = envelope
    for _ in range(20):
        still.limit(np.append(np.full(4, 9.0), 0.0))
        assert envelope.torques._power_of(envelope.torques.torque, [0.0] * 4) <= 3.0 + 1e-9
    assert envelope.counts.sum(axis=0)[list(Why).index(Why.POWER)] > 0


def test_a_blocked_joint_does_not_wind_up() -> None:
    still = Still("koch-v1.1")
    for _ in range(1000):
        values = still.limit(still.state.q + np.array([2.0, 0, 0, 0, 0, 0]))
    assert 0.3 < values[0] - still.state.q[0] <= 0.6 + 1e-6
    assert Why.WINDUP in why(still)[0]


@pytest.mark.parametrize("mode", ["current", "velocity"])
def test_a_joint_that_is_not_heard_is_not_driven(mode: str) -> None:
    still = Still("open-manipulator-x", mode)
    wanted = still.gravity + 0.3 if mode == "current" else np.full(5, 0.5)
    for _ in range(40):
        values = still.limit(wanted, heard=False)
    assert values == pytest.approx(still.gravity if mode == "current" else np.zeros(5), abs=0.01)
    assert Why.STALE in why(still)[0]


def test_it_says_how_often_and_why() -> None:
    still = Still("open-manipulator-x")
    for _ in range(10):
        still.limit(np.append(np.full(4, 50.0), 9.0))
    summary = still.envelope.summary()
    assert summary["joint1"]["torque"] == 10
    assert summary["gripper"]["position"] == 10
    assert still.envelope.counts.shape == (5, len(Why))


@pytest.mark.parametrize("mode", MODES)
def test_the_same_calls_give_the_same_commands(mode: str) -> None:
    rides = []
    for _ in range(2):
        still, draw = Still("koch-v1.1", mode), np.random.default_rng(7)
        ride = []
        for _ in range(300):
            still.state.q += 0.002 * draw.standard_normal(6)
            ride.append(still.limit(draw.uniform(-3, 3, 6)))
        rides.append(np.array(ride))
    assert np.array_equal(rides[0], rides[1])


@pytest.mark.parametrize("mode", MODES)
def test_nothing_that_is_read_makes_it_raise(mode: str) -> None:
    still, draw = Still("koch-v1.1", mode), np.random.default_rng(8)
    for k in range(500):
        still.state.q[:] = draw.uniform(-7, 7, 6)
        still.state.dq[:] = draw.uniform(-50, 50, 6)
        still.state.fresh[:] = draw.random(6) < 0.5
        still.state.voltage[:] = draw.choice([0.0, 5.0, 12.0])
        still.state.temperature[:] = draw.uniform(0, 120)
        still.envelope.emergency = k % 200 > 150
        assert np.isfinite(still.limit(draw.choice([np.nan, 1e308, -1e308, 0.0, 1.0], 6), heard=k % 3 == 0)).all()
