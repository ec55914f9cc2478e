"""Refining: maps that learn around a policy that does not, and what of it reaches the runtime."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from calibration.bundle import BundleError, bundle
from calibration.cli.calibrate import main
from calibration.identified.arms import Identified
from calibration.identified.batch import BatchMap
from calibration.identified.episodes import Episodes, StoppedError
from calibration.identified.together import NotTogetherError
from calibration.identified.world import DRIVEN_BY, IdentifiedArm
from calibration.physics.identify import heavier
from calibration.physics.rollout import Rig
from calibration.refine import pipeline
from calibration.refine.export import with_post, with_pre
from calibration.refine.judge import Comparison, compare, spread_over
from calibration.refine.learn import Refiner, attach, settings_for
from calibration.refine.network import Around
from calibration.refine.pipeline import Hooks, RefineError, refine
from models.onnx_torch import OnnxModule, UntrainablePolicyError, same_weights
from robot_runtime.arm import JointState
from robot_runtime.calibrated.file import Calibration, Number, Refined
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.calibrated.network import MapNetwork
from robot_runtime.policy import contract_to_json
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import GOALS
from sim.tasks.registry import make_task
from tests.robot_runtime.calibrated.made import (
    PERIOD,
    calibration,
    goal_map,
    healthy,
    mapped,
    observation_map,
    torque_map,
)
from tests.robot_runtime.policy.networks import linear

POLICIES = Path(__file__).parents[2] / "models" / "policies"
HOLD, REACH = POLICIES / "hold-xl330-pendulum.onnx", POLICIES / "reach-open-manipulator-x.onnx"
OF = {"hold": (HOLD, "xl330-pendulum"), "reach": (REACH, "open-manipulator-x")}
FEW: dict[str, Any] = {"steps": 32, "simulations": 2, "held_out": 4, "threads": 1}


@pytest.fixture(autouse=True)
def _one_thread_and_short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(pipeline, "TRIED", 2)
    monkeypatch.setattr(pipeline, "TRIALS", 1)
    monkeypatch.setitem(GOALS, "hold", replace(GOALS["hold"], episode=0.6))


def an_arm(task: str, count: int = 2, given: Calibration | None = None, **options: Any) -> IdentifiedArm:
    spec = load_arm(OF[task][1])
    return IdentifiedArm(task, spec, range(count), given or healthy(spec), **options)


def learnt(around: Around) -> Around:
    """As if it had learnt something."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in around.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return around


# --- the frozen policy ---


@pytest.mark.parametrize("path", [HOLD, REACH, POLICIES / "wave-koch-v1.1.onnx"])
def test_torch_says_what_onnxruntime_says_of_many_at_once(path: Path) -> None:
    session, module = onnxruntime.InferenceSession(str(path)), OnnxModule(path)
    one = session.get_inputs()[0]
    seen = np.random.default_rng(0).normal(0.0, 0.5, (20, one.shape[-1])).astype(np.float32)
    wanted = np.concatenate([session.run(None, {one.name: row[None]})[0] for row in seen])
    np.testing.assert_allclose(module(torch.from_numpy(seen)).numpy(), wanted, atol=2e-5)


def test_a_policy_with_a_memory_or_a_strange_operator_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "policy.onnx", np.ones((3, 1)))
    model = onnx.load(str(path))
    model.graph.node[-1].op_type = "Erf"
    onnx.save(model, str(path))
    with pytest.raises(UntrainablePolicyError, match="Erf"):
        OnnxModule(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("h_in", 1, (1, 4)))
    onnx.save(model, str(path))
    with pytest.raises(UntrainablePolicyError, match="memory"):
        OnnxModule(path)


def test_the_policy_stays_the_same_to_the_last_bit_while_the_maps_learn() -> None:
    task = an_arm("hold", count=4)
    around = Around(task, HOLD)
    refiner = Refiner(task, around, settings_for("hold", 256, 4), seed=1)
    before = [p.detach().clone() for p in around.parameters()]
    while refiner.steps < 256:
        refiner.round()
    assert all(not torch.equal(a, b) for a, b in zip(before, around.parameters(), strict=True))
    assert same_weights(around.frozen, HOLD)
    constant = next(c for c in around.frozen.weights.values() if c.is_floating_point() and c.dim() == 2)
    constant[0, 0] = torch.nextafter(constant[0, 0], torch.tensor(9.0))
    assert not same_weights(around.frozen, HOLD)


