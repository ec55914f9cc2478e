"""A study's policy on the twin: only where the twin is all of the target."""

import pytest
import torch
from torch import nn

from sim.transfer import twin_trial
from sim.transfer.targets import make_target
from sim.transfer.twin_trial import on_twin


class Still(nn.Module):
    """Says nothing."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.actions = actions

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return obs[:, : self.actions] * 0.0


def test_a_gap_is_flown_on_the_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_trial, "TARGETS", 1)
    table: dict[str, str | float] = {"arm": "xl330-pendulum", "gap": "harsh"}
    task = make_target("hold", table, [0], source={})
    trial = on_twin(task, table, Still(task.action_size), seed=1)
    assert trial is not None
    assert trial["targets"] == 1
    assert abs(trial["error"] - trial["error_felt"]) <= 0.05  # what encoders are askew by, and noise
    assert trial["error"] != trial["error_felt"]


def test_no_twin_has_a_payload_or_longer_links_of_its_own() -> None:
    table: dict[str, str | float] = {"arm": "xl330-pendulum", "torque_constant": 0.8}
    assert on_twin(make_target("hold", table, [0]), table, Still(1), seed=1) is None
    assert on_twin(make_target("walker2d", {}, [0]), {}, Still(6), seed=1) is None
