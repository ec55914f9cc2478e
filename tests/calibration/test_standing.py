"""A joint that sticks: at rest its friction takes up whatever command there is, and the map makes no speed of that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from calibration.maps.fit import fit_observation_map, sense_inputs, whole
from calibration.maps.modules import ObservationMap
from calibration.maps.practice import loose
from calibration.maps.targets import Track
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.spec import load_arm
from tests.calibration.test_stage import made

PERIOD, LEAD = 0.005, 0.02
STILL = 0.002
LAGS = tuple(range(10))


def history(q: Floats) -> torch.Tensor:
    """A joint's row: these angles, newest first, whatever the rest says."""
    rest = np.linspace(0.1, 0.9, 2 * len(q))
    return torch.tensor(np.concatenate([q, rest])[None], dtype=torch.float32)


@pytest.fixture
def sense() -> ObservationMap:
    """That adds 0.5 rad/s."""
    found = ObservationMap(1, 10, torch.tensor([0.1]), LEAD, relative=torch.zeros(1), period=PERIOD)
    found.residual.bias.fill_(0.5)
    found.residual.most.fill_(2.0)
    return found


@pytest.mark.parametrize(
    ("apart", "counts"), [(0.0, 0.0), (STILL, 0.0), (1.5 * STILL, 0.5), (2.0 * STILL, 1.0), (1.0, 1.0)]
)
def test_of_what_sticks_the_residual_counts_as_far_as_it_moves(
    sense: ObservationMap, apart: float, counts: float
) -> None:
    q = np.full(10, 1.0 + apart * 10.0 / 9.0)  # the mean is of all ten, of which one is that of now
    q[0] = 1.0
    with torch.no_grad():
        always = sense(history(q))[0]
        sense.still.fill_(STILL)
        found = sense(history(q))[0]
        backwards = sense(history(2.0 - q))[0]
    register = 0.1
    assert always[1].item() == pytest.approx(register + 0.5)
    assert found[1].item() == pytest.approx(register + counts * 0.5, abs=1e-3)
    assert found[0].item() == pytest.approx(1.1 + LEAD * found[1].item(), abs=1e-5)
    assert backwards[1].item() == pytest.approx(found[1].item(), abs=1e-3)
    assert found[2] == always[2]  # how well the place is known has nothing to do with it


def a_sticking_track(rig: Rig) -> Track:
    """There and back between poses, with rests in which the command is anything that friction takes up."""
    random = np.random.default_rng(4)
    move, rest, at = 0.4, 0.4, 0.0
    q, dq, command = [], [], []
    time = np.arange(0.0, move, PERIOD)
    for _ in range(30):
        to = random.uniform(-1.0, 1.0)
        phase = 2.0 * np.pi * time / move
        q.append(at + (to - at) * (time / move - np.sin(phase) / (2.0 * np.pi)))
        dq.append((to - at) / move * (1.0 - np.cos(phase)))
        command.append(0.2 * np.sign(to - at) + 0.02 * (to - at) / move * np.sin(phase) * 2.0 * np.pi / move)
        count = round(rest / PERIOD)
        q.append(np.full(count, to))
        dq.append(np.zeros(count))
        command.append(np.full(count, random.uniform(-0.2, 0.2)))
        at = to
    angle, speed, sent = (np.concatenate(parts)[:, None] for parts in (q, dq, command))
    angle = np.rint(angle / rig.laws.tick) * rig.laws.tick
    soon = np.concatenate([speed[round(LEAD / PERIOD) :], np.zeros((round(LEAD / PERIOD), 1))])
    nothing, usable = np.zeros_like(angle), np.ones_like(angle, dtype=bool)
    return Track(
        "sticking", PERIOD, angle, speed, sent, nothing, nothing, angle, speed, nothing, usable, usable, sensed_dq=soon
    )


def test_a_map_that_knows_rests_makes_no_speed_of_a_standing_joint_s_command() -> None:
    rig = Rig.of(load_arm("xl330-pendulum"))
    numbers = {k: v[0] for k, v in Physics(rig.world, ()).expand(np.zeros(0)).items()}
    track = a_sticking_track(rig)
    x = torch.tensor(sense_inputs(track, LAGS).reshape(len(track), -1), dtype=torch.float32)
    apart = np.abs(track.q[np.maximum(np.arange(len(track))[:, None] - np.arange(15), 0), 0] - track.q).max(1)
    standing = (apart == 0.0) & (track.wanted_dq[:, 0] == 0.0)
    left: dict[float, tuple[float, float]] = {}
    for still in (0.0, 0.00153):
        found = fit_observation_map(rig, numbers, [whole(track)], lead=LEAD, still=np.array([still]), network=False)
        with torch.no_grad():
            error = found(x)[:, 1].numpy() - track.wanted_dq[:, 0]
        at_rest, moving = (float(np.sqrt(np.mean(error[rows] ** 2))) for rows in (standing, ~standing))
        left[still] = at_rest, moving
    assert standing.mean() > 0.3
    assert left[0.0][0] > 0.01  # rad/s, of nothing
    assert left[0.00153][0] < 1e-3
    assert left[0.00153][1] < 1.5 * left[0.0][1]  # the first ticks of a motion are not looked ahead of


def test_joints_that_stick_know_rests_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, split = made()
    assert loose(stage.rig, stage.numbers).all()
    np.testing.assert_array_equal(stage.still, 0.0)
    monkeypatch.setattr("calibration.maps.stage.loose", lambda *_: np.zeros(1, dtype=bool))
    stage, split = made()
    assert stage.rig.laws.tick[0] <= stage.still[0] < 4.0 * stage.rig.laws.tick[0]
    fitted = stage.observation(split.train, "linear")
    np.testing.assert_allclose(fitted.still.reshape(-1), stage.still, rtol=1e-6)
    np.testing.assert_array_equal(made("position")[0].still, 0.0)