# --- the maps ---


@pytest.mark.parametrize("task", OF)
def test_at_the_start_they_change_nearly_nothing(task: str) -> None:
    arm = an_arm(task, count=8)
    arm.reset()
    around = Around(arm, OF[task][0])
    policy = attach(arm, around)
    session = onnxruntime.InferenceSession(str(OF[task][0]))
    wanted = np.concatenate([session.run(None, {"obs": row[None]})[0] for row in arm.observation])
    np.testing.assert_allclose(policy(arm.observation), wanted.clip(-1.0, 1.0), atol=0.02)
    with torch.no_grad():
        for parameter in around.parameters():
            parameter.zero_()
    np.testing.assert_allclose(policy(arm.observation), wanted.clip(-1.0, 1.0), atol=2e-5)


def test_they_add_no_more_than_their_bound() -> None:
    around = learnt(Around(an_arm("reach"), REACH))
    for net in (around.pre, around.post):
        x = 100.0 * torch.randn(50, len(net.unit))
        assert ((net(x) - x[:, : len(net.bound)]).abs() <= net.bound + 1e-4).all()


@pytest.mark.parametrize("task", OF)
def test_the_files_compute_what_torch_computes_and_novelty_stays(task: str) -> None:
    arm = an_arm(task)
    around, joints = learnt(Around(arm, OF[task][0])), arm.world.names
    given = arm.calibration.maps
    kind = DRIVEN_BY[around.meaning]
    sense, drive = with_pre(given["observation"], around, joints), with_post(given[kind], around.post, joints)
    random, n = np.random.default_rng(1), len(given["observation"].joints)
    x = random.normal(0.0, 0.3, (1, 30 * n)).astype(np.float32)
    own, far = _run(given["observation"].onnx, x)
    got, as_far = _run(sense.onnx, x)
    np.testing.assert_allclose(got[0], around.pre(torch.from_numpy(own))[0].detach(), atol=1e-5)
    np.testing.assert_array_equal(far, as_far)
    taps = len(drive.taps["torque"])
    x = random.normal(0.0, 0.3, (1, (2 * taps + 3) * n)).astype(np.float32)
    x[:, -3 * n : -2 * n] = 12.0
    y = x.copy()
    for k in range(taps):  # every torque of the history, not only the newest
        torque, dq = x[:, k * n : (k + 1) * n], x[:, (taps + k) * n : (taps + k + 1) * n]
        y[:, k * n : (k + 1) * n] = around.post(torch.from_numpy(np.concatenate([torque, dq], 1))).detach()
    for a, b in zip(_run(drive.onnx, x), _run(given[kind].onnx, y), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert not np.allclose(_run(drive.onnx, x)[0], _run(given[kind].onnx, x)[0], atol=1e-3)


def _run(content: bytes, x: np.ndarray) -> Any:
    return onnxruntime.InferenceSession(content).run(["mapped", "novelty"], {"history": x})


def test_a_map_of_many_arms_is_the_runtimes_for_each_of_them() -> None:
    spec = load_arm("open-manipulator-x")
    module = torque_map(mapped(spec, "torque"), coulomb=0.05, viscous=0.01)
    with torch.no_grad():
        module.residual.scale.fill_(0.3)
        module.residual.linear.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(1))
        module.residual.most.fill_(1.0)
    file = calibration(spec, module).maps["torque"]
    n, arms = len(file.joints), 3
    many = BatchMap(file, PERIOD, arms)
    each = [MapNetwork("torque", file, PERIOD, now=("volts", "extra", "weight")) for _ in range(arms)]
    random = np.random.default_rng(0)
    now = (np.full((arms, n), 12.0), np.zeros((arms, n)), np.zeros((arms, n)))
    for cycle in range(40):
        rows, others = (list(values) for values in random.normal(0.0, 0.4, (2, 2, arms, n)))
        fresh = [0, 1, 2] if cycle == 0 else [1] if cycle == 20 else []  # the second arm begins again
        many.reset(np.array(fresh, dtype=np.intp))
        if cycle % 7 == 3:
            many(others, now)  # what is said again counts, not what was said first
        mapped_by_many = many(rows, now, again=cycle % 7 == 3)
        for i, one in enumerate(each):
            one.row[:] = np.concatenate([values[i] for values in rows])
            one.now[:] = np.concatenate([values[i] for values in now])
            one.fill() if i in fresh else one.push()
            one.run()
            np.testing.assert_allclose(mapped_by_many[i], one.mapped, atol=1e-5)


