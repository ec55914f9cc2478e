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
from calibration.maps.modules import MOTOR, PHYSICS, SERVOS, GoalMap, ObservationMap, Residual, TorqueMap

PERIOD = 0.005
TAPS, SENSE_TAPS = len(lags_of(TORQUE_HISTORY, PERIOD)), len(lags_of(SENSE_HISTORY, PERIOD))
GOAL_LAGS = lags_of(GOAL_HISTORY, PERIOD)
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


@pytest.mark.parametrize("still", [(0.002, 0.002, 0.002), (0.0, 0.002, 0.004)])
@pytest.mark.parametrize("network", [False, True])
def test_an_observation_map_of_joints_that_stand_and_that_move(still: tuple[float, ...], network: bool) -> None:
    """Its file is compared with the module on these rows as it is made."""
    module = ObservationMap(3, SENSE_TAPS, torch.zeros(3), 0.03, relative=torch.zeros(3), period=PERIOD)
    module.still.copy_(torch.tensor(still).reshape(3, 1, 1))
    trained(module.residual, network=network)
    given = rows(3, 3 * SENSE_TAPS, volts=False)
    steps = np.linspace(0.0, 0.012, len(given))[:, None, None] * np.random.default_rng(1).random((3, SENSE_TAPS))
    given[:, :, :SENSE_TAPS] = given[:, :, :1] + steps
    counts = module.moves(torch.tensor(given.reshape(len(given), -1), dtype=torch.float32))
    assert counts.min() == 0.0
    assert counts.max() == 1.0
    assert ((counts > 0.0) & (counts < 1.0)).any()
    observation_file(module, given, names(3), PERIOD)


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


def goal_map(joints: int, **others: float) -> GoalMap:
    servos = {name: 0.5 + torch.rand(joints) for name in SERVOS} | physics(joints, **others)
    return GoalMap(joints, [lag * PERIOD for lag in GOAL_LAGS], servos)


def still(goal: float, measured: float, weight: float) -> list[float]:
    """A joint's row."""
    taps = len(GOAL_LAGS)
    return [goal] * taps + [measured] * taps + [0.0] * taps + [5.0, 0.0, weight]


@pytest.mark.parametrize("joints", [1, 5])
@pytest.mark.parametrize("without", [(), ("supply",), (*DRY, "supply")])
def test_a_goal_map(joints: int, without: tuple[str, ...]) -> None:
    module = goal_map(joints, **dict.fromkeys(without, 0.0))
    given = rows(joints, 3 * module.taps + 3, volts=True)
    file = goal_file(module, given, names(joints), PERIOD)
    assert file.taps == dict.fromkeys(("goal", "q", "dq"), (0.0, 0.05, 0.1))
    trained(module.residual)
    goal_file(module, given, names(joints), PERIOD)


def test_a_goal_map_of_equal_servos_moves_goals_by_the_offset_alone() -> None:
    module = goal_map(2, supply=0.0)
    for name in MOTOR:
        module.get_buffer(name).copy_(module.get_buffer(f"sim_{name}"))
    module.sim_volts.fill_(5.0)
    module.offset[:, 0, 0] = torch.tensor([0.1, -0.2])
    x = torch.tensor([still(0.5, 0.4, 0.1) + still(-0.3, -0.25, 0.0)])
    np.testing.assert_allclose(module(x)[0, :2].detach(), [0.4, -0.1], atol=1e-6)


def test_a_goal_that_rests_moves_by_the_weight_and_by_nothing_that_is_measured() -> None:
    """What comes back late around a servo's own loop could make it swing."""
    module = goal_map(1)
    module.authority.fill_(10.0)
    first, elsewhere, heavier = (
        float(module(torch.tensor([row]))[0, 0].detach())
        for row in (still(0.5, 0.4, 0.1), still(0.5, -0.4, 0.1), still(0.5, 0.4, 0.3))
    )
    assert first == elsewhere
    assert first != heavier


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


def test_a_map_of_a_joint_that_hardly_moved_is_as_exact_as_single_precision_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its speeds count many times over; they are differences of large angles."""
    module = ObservationMap(3, SENSE_TAPS, torch.zeros(3), 0.03, relative=torch.zeros(3), period=PERIOD)
    with torch.no_grad():
        module.residual.scale.fill_(20.0)
        module.residual.linear.normal_(std=0.2)
        module.residual.most.fill_(7.0)
    given = 0.02 * rows(3, 3 * SENSE_TAPS, volts=False)
    given[:, :, :SENSE_TAPS] += 2.8
    observation_file(module, given, names(3), PERIOD)
    monkeypatch.setattr(map_export, "ROUNDING", 0.0)
    with pytest.raises(MapExportError, match="off by"):
        observation_file(module, given, names(3), PERIOD)


def test_an_onnx_that_says_nan_is_not_made() -> None:
    module = ObservationMap(1, SENSE_TAPS, torch.full((1,), torch.nan), 0.0, relative=torch.zeros(1), period=PERIOD)
    with pytest.raises(MapExportError, match="off by nan"):
        observation_file(module, rows(1, 3 * SENSE_TAPS, volts=False), names(1), PERIOD)
