"""The arm as an environment: the task's rewards, a policy's way to the joints, a flight's safety."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sim.tasks
from robot_runtime.arm import Arm
from robot_runtime.bus import Bus
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import Calibration, Refined
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.flight.recorder import NullRecorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.loop import Loop
from robot_runtime.policy import contract_to_json
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.preflight.gate import preflight
from robot_runtime.session import Orders, calibration_checks, layout_of, make_loop
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import load_arm
from sim.real_arm import ArmStoppedError, PreflightFailedError, RealArm
from sim.real_arm.exchange import Exchange
from sim.real_arm.measured import MeasuredTask
from sim.real_arm.source import LearnerSource
from sim.tasks.arm_task import ArmTask
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.calibrated.made import healthy
from tests.robot_runtime.policy.networks import linear

PERIOD = 0.005  # s, of the bus
VARIANTS = [
    ("reach", "open-manipulator-x"),
    ("reach", "koch-v1.1"),
    ("track", "open-manipulator-x"),
    ("hold", "xl330-pendulum"),
]


def real_arm(task: str = "reach", arm: str | None = None, **options: Any) -> RealArm:
    env = gymnasium.make("RobotRuntime/RealArm-v0", task=task, arm=arm, **options).unwrapped
    assert isinstance(env, RealArm)
    return env


def twin_of(env: RealArm) -> Twin:
    assert isinstance(env.port, LockstepPort)
    return env.port.twin


def still(env: RealArm) -> np.ndarray:
    return np.zeros(env.action_space.shape or (), dtype=np.float32)


def opened_twin(arm: str, given: Calibration | None = None) -> tuple[Arm, Twin]:
    spec, twin = load_arm(arm), Twin.load(arm)
    port = LockstepPort(twin)
    set_up_unboxed(Bus(port), spec)
    also = calibration_checks(given, Orders(1 / PERIOD), "")
    found, _ = preflight(spec, port, PERIOD, also=also)
    assert found is not None
    return found, twin


def torque_is_on(twin: Twin) -> bool:
    return any(servo.memory.get("torque_enable") for servo in twin.servos)


@pytest.mark.parametrize(("task", "arm"), VARIANTS)
def test_rewards_are_the_tasks_for_equal_states(task: str, arm: str) -> None:
    simulated = sim.tasks.make_task(task, [5], arm=arm)
    simulated.reset()
    measured = MeasuredTask.like(task, arm)
    for each in (simulated, measured):  # a simulation knows how high it was a substep ago, an arm where it is
        assert isinstance(each, ArmTask)
        each.goal = replace(each.goal, low=0.0)
    measured.reseed(0, np.random.default_rng(5))
    measured.reset()
    random, terminated = np.random.default_rng(0), False
    while not simulated.done[0] and simulated.steps[0] < 60:
        action = random.uniform(-1.5, 1.5, (1, simulated.action_size))
        simulated.step(action)
        measured.measure(simulated.batch.qpos[0], simulated.batch.qvel[0])
        measured.step(action)
        assert np.array_equal(measured.aim(int(measured.steps[0])), measured.target[0])
        for name in ("reward", "error", "success", "terminated", "truncated"):
            assert getattr(measured, name)[0] == pytest.approx(getattr(simulated, name)[0]), name
        terminated |= bool(simulated.terminated[0])
    assert simulated.steps[0] > 5


@pytest.mark.parametrize(("task", "arm"), VARIANTS)
def test_spaces_and_lengths_are_those_of_the_simulated_task(task: str, arm: str) -> None:
    env, simulated = real_arm(task, arm), sim.tasks.make_env(task, arm=arm)
    assert env.observation_space == simulated.observation_space
    assert env.action_space == simulated.action_space
    assert env.task.limit == simulated.task.limit


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize(
    ("task", "arm"), [("reach", "open-manipulator-x"), ("reach", "koch-v1.1"), ("track", "xl330-pendulum")]
)
def test_actions_do_what_those_of_a_frozen_policy_do(tmp_path: Path, task: str, arm: str, calibrated: bool) -> None:
    """The same network, once as a policy in the runtime's own pilot, once as a learner: the same observations."""
    steps = 60
    given = healthy(load_arm(arm), 0.05).write(tmp_path / "arm.cal") if calibrated else None
    env = real_arm(task, arm, calibration=tmp_path / "arm.cal" if calibrated else None)
    simulated = sim.tasks.make_env(task, arm=arm)
    assert isinstance(simulated.task, ArmTask)
    contract = env.task.contract
    weights = np.random.default_rng(1).normal(0.0, 0.1, (contract.observation_size, contract.action_size))
    policy = load_policy(
        linear(tmp_path / "p.onnx", weights, metadata={"contract": contract_to_json(contract)}), load_arm(arm)
    )
    network = policy.network
    learner: list[np.ndarray] = []
    with closing(env):
        observation, _ = env.reset(seed=2)
        simulated.reset(seed=2)
        assert np.array_equal(env.task.target, simulated.task.target)
        aims = [env.task.aim(k) for k in range(steps + 1)]
        for _ in range(steps):
            learner.append(observation)
            network.observation[:] = observation
            network.run()
            observation = env.step(network.action.copy())[0]

    flown, _ = opened_twin(arm, given)
    maps = ResidualMaps(flown.spec, given, PERIOD) if given else None
    pilot = PolicyPilot(policy, flown, PERIOD, maps)
    seen: list[np.ndarray] = []

    class Aims:
        def begin(self, now: float) -> None:
            pass

        def sample(self, inputs: Inputs, now: float) -> None:
            inputs.target[:] = aims[len(seen)]
            inputs.target_stamp = now

    def look(loop: Loop) -> None:
        if loop.recorder.row["acts"][0]:
            seen.append(pilot.observation.copy())

    loop = make_loop(
        flown,
        pilot,
        Inputs(len(aims[0])),
        Aims(),
        NullRecorder(layout_of(flown.spec, contract)),
        Orders(1 / PERIOD),
        show_cycle=look,
    )
    loop.begin()
    while len(seen) < steps:
        assert loop.cycle()
    assert np.array_equal(seen, learner)