# --- the identified arm ---


class Watched(IdentifiedArm):
    """Tells the runtime's maps what its own are told, and compares."""

    compared = 0

    def _map_senses(self, *, again: bool = False) -> None:
        super()._map_senses(again=again)
        if again:
            self.maps = ResidualMaps(self.world.spec, self.calibration, PERIOD)
            count = len(self.world.spec.joints)
            self.state, self.sent, self.q, self.dq = JointState(count), *np.zeros((3, count))
            moved, by_torque = np.isin(np.arange(count), self.world.index), self.contract.action.meaning == "torque"
            self.by_torque, nobody = moved & by_torque, np.zeros(count, dtype=bool)
            self.maps.follow(self.sent, nobody if by_torque else moved)
            self.state.voltage[:] = [j.servo.motor.nominal_voltage for j in self.world.spec.joints]
            self.state.q[:] = self.world.spec.poses["home"]
        index = self.world.index
        self.sent[index], self.state.q[index], self.state.dq[index] = (
            self._sent[0],
            self._senses.q[0],
            self._senses.dq[0],
        )
        if again:
            self.maps.reset(self.state, 0.0)
        self.maps.observe(self.state, 0.0, self.q, self.dq)
        np.testing.assert_allclose(self.mapped[0], np.concatenate([self.q[index], self.dq[index]]), atol=1e-4)

    def _write(self, wanted: np.ndarray, noise: np.ndarray, weights: tuple[np.ndarray, np.ndarray]) -> None:
        super()._write(wanted, noise, weights)
        torque, values, index = np.zeros(len(self.q)), self.state.q.copy(), self.world.index
        torque[index] = values[index] = wanted[0]
        self.maps.command(torque, self.by_torque, self.state, 0.0, values)
        np.testing.assert_allclose(self._sent[0], values[index], atol=2e-3)
        self.compared += 1


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for an arm that takes positions; it goes somewhere."""
    contract = make_task("reach", [0], arm="koch-v1.1").contract
    assert contract is not None
    weights = np.random.default_rng(5).normal(0.0, 0.3, (contract.observation_size, contract.action_size))
    path: Path = tmp_path_factory.mktemp("koch") / "reach.onnx"
    return linear(path, weights, metadata={"contract": contract_to_json(contract)})


@pytest.mark.parametrize("name", ["open-manipulator-x", "xl330-pendulum", "koch-v1.1"])
def test_what_the_arm_is_told_is_what_the_runtime_would_tell_it(name: str, follower: Path) -> None:
    spec, task = load_arm(name), "hold" if name == "xl330-pendulum" else "reach"
    policy = {"open-manipulator-x": REACH, "xl330-pendulum": HOLD, "koch-v1.1": follower}[name]
    torques, goals = mapped(spec, "torque"), mapped(spec, "goal")
    drive = torque_map(torques, coulomb=0.02, viscous=0.01) if torques else goal_map(goals, 0.02, viscous=0.01)
    given = calibration(spec, observation_map(mapped(spec, "observation"), 0.02), drive)
    plain = IdentifiedArm(task, spec, [1], given)
    around, names = learnt(Around(plain, policy)), plain.world.names
    kind = DRIVEN_BY[around.meaning]
    maps = {"observation": with_pre(given.maps["observation"], around, names)}
    maps[kind] = with_post(given.maps[kind], around.post, names)
    arm = Watched(task, spec, [1], replace(given, maps=maps))
    arm.reset()
    random = np.random.default_rng(2)
    for _ in range(10):
        arm.step(random.uniform(-0.3, 0.3, (1, arm.action_size)))
    assert arm.compared == 40


def test_what_is_learnt_of_goals_is_what_the_files_do(follower: Path) -> None:
    """With the maps in torch, and with the same maps in the files: one arm goes the same way."""
    spec = load_arm("koch-v1.1")
    given = healthy(spec)
    live = IdentifiedArm("reach", spec, [1], given)
    around = learnt(Around(live, follower))
    acts = attach(live, around)
    names = live.world.names
    maps = {"observation": with_pre(given.maps["observation"], around, names)}
    maps["goal"] = with_post(given.maps["goal"], around.post, names)
    filed, bare = (IdentifiedArm("reach", spec, [1], c) for c in (replace(given, maps=maps), given))
    frozen = OnnxModule(follower)
    for arm in (live, filed, bare):
        arm.reset()
    for _ in range(10):
        live.step(acts(live.observation))
        for arm in (filed, bare):
            arm.step(frozen(torch.from_numpy(arm.observation)).numpy())
    np.testing.assert_allclose(live._qpos, filed._qpos, atol=1e-4)
    assert np.abs(bare._qpos - filed._qpos).max() > 0.003


def test_the_identified_numbers_are_in_the_world() -> None:
    numbers = {
        "pendulum.offset": Number(0.1, 0.1, 0.1, seen=True),
        "pendulum.coulomb": Number(0.05, 0.04, 0.06, seen=True),
        "pendulum.viscous": Number(0.002, 0.0, 1.0, seen=False),
        "delay": Number(0.030, 0.030, 0.030, seen=True),
    }
    alike = tuple((0.1, coulomb, 0.002, 0.030) for coulomb in (0.04, 0.06))
    arm = an_arm("hold", 40, replace(healthy(load_arm("xl330-pendulum")), physics=numbers, alike=alike))
    arm.reset()
    assert set(np.round(arm._dry.ravel(), 9)) == {0.04, 0.06}
    np.testing.assert_allclose(arm._viscous.reshape(40, -1)[:, 0], 0.002, rtol=1e-6)
    np.testing.assert_allclose(arm._senses.q, arm._qpos - 0.1, atol=5e-3)
    np.testing.assert_array_equal(arm._waits, 12)
    before = arm._qvel.copy()
    arm.step(np.ones((40, 1)))  # 20 ms: the command of 30 ms delay has not arrived
    held = arm._drives.torque.copy()
    arm.step(np.ones((40, 1)))
    assert np.abs(before).max() == 0.0
    assert (arm._drives.torque > held + 0.05).all()


def test_bodies_weigh_what_they_weighed_in_the_fit() -> None:
    """The Koch's reach holds wrist_roll and gripper still; the fit has found factors of what they carry."""
    spec = load_arm("koch-v1.1")
    factors = {f"{name}.link_mass": 0.8 + 0.1 * i for i, name in enumerate(spec.joint_names)}
    numbers = {label: Number(value, value, value, seen=True) for label, value in factors.items()}
    given = replace(healthy(spec), physics=numbers, alike=(tuple(factors.values()),))
    arm = IdentifiedArm("reach", spec, [1], given)
    arm.reset()
    assert len(arm.world.names) < len(spec.joint_names)
    rig = Rig.of(spec, spec.joint_names)
    model = heavier(rig, {"link_mass": np.array(list(factors.values())), "payload": np.zeros(1)}).world.model
    fitted = {model.body(i).name: (model.body_mass[i], model.body_inertia[i]) for i in range(model.nbody)}
    for i in range(arm.model.nbody):
        if i != arm.world.payload:
            mass, inertia = fitted[arm.model.body(i).name]
            assert arm._masses[0, i] == pytest.approx(mass)
            np.testing.assert_allclose(arm._inertias[0, i], inertia)
    few = {label: value for label, value in factors.items() if "wrist_roll" not in label}
    numbers = {label: Number(value, value, value, seen=True) for label, value in few.items()}
    other = IdentifiedArm("reach", spec, [1], replace(given, physics=numbers, alike=(tuple(few.values()),)))
    other.reset()
    rolled = arm.world.turned["wrist_roll"]
    assert other._masses[0, rolled] == pytest.approx(arm.model.body_mass[rolled] * factors["wrist_flex.link_mass"])


