"""Maps as ONNX: few nodes, and the numbers of the torch modules whatever their physics and however many joints."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from calibration.maps import export as map_export
from calibration.maps.export import METADATA_KEY, MapExportError, goal_file, observation_file, torque_file
from calibration.maps.fit import GOAL_HISTORY, SENSE_HISTORY, TORQUE_HISTORY, lags_of
from calibration.maps.graph import observation_graph
from calibration.maps.modules import LAW, PHYSICS, GoalMap, ObservationMap, Residual, TorqueMap

PERIOD = 0.005
TAPS, SENSE_TAPS, GOAL_TAPS = (len(lags_of(h, PERIOD)) for h in (TORQUE_HISTORY, SENSE_HISTORY, GOAL_HISTORY))
DRY = ("load", "sim_load", "coulomb", "sim_coulomb")


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(3)


def trained(residual: Residual, *, network: bool = True) -> None:
    """As if something had been learnt."""
    with torch.no_grad():
        residual.mean.normal_(std=0.1)
        residual.scale.uniform_(0.1, 1.5)
        residual.linear.normal_(std=0.05)
        residual.bias.normal_(std=0.01)
        residual.most.fill_(0.4)
        if network:
            residual.clip.fill_(0.1)
            residual.ensemble.w2.normal_(std=0.2)


def physics(joints: int, **others: float) -> dict[str, torch.Tensor]:
    values = {name: 0.05 + 0.1 * torch.rand(joints) for name in PHYSICS}
    return values | {name: torch.full((joints,), value) for name, value in others.items()}


def rows(joints: int, numbers: int, *, volts: bool) -> np.ndarray:
    found = np.random.default_rng(0).normal(0.0, 0.5, (30, joints, numbers))
    if volts:
        found[:, :, -3] = 11.0
    return found


def names(joints: int) -> list[str]:
    return [f"joint{i}" for i in range(joints)]


@pytest.mark.parametrize("joints", [1, 4, 6])
@pytest.mark.parametrize("network", [False, True])
def test_an_observation_map(joints: int, network: bool) -> None:
    module = ObservationMap(
        joints, SENSE_TAPS, 0.1 * torch.randn(joints), 0.003, relative=torch.arange(joints) % 2.0, period=PERIOD
    )
    trained(module.residual, network=network)
    file = observation_file(module, rows(joints, 3 * SENSE_TAPS, volts=False), names(joints), PERIOD)
    assert file.taps["q"][:2] == (0.0, 0.005)
    assert file.taps["command"][:2] == (0.005, 0.01)  # of a cycle that has been
    (told,) = [p.value for p in onnx.load_from_string(file.onnx).metadata_props if p.key == METADATA_KEY]
    assert json.loads(told) == {
        "kind": "observation",
        "joints": names(joints),
        "period": PERIOD,
        "taps": {quantity: list(taps) for quantity, taps in file.taps.items()},
    }


@pytest.mark.parametrize("pwm", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 1.0)])
@pytest.mark.parametrize(
    "without", [(), ("supply",), ("load",), ("sim_load",), ("load", "sim_load", "coulomb", "sim_coulomb")]
)
def test_a_torque_map_of_every_physics(pwm: tuple[float, ...], without: tuple[str, ...]) -> None:
    module = TorqueMap(3, TAPS, physics(3, **dict.fromkeys(without, 0.0)), pwm=torch.tensor(pwm))
    trained(module.residual)
    file = torque_file(module, rows(3, 2 * TAPS + 3, volts=True), names(3), PERIOD)
    assert [*file.taps] == ["torque", "dq"]


@pytest.mark.parametrize("joints", [1, 5])
def test_a_goal_map(joints: int) -> None:
    law = {name: 0.5 + torch.rand(joints) for name in LAW}
    module = GoalMap(joints, 1, physics(joints), law)
    file = goal_file(module, rows(joints, 6, volts=True), names(joints), PERIOD)
    assert file.taps == {"goal": (0.0,), "q": (0.0,), "dq": (0.0,)}
    learnt = GoalMap(joints, GOAL_TAPS, physics(joints), law)
    trained(learnt.residual)
    given = rows(joints, 3 * GOAL_TAPS + 3, volts=True)
    assert len(goal_file(learnt, given, names(joints), PERIOD).taps["q"]) == GOAL_TAPS


def test_a_goal_moves_by_the_mean_of_its_history() -> None:
    """What came in for a moment moves it by a share of what a lasting error does."""
    law = {name: torch.ones(1) for name in LAW} | {"offset": torch.zeros(1), "gain": torch.full((1,), 0.1)}
    motor = {name: torch.ones(1) for name in ("constant", "nominal_constant", "resistance")}
    module = GoalMap(1, GOAL_TAPS, {name: torch.zeros(1) for name in PHYSICS} | motor, law)

    def moved(errors: list[float]) -> float:
        x = torch.tensor([[*errors, *([0.0] * 2 * GOAL_TAPS), 5.0, 0.0, 0.0]])
        return float(module(x)[0, 0].detach()) - errors[0]

    lasting = moved([0.1] * GOAL_TAPS)
    assert lasting != 0.0
    assert moved([0.1] + [0.0] * (GOAL_TAPS - 1)) == pytest.approx(lasting / GOAL_TAPS)


def test_a_goal_map_of_equal_motors_moves_goals_by_the_offset_alone() -> None:
    values = physics(2, supply=0.0)
    for name in ("coulomb", "viscous", "load"):
        values[name] = values[f"sim_{name}"]
    law = {"offset": torch.tensor([0.1, -0.2]), "gain": torch.full((2,), 2.0), "authority": torch.full((2,), 0.3)}
    law |= {
        "sim_constant": values["constant"],
        "sim_resistance": values["resistance"],
        "sim_volts": torch.full((2,), 5.0),
    }
    module = GoalMap(2, 1, values, law)
    x = torch.tensor([[0.5, 0.4, 0.0, 5.0, 0.0, 0.1, -0.3, -0.25, 0.0, 5.0, 0.0, 0.0]])
    np.testing.assert_allclose(module(x)[0, :2].detach(), [0.4, -0.1], atol=1e-6)


def test_an_onnx_that_computes_something_else_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ObservationMap(1, SENSE_TAPS, torch.zeros(1), 0.0, relative=torch.zeros(1), period=PERIOD)
    other = ObservationMap(1, SENSE_TAPS, torch.ones(1), 0.0, relative=torch.zeros(1), period=PERIOD)
    made = observation_graph
    monkeypatch.setattr(map_export, "observation_graph", lambda _: made(other))
    with pytest.raises(MapExportError, match="off by"):
        observation_file(module, rows(1, 3 * SENSE_TAPS, volts=False), names(1), PERIOD)


def test_a_period_that_it_was_not_fitted_at_is_refused() -> None:
    module = ObservationMap(1, SENSE_TAPS, torch.zeros(1), 0.0, relative=torch.zeros(1), period=PERIOD)
    with pytest.raises(MapExportError, match="another period"):
        observation_file(module, rows(1, 3 * SENSE_TAPS, volts=False), names(1), 0.01)
