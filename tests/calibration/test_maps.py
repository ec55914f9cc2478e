from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from calibration.judging.acceptance import SLOPE, slopes_of
from calibration.maps.fit import TORQUE_HISTORY, fit_torque_map, lags_of, torque_inputs, torque_scores, whole
from calibration.maps.modules import FADE, PHYSICS, ObservationMap, Residual, TorqueMap
from calibration.maps.targets import Track, rubbed
from calibration.maps.training import Budget, fit_inverse
from calibration.physics.numbers import MOST_LOAD_FRICTION, Physics
from calibration.physics.rollout import Rig
from robot_runtime.spec import load_arm

SMALL = Budget(epochs=6)


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(load_arm("xl330-pendulum"))


def numbers(rig: Rig) -> dict[str, np.ndarray]:
    return {k: v[0] for k, v in Physics(rig.world, ()).expand(np.zeros(0)).items()}


def a_track(rig: Rig, seed: int, bend: float = 0.0) -> Track:
    """A motion whose duty is that of the data file's motor, and `bend` times a function that no physics has."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, 8.0, 0.005)
    waves = [random.uniform(0.1, 0.4) * np.sin(f * time + random.uniform(0, 6)) for f in (2.0, 5.0, 9.0)]
    q = np.sum(waves, axis=0)[:, None]
    dq = np.gradient(q, 0.005, axis=0)
    motor = load_arm("xl330-pendulum").joints[0].servo.motor
    net = 0.15 * np.sin(q) + 0.004 * np.gradient(dq, 0.005, axis=0)
    nominal = numbers(rig)
    torque = rubbed(net, dq, nominal["coulomb"], nominal["viscous"], nominal["load_friction"])
    duty = (torque / motor.torque_constant * motor.resistance + motor.torque_constant * dq) / 5.0
    duty = duty + bend * np.sin(20 * net) * np.cos(dq)
    moving = (np.abs(dq) > 0.15) & (np.abs(duty) < 0.98)
    usable = np.ones_like(moving)
    register = np.concatenate([np.repeat(dq[:1], 4, axis=0), dq[:-4]])
    volts = np.full_like(q, 5.0)
    return Track("made", 0.005, q, register, duty, volts, duty, q, dq, torque, usable, moving)


def test_maps_begin_as_physics_alone(rig: Rig) -> None:
    values = {name: torch.ones(1) for name in PHYSICS} | {"supply": torch.zeros(1)}
    for name in ("sim_coulomb", "sim_viscous", "sim_load", "coulomb", "viscous", "load"):
        values[name] = torch.zeros(1)
    torque_map = TorqueMap(1, 3, values, pwm=torch.ones(1))
    x = torch.tensor([[0.5, 0.1, 0.2, 2.0, 0.0, 0.0, 10.0, 0.0, 0.0]])
    assert torque_map(x)[0, 0].item() == pytest.approx((0.5 + 2.0) / 10.0)
    sense = ObservationMap(1, 2, torch.tensor([0.1]), 0.0, relative=torch.ones(1), period=0.005)
    np.testing.assert_allclose(sense(torch.tensor([[0.3, 0.2, 1.5, 1.4, 0.0, 0.0]]))[0, :2].detach(), [0.4, 1.5])


def test_a_residual_is_clipped_and_its_networks_fade_away_from_the_data() -> None:
    torch.manual_seed(0)
    residual = Residual(1, 2)
    residual.most.fill_(0.3)
    residual.clip.fill_(10.0)
    torch.nn.init.constant_(residual.ensemble.b2, 5.0)
    near, far = torch.zeros(1, 1, 2), torch.full((1, 1, 2), FADE[1] + 1.0)
    assert residual(near)[0].item() == pytest.approx(0.3)
    added, novelty = residual(far)
    assert added.item() == 0.0
    assert novelty.item() == pytest.approx(FADE[1] + 1.0)


def test_a_healthy_servo_gets_a_map_that_changes_nothing(rig: Rig) -> None:
    train, test = [whole(a_track(rig, 1))], [whole(a_track(rig, 2))]
    found = fit_torque_map(rig, numbers(rig), train, np.array([5.0]), budget=SMALL)
    assert torque_scores(found, test, np.array([5.0]))["map"][0] < 0.001


def test_what_physics_cannot_say_is_learnt(rig: Rig) -> None:
    train = [whole(a_track(rig, seed, bend=0.15)) for seed in (1, 3, 4)]
    test = [whole(a_track(rig, 2, bend=0.15))]
    found = fit_torque_map(rig, numbers(rig), train, np.array([5.0]), budget=Budget(epochs=40))
    score = torque_scores(found, test, np.array([5.0]))
    assert score["map"][0] < 0.5 * score["physics"][0]


def test_a_torque_goes_through_at_once_however_noisy_those_of_the_fit_were(rig: Rig) -> None:
    made = a_track(rig, 1)
    noise = 0.01 * np.random.default_rng(5).standard_normal(made.torque.shape)
    train, volts = [whole(replace(made, torque=made.torque + noise))], np.array([5.0])
    found = fit_torque_map(rig, numbers(rig), train, volts, network=False)
    lags = lags_of(TORQUE_HISTORY, made.period)
    x = torque_inputs(made, lags, volts)[100:500].reshape(400, -1).astype(np.float32)
    step, past = x.copy(), x.copy()
    step[:, 0] += 0.05
    past[:, 1 : len(lags)] += 0.05
    with torch.no_grad():
        before, after, later = (found(torch.from_numpy(rows))[:, 0] for rows in (x, step, past))
        by_physics = [found.parts(torch.from_numpy(rows))[1][0, :, 0] for rows in (x, step)]
    np.testing.assert_allclose(later, before)
    np.testing.assert_allclose(after - before, by_physics[1] - by_physics[0], rtol=0.15)


def pushing(load: float) -> tuple[TorqueMap, torch.Tensor]:
    """A map whose gears eat so much, and motions that it pushes along."""
    values = {name: torch.zeros(1) for name in PHYSICS}
    values |= {name: torch.ones(1) for name in ("constant", "nominal_constant", "resistance")}
    made = TorqueMap(1, 1, values | {"load": torch.tensor([load])}, pwm=torch.zeros(1))
    random = np.random.default_rng(0)
    torque, dq = random.uniform(0.2, 1.0, (2, 400)) * random.choice([-1.0, 1.0], 400)
    still = np.zeros(400)
    return made, torch.tensor(np.stack([torque, dq, still + 12.0, still, still], axis=1), dtype=torch.float32)


def test_a_map_that_pushes_the_wrong_way_is_seen_though_its_physics_does_so_too() -> None:
    for load, positive in ((0.0, True), (0.5, True), (1.1, False)):
        made, x = pushing(load)
        with torch.no_grad():
            command = made(x)[:, 0]
        assert bool((command * x[:, 0] > 0).all()) is positive
        low, high = slopes_of(made, x.numpy(), ("joint",))["joint"]
        assert abs(high) == pytest.approx(1.0, rel=1e-3)
        assert (low >= SLOPE[0]) is positive


def test_a_map_is_not_tuned_to_gears_that_eat_everything() -> None:
    truth, x = pushing(0.97)
    tuned, _ = pushing(0.4)
    modest, least = pushing(0.6)
    weight = torch.ones(1, 400, 1)
    with torch.no_grad():
        fit_inverse(tuned, x, truth.parts(x)[1], weight)
        assert tuned.load.item() == pytest.approx(MOST_LOAD_FRICTION)
        fit_inverse(modest, least, pushing(0.7)[0].parts(least)[1], weight)
        assert 0.6 < modest.load.item() < 0.8


def test_histories_become_whole_periods() -> None:
    assert lags_of((0.0, 0.010, 0.012, 0.050), 0.01) == (0, 1, 5)