# --- the whole, and its verdict ---


def verdict(success: tuple[float, float], error: tuple[float, float]) -> Comparison:
    random = np.random.default_rng(0)
    before, after = (
        Episodes(random.random(200) < share, random.normal(off, 0.001, 200), np.zeros(200))
        for share, off in zip(success, error, strict=True)
    )
    return Comparison(before, after, np.arange(200) % 8)


@pytest.mark.parametrize(
    ("success", "error", "better"),
    [
        ((0.2, 0.6), (0.01, 0.02), True),
        ((1.0, 1.0), (0.02, 0.01), True),
        ((1.0, 1.0), (0.01, 0.01), False),
        ((1.0, 1.0), (0.01, 0.02), False),
        ((0.9, 0.4), (0.02, 0.01), False),
    ],
)
def test_successes_count_first_then_errors(
    success: tuple[float, float], error: tuple[float, float], better: bool
) -> None:
    assert verdict(success, error).better is better


def test_arms_that_gain_by_chance_are_not_called_better() -> None:
    """Eight arms in pairs that do alike, on which refining gains and costs, and on average nothing."""
    random, which, alarms = np.random.default_rng(0), np.arange(300) % 8, 0
    for _ in range(400):
        gain = np.repeat(random.normal(0.0, 0.1, 4), 2)[which]
        before, after = (
            Episodes(random.random(300) < share, np.full(300, 0.01), np.zeros(300)) for share in (0.5, 0.5 + gain)
        )
        alarms += Comparison(before, after, which).success.low > 0.0
    assert alarms < 0.025 * 400


