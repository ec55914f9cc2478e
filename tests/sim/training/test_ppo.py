"""The update: rsl_rl's own steps, done cheaper."""

from dataclasses import replace

import pytest
import torch
from rsl_rl.algorithms import PPO

from sim.tasks import make_task
from sim.training.learner import Learner
from sim.training.ppo import LeanPPO, clip_gradients
from sim.training.settings import SETTINGS

ROUNDS = 2


def learnt(schedule: str, entropy: float) -> Learner:
    settings = replace(
        SETTINGS["hold"], simulations=8, horizon=8, hidden=(16,), schedule=schedule, entropy=entropy, desired_kl=1e-3
    )
    learner = Learner(make_task("hold", range(8)), settings, 3, total=10_000)
    for _ in range(ROUNDS):
        torch.manual_seed(7)  # rsl_rl draws actions in its update that nobody needs
        learner.round()
    return learner


@pytest.mark.parametrize(("schedule", "entropy"), [("adaptive", 0.0), ("linear", 0.01)])
def test_it_learns_what_rsl_rl_learns(schedule: str, entropy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = learnt(schedule, entropy)
    monkeypatch.setattr(LeanPPO, "update", PPO.update)
    theirs = learnt(schedule, entropy)
    assert ours.ppo.learning_rate == pytest.approx(theirs.ppo.learning_rate)
    for model in ("actor", "critic"):
        expected = getattr(theirs.ppo, model).state_dict()
        for name, value in getattr(ours.ppo, model).state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=f"{model} {name}")


def test_a_rate_that_follows_changes() -> None:
    assert learnt("adaptive", 0.0).ppo.learning_rate != SETTINGS["hold"].learning_rate


@pytest.mark.parametrize("size", [0.01, 10.0])
def test_gradients_are_clipped_as_torch_does(size: float) -> None:
    gradients = [size * torch.randn(3, 4), None, size * torch.randn(5)]
    networks = []
    for _ in range(2):
        parameters = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(1))]
        parameters.append(torch.nn.Parameter(torch.zeros(5)))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        networks.append(parameters)
    clip_gradients(networks[0], 1.0)
    torch.nn.utils.clip_grad_norm_(networks[1], 1.0)
    for ours, theirs in zip(*networks, strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None and theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)
