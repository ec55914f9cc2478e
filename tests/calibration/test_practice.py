from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.logs.log import Log, make_log
from calibration.maps import practice as practised
from calibration.maps.fit import fit_observation_map, sense_scores, whole
from calibration.maps.practice import flicker, lookback, practice
from calibration.maps.targets import Track, track
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.spec import load_arm

PERIOD, LEAD, LAG, VOLTS = 0.005, 0.030, 0.020, np.array([5.0])


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(load_arm("xl330-pendulum"))


def numbers(rig: Rig) -> dict[str, Floats]:
    found = {name: value[0] for name, value in Physics(rig.world, ()).expand(np.zeros(0)).items()}
    return found | {"delay": np.array([LEAD]), "offset": np.array([0.02])}


def a_log(back: float = 2 * LAG, pace: float = 1.0) -> Log:
    """A smooth motion, behind a register that looks back so far (s)."""
    time = np.arange(0.0, 20.0, PERIOD)

    def angle(at: Floats) -> Floats:
        return 1.5 + 0.8 * np.sin(1.3 * pace * at) + 0.2 * np.sin(5.0 * pace * at + 1.0)

    q = angle(time)[:, None]
    dq = ((angle(time) - angle(time - back)) / back)[:, None]
    return make_log("smooth", ("pendulum",), ("pwm",), time, q, 0.3 * np.sin(q), dq=dq, duty=0.0, volts=5.0)


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize("back", [0.020, 0.058, 0.080])
def test_how_far_a_register_looks_back_is_read_off_a_log(back: float) -> None:
    assert lookback([a_log(back)]) == pytest.approx(back, abs=0.003)


def test_spikes_that_are_masked_say_nothing_of_the_register() -> None:
    log = a_log()
    spikes = np.arange(100, len(log), 400)
    q, valid = log.q.copy(), log.valid.copy()
    q[spikes], valid[spikes] = q[spikes] + 3.0, False
    assert lookback([replace(log, q=q, valid=valid)]) == pytest.approx(2 * LAG, abs=0.003)


def test_a_joint_that_rests_in_one_log_flickers_as_in_the_others(rig: Rig) -> None:
    log = a_log()
    log = replace(log, q=log.q + np.random.default_rng(0).normal(0.0, 0.001, log.q.shape))
    rest = replace(log, q=np.full_like(log.q, 1.5))
    assert flicker(rig, [log, rest]) == pytest.approx(flicker(rig, [log]))
    assert flicker(rig, [log]) == pytest.approx(0.001, rel=0.2)
    assert flicker(rig, [rest]) == 0.0


def test_it_is_the_arm_of_the_numbers_behind_its_own_sensors(rig: Rig) -> None:
    made = practice(rig, numbers(rig), VOLTS, [a_log()], PERIOD, LEAD)[0]
    back, ahead = round(2 * LAG / PERIOD), round(LEAD / PERIOD)
    known = slice(back, len(made) - ahead)
    # The register: what the angles did over as long as the recording's looks back.
    register = np.zeros_like(made.q)
    register[back:] = (made.q[back:] - made.q[:-back]) / (2 * LAG)
    assert rms((made.dq - register)[known]) < 0.1 * made.dq.std()
    # What is wanted: the simulator's register, a delay later.
    lag = rig.world.joints[0].servo.motor.velocity_lag
    looks = round(2 * lag / PERIOD)
    later = np.zeros_like(made.q)
    later[looks:] = (made.q[looks:] - made.q[:-looks]) / (looks * PERIOD)
    off = rms((made.wanted_dq[:-ahead] - later[ahead:])[back:])
    assert off < 0.1 * made.dq.std()
    assert off < 0.5 * rms((made.wanted_dq - register)[known])  # a delay makes more than that
    np.testing.assert_allclose(made.q / rig.laws.tick, np.rint(made.q / rig.laws.tick), atol=1e-6)


def test_what_was_recorded_faster_is_pushed_harder(rig: Rig) -> None:
    slow, fast = (
        np.concatenate([one.wanted_dq for one in practice(rig, numbers(rig), VOLTS, [log], PERIOD, LEAD)]).std()
        for log in (a_log(pace=0.3), a_log(pace=3.0))
    )
    assert a_log(pace=0.3).dq.std() < slow < fast < a_log(pace=3.0).dq.std()  # it comes part of the way
    assert fast > 1.5 * slow


def test_a_map_that_practised_sees_sooner_what_torques_have_begun(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    log, fitted = a_log(), numbers(rig)
    recorded = [whole(track(rig, log, PERIOD, fitted["offset"], delay=LEAD, ahead=LEAD - LAG))]
    seen = practice(rig, fitted, VOLTS, [log], PERIOD, LEAD)
    monkeypatch.setattr(practised, "SEED", 8)
    others = [whole(one) for one in practice(rig, fitted, VOLTS, [log], PERIOD, LEAD)]
    worst = {}
    for name, tracks in (("recording", ()), ("both", seen)):
        found = fit_observation_map(rig, fitted, recorded, practised=tracks, lead=LEAD, network=False)
        score = sense_scores(found, others)
        worst[name] = float((score["map"] / score["spread"]).max())
    assert worst["both"] < 0.5 * worst["recording"]
    assert worst["both"] < 0.15


def test_joints_that_stick_do_not_practise(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = Rig.of(load_arm("open-manipulator-x"))
    found = {name: value[0] for name, value in Physics(arm.world, ()).expand(np.zeros(0)).items()}
    found["delay"] = np.array([LEAD])
    volts, time = arm.laws.nominal_volts, np.arange(0.0, 2.0, PERIOD)
    q = 0.3 * np.sin(2.0 * time[:, None] + np.arange(4.0))
    dq = 0.6 * np.cos(2.0 * time[:, None] + np.arange(4.0))
    log = make_log("four", arm.world.names, ("current",) * 4, time, q, 0.0 * q, dq=dq, duty=0.0, volts=12.0)
    assert practice(arm, found, volts, [log], PERIOD, LEAD) == ()
    found["coulomb"][2] *= 0.1
    monkeypatch.setattr(practised, "SECONDS", 0.5)
    made = practice(arm, found, volts, [log], PERIOD, LEAD)
    np.testing.assert_array_equal(made[0].usable.all(axis=0), [False, False, True, False])
    sensed = fit_observation_map(arm, found, [whole(log_track(arm, log, found))], practised=made, network=False)
    assert all(np.isfinite(value.numpy()).all() for value in sensed.state_dict().values())


def log_track(rig: Rig, log: Log, found: dict[str, Floats]) -> Track:
    return track(rig, log, PERIOD, found["offset"], delay=LEAD, ahead=LEAD - LAG)