def test_the_verdict_flies_every_arm_that_no_training_met_alike_often(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    alike = tuple((0.001 * arm,) for arm in range(32))
    given = replace(healthy(load_arm("xl330-pendulum")), physics=numbers, alike=alike)
    arms = []

    def flown(task: IdentifiedArm, *_: Any) -> Episodes:
        task.reset()
        arms.append(np.round(task._offset[:, 0] / 0.001).astype(int))
        return Episodes(np.ones(16, dtype=bool), np.zeros(16), np.zeros(16))

    monkeypatch.setattr("calibration.refine.judge.episodes", flown)
    found = compare("hold", load_arm("xl330-pendulum"), HOLD, (given, given), range(16))
    for arm in arms:
        np.testing.assert_array_equal(arm, found.which)
    np.testing.assert_array_equal(np.bincount(found.which), [0] * 24 + [2] * 8)


def test_arms_that_teach_that_choose_and_that_judge_are_not_the_same() -> None:
    numbers = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    alike = tuple((0.001 * arm,) for arm in range(32))
    given = replace(healthy(load_arm("xl330-pendulum")), physics=numbers, alike=alike)
    met = []
    for trial in (False, True):
        domain = an_arm("hold", given=given, trial=trial).domain
        assert isinstance(domain, Identified)
        met.append({round(float(one["offset"][0]) / 0.001) for one in domain.arms})
    assert met == [set(range(20)), set(range(20, 24))]
    assert set(spread_over(300, given)) == set(range(24, 32))


def test_what_is_better_is_kept_and_says_for_whom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = load_arm("xl330-pendulum")
    monkeypatch.setattr(pipeline, "compare", lambda *_, **__: verdict((0.1, 0.9), (0.02, 0.01)))
    outcome = refine(healthy(spec), HOLD, spec, **FEW)
    assert outcome.refined is not None
    written = outcome.refined.write(tmp_path / "refined.cal")
    read = Calibration.read(tmp_path / "refined.cal")
    assert read.digest == written.digest
    assert read.refined is not None
    assert (read.refined.task, read.refined.seed, read.refined.steps) == ("hold", 1, 32)
    assert read.refined.success == pytest.approx((0.1, 0.9), abs=0.1)
    ResidualMaps(spec, read, PERIOD)
    with pytest.raises(RefineError, match="already"):
        refine(read, HOLD, spec, **FEW)


@pytest.mark.parametrize(
    ("change", "policy", "says"),
    [
        (lambda c: c, REACH, "made for open-manipulator-x|open-manipulator-x"),
        (lambda c: replace(c, identity=replace(c.identity, mjcf_digest="0" * 64)), HOLD, "the calibration is of"),
        (lambda c: replace(c, accepted=False), HOLD, "not accepted"),
        (lambda c: replace(c, maps={"observation": c.maps["observation"]}), HOLD, "torque map"),
    ],
)
def test_what_cannot_be_refined_is_refused(
    change: Callable[[Calibration], Calibration], policy: Path, says: str
) -> None:
    spec = load_arm("xl330-pendulum")
    with pytest.raises(ValueError, match=says):
        refine(change(healthy(spec)), policy, spec, **FEW)


def test_a_task_that_the_policy_was_not_made_for_is_refused() -> None:
    spec = load_arm("xl330-pendulum")
    with pytest.raises(RefineError, match="its observation is"):
        refine(healthy(spec), HOLD, spec, task="track", **FEW)
    with pytest.raises(NotTogetherError, match="asks for a tip_position"):
        refine(healthy(spec), HOLD, spec, task="reach", **FEW)


def test_a_target_with_a_history_is_seen_whole(tmp_path: Path) -> None:
    spec, task = load_arm("xl330-pendulum"), make_task("track", [0], arm="xl330-pendulum")
    assert isinstance(task, ArmTask)
    contract = task.contract
    assert max(term.history for term in contract.observation if term.kind == "target") > 1
    weights = np.random.default_rng(1).normal(0.0, 0.1, (contract.observation_size, 1))
    policy = linear(tmp_path / "policy.onnx", weights, metadata={"contract": contract_to_json(contract)})
    outcome = refine(healthy(spec), policy, spec, task="track", **FEW)
    assert outcome.comparison.before.success.size == 4


def test_whoever_stops_it_gets_no_file() -> None:
    spec = load_arm("xl330-pendulum")
    rounds: list[Any] = []
    with pytest.raises(StoppedError):
        refine(healthy(spec), HOLD, spec, hooks=Hooks(rounds=rounds.append, stop=lambda: bool(rounds)), **FEW)


@pytest.mark.parametrize(("after", "code"), [((0.1, 0.9), 0), ((0.9, 0.1), 6)])
def test_the_command_writes_only_what_is_better(
    after: tuple[float, float],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cal, out = tmp_path / "arm.cal", tmp_path / "refined.cal"
    healthy(load_arm("xl330-pendulum")).write(cal)
    monkeypatch.setattr(pipeline, "compare", lambda *_, **__: verdict(after, (0.01, 0.01)))
    monkeypatch.setattr(pipeline, "SIMULATIONS", 2)
    arguments = ["refine", str(cal), "--policy", str(HOLD), "--out", str(out), "--steps", "32", "--threads", "1"]
    assert main([*arguments, "--json"]) == code
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert out.exists() is (code == 0)
    assert told["refined"] == (str(out) if code == 0 else None)
    assert told["success_difference"]["mean"] == pytest.approx(after[1] - after[0], abs=0.1)


def test_the_command_says_by_how_much_it_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cal = tmp_path / "arm.cal"
    healthy(load_arm("xl330-pendulum")).write(cal)
    monkeypatch.setattr(pipeline, "compare", lambda *_, **__: verdict((1.0, 0.0), (0.01, 0.02)))
    monkeypatch.setattr(pipeline, "SIMULATIONS", 2)
    arguments = ["refine", str(cal), "--policy", str(HOLD), "--out", str(tmp_path / "r.cal"), "--threads", "1"]
    assert main([*arguments, "--steps", "32"]) == 6
    said = capsys.readouterr().out
    assert "100.0% ->     0.0%       by -100.00 (95 %: -100.00 to -100.00) points" in said
    assert "mrad" in said
    assert "NO BETTER: nothing was written" in said

    @contextmanager
    def at_once() -> Iterator[list[int]]:
        yield [signal.SIGINT]

    monkeypatch.setattr("sim.training.asked_to_stop.asked_to_stop", at_once)
    assert main(arguments) == 130
    assert "interrupted" in capsys.readouterr().out
    assert not (tmp_path / "r.cal").exists()


def test_a_bundle_takes_it_for_its_own_policy_alone(tmp_path: Path) -> None:
    spec, cal = load_arm("open-manipulator-x"), tmp_path / "arm.cal"
    arm = an_arm("reach")
    around, given = learnt(Around(arm, REACH)), arm.calibration
    maps = {"observation": with_pre(given.maps["observation"], around, arm.world.names)}
    maps["torque"] = with_post(given.maps["torque"], around.post, arm.world.names)
    ours = Refined(load_policy(REACH, spec).digest, "reach", 1, 1, 1, (0.0, 1.0), (1.0, 0.0))
    replace(given, maps=maps, refined=ours).write(cal)
    bundle(REACH, cal, tmp_path / "bundle.onnx", spec)
    onnxruntime.InferenceSession(str(tmp_path / "bundle.onnx"))
    replace(given, maps=maps, refined=replace(ours, policy="0" * 64)).write(cal)
    with pytest.raises(BundleError, match="refined for policy 000000000000"):
        bundle(REACH, cal, tmp_path / "other.onnx", spec)


def test_a_refined_calibration_stays_what_it_is(tmp_path: Path) -> None:
    facts = Refined("0" * 64, "hold", 100, 1, 300, (0.5, 0.9), (0.01, 0.005))
    given = replace(healthy(load_arm("xl330-pendulum")), refined=facts).write(tmp_path / "arm.cal")
    assert Calibration.read(tmp_path / "arm.cal") == given