def test_another_arms_calibration_is_refused(tmp_path: Path) -> None:
    healthy(load_arm("koch-v1.1")).write(tmp_path / "arm.cal")
    env = real_arm("reach", "open-manipulator-x", calibration=tmp_path / "arm.cal")
    with closing(env), pytest.raises(PreflightFailedError, match="calibration"):
        env.reset()
    assert not torque_is_on(twin_of(env))


def test_a_calibration_that_was_refined_for_a_policy_is_refused_for_a_learner(tmp_path: Path) -> None:
    refined = Refined("a" * 64, "reach", 1000, 1, 300, (0.5, 0.9), (0.01, 0.005))
    replace(healthy(load_arm("koch-v1.1")), refined=refined).write(tmp_path / "arm.cal")
    with pytest.raises(UnfitMapError, match="refined for the policy aaaaaaaaaaaa alone.*robot-calibrate fit wrote"):
        real_arm("reach", "koch-v1.1", calibration=tmp_path / "arm.cal")


def test_gymnasium_finds_nothing_wrong() -> None:
    env = real_arm()
    with closing(env), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")  # nobody knows how fast a thing may be seen to move
        check_env(env)


def test_an_episode_ends_in_time_and_the_next_one_begins_at_home() -> None:
    env = real_arm("hold", "xl330-pendulum")
    with closing(env):
        env.reset(seed=0)
        for k in range(1, env.task.limit + 1):
            *_, terminated, truncated, info = env.step(still(env))
            assert not terminated
            assert truncated == (k == env.task.limit)
            assert set(info) == {"error", "is_success", "interventions"}
        first = env.task.target.copy()
        observation, _ = env.reset()
        assert observation[0] == pytest.approx(0.0, abs=0.1)
        assert not np.array_equal(env.task.target, first)
        assert torque_is_on(twin_of(env))


def test_the_same_calls_give_the_same_flight() -> None:
    def fly() -> np.ndarray:
        env, random = real_arm(gap="mild"), np.random.default_rng(4)
        with closing(env):
            seen = [env.reset(seed=1)[0]]
            seen += [env.step(random.uniform(-1, 1, 4).astype(np.float32))[0] for _ in range(40)]
        return np.array(seen)

    assert np.array_equal(fly(), fly())


def test_what_the_envelope_changed_is_told() -> None:
    env = real_arm()
    with closing(env):
        env.reset(seed=0)
        infos = [env.step(np.array([1.0, -1.0, 1.0, -1.0], dtype=np.float32))[4] for _ in range(30)]
    reasons = {reason for info in infos for reason in info["interventions"]}
    assert reasons & {"jerk", "velocity", "clearance"}
    assert all(0 < n <= 4 * len(env.spec_of_arm.joints) for info in infos for n in info["interventions"].values())


def test_close_lets_the_arm_down() -> None:
    env = real_arm()
    env.reset(seed=0)
    twin = twin_of(env)
    for _ in range(10):
        env.step(env.action_space.sample())
    assert torque_is_on(twin)
    env.close()
    assert not torque_is_on(twin)
    assert np.array(twin.drives.joint_position) == pytest.approx(env.spec_of_arm.poses["rest"], abs=0.15)
    env.close()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(still(env))


def test_the_end_of_the_program_lets_the_arm_down() -> None:
    program = """
import atexit, gymnasium, sim.tasks
env = gymnasium.make("RobotRuntime/RealArm-v0").unwrapped
twins = []
atexit.register(lambda: print("torque", [s.memory.get("torque_enable") for s in twins[0].servos]))
env.reset(seed=0)
twins.append(env.port.twin)
env.step(env.action_space.sample())
print("torque", [s.memory.get("torque_enable") for s in twins[0].servos])
raise KeyboardInterrupt
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines() == ["torque [1, 1, 1, 1, 1]", "torque [0, 0, 0, 0, 0]"]
    assert "KeyboardInterrupt" in done.stderr


def test_a_fault_ends_the_episode_and_only_a_person_begins_another() -> None:
    env = real_arm(hold_for=0.5)
    env.reset(seed=0)
    twin = twin_of(env)
    env.step(still(env))
    twin.inject("overload:servo=12")
    for _ in range(20):
        _, reward, _, truncated, info = env.step(still(env))
        if truncated:
            break
    assert set(info["fault"]) & {"hardware-error", "torque-lost"}
    assert np.isfinite(reward)
    for _ in range(2):
        with pytest.raises(ArmStoppedError, match=r"joint2.*See what is wrong"):
            env.reset()
        env.close()  # does not make it forget
    assert not torque_is_on(twin)


def test_a_fault_that_no_step_has_told_of_is_not_forgotten() -> None:
    env = real_arm()
    env.reset(seed=0)
    twin_of(env).inject("overload:servo=12")
    env.close()
    with pytest.raises(ArmStoppedError, match="joint2"):
        env.reset()


def test_an_unplugged_arm_is_a_fault_too() -> None:
    env = real_arm()
    with closing(env):
        env.reset(seed=0)
        twin_of(env).inject("unplugged")
        *_, truncated, info = env.step(still(env))
        assert truncated
        assert info["fault"] == ["port-gone", "torque-stays"]


def test_an_action_that_is_no_number_stops_the_arm() -> None:
    env = real_arm(hold_for=0.2)
    with closing(env):
        env.reset(seed=0)
        action = still(env)
        action[1] = np.nan
        for _ in range(2):
            _, reward, _, truncated, info = env.step(action)
        assert truncated
        assert info["fault"] == ["policy-not-finite"]
        assert np.isfinite(reward)


def test_what_the_preflight_finds_is_told_and_nothing_moves() -> None:
    env = real_arm(faults=["overload:servo=12"])
    with pytest.raises(PreflightFailedError, match="joint2") as caught:
        env.reset()
    assert any(check.ok is False for check in caught.value.checks)
    assert not torque_is_on(twin_of(env))


def test_options_that_exclude_each_other() -> None:
    for options in ({"port": "/dev/x", "gap": "mild"}, {"port": "/dev/x", "clock": "virtual"}, {"clock": "sundial"}):
        with pytest.raises(ValueError, match="clock|port"):
            RealArm(**options)  # type: ignore[arg-type]
    with pytest.raises(sim.tasks.UnknownTaskError, match="walker2d"):
        RealArm("walker2d")


@pytest.mark.parametrize(("arm", "wish"), [("open-manipulator-x", 0.3), ("koch-v1.1", -0.3)])
def test_a_learner_that_computes_finds_the_arm_where_it_left_it(arm: str, wish: float) -> None:
    """No action for two seconds: nothing is repeated, the arm stands, no fault; then it goes on."""
    flown, twin = opened_twin(arm)
    task = MeasuredTask.like("reach", arm)
    exchange = Exchange(3, patience=0.0)
    source = LearnerSource(task.contract, flown, PERIOD, exchange)
    recorder = NullRecorder(layout_of(flown.spec, task.contract))
    loop = make_loop(flown, source, Inputs(3), exchange, recorder, Orders(1 / PERIOD))
    action = np.full(task.action_size, wish, dtype=np.float32)  # a way that is free for so long
    loop.begin()

    def cycles(seconds: float, *, acts: bool) -> None:
        for k in range(round(seconds / PERIOD)):
            if acts and k % 4 == 3:
                exchange._action = action  # just too late for its own cycle: it is taken up in the next one
            assert loop.cycle()

    while loop.phase is not Phase.RUN:
        assert loop.cycle()
    home = np.array(twin.drives.joint_position)
    cycles(0.8, acts=True)
    cycles(1.5, acts=False)  # a geared joint creeps into place
    stands = np.array(twin.drives.joint_position)
    assert np.abs(stands - home).max() > 0.05
    cycles(2.0, acts=False)
    assert np.array(twin.drives.joint_position) == pytest.approx(stands, abs=0.02)
    cycles(0.3, acts=True)
    assert np.abs(np.array(twin.drives.joint_position) - stands).max() > 0.02
    assert not loop.monitor.seen
    loop.end()


def test_a_library_learns_on_it() -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    env = real_arm()
    with closing(env):
        model = sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, device="cpu", seed=0)
        model.learn(128)
        assert model.num_timesteps == 128


@pytest.mark.slow
def test_in_real_time_the_arm_is_let_down_while_the_learner_computes() -> None:
    program = """
import time, gymnasium, numpy as np, sim.tasks
from robot_runtime.flying import Phase
env = gymnasium.make("RobotRuntime/RealArm-v0", clock="real").unwrapped
env.reset(seed=0)
action = np.zeros(4, dtype=np.float32)
begin = time.monotonic()
for _ in range(50):
    assert "fault" not in env.step(action)[4]
print("took", time.monotonic() - begin, flush=True)
x, end = 0.0, time.monotonic() + 8.0
while time.monotonic() < end:  # learns, and holds the interpreter as well as it can
    x += 1.0
try:
    env.step(action)
except KeyboardInterrupt:
    print("stopped", flush=True)
env.close()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        took = process.stdout.readline().split()
        assert took[0] == "took"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(60) == 0
