"""What each strategy starts from, freezes, and lets learn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies import STRATEGIES, StrategyError, combined
from tests.sim.transfer.small import cell_of, fresh, saved, small_study

LAYERS = 3


New = Callable[[], Networks]


@pytest.fixture
def new(tmp_path: Path) -> New:
    cell = cell_of(small_study(tmp_path), "source-1")
    return lambda: fresh(cell)[1]


@pytest.fixture
def networks(new: New) -> Networks:
    return new()


@pytest.fixture
def base(new: New) -> Saved:
    """Another one than the fresh networks, in everything."""
    trained = new()
    with torch.no_grad():
        for model in trained.models:
            for tensor in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
                tensor.add_(torch.rand_like(tensor) + 0.1)
    return saved(trained)


def start(names: list[str], networks: Networks, base: Saved, done: float = 0.0, **options: object) -> None:
    for strategy in combined(names, options, LAYERS):
        strategy.start(networks, base)
        strategy.free(networks, done)


def of_base(networks: Networks, base: Saved) -> list[bool]:
    """By layer of the actor: is it the base's?"""
    states = [base.actor[f"mlp.{k}.weight"] for k in (0, 2, 4)]
    return [torch.equal(a.weight, b) for a, b in zip(networks.layers(networks.actor), states, strict=True)]


def learning(module: nn.Module) -> bool:
    (on,) = {parameter.requires_grad for parameter in module.parameters()}
    return on


def learning_layers(networks: Networks) -> list[bool]:
    return [learning(layer) for layer in networks.layers(networks.actor)]


def test_every_strategy_of_the_registry_is_known_by_its_own_name() -> None:
    assert set(STRATEGIES) == {
        "zeroshot", "scratch", "residual-maps", "fine-tune", "freeze-all-but-last", "freeze-then-thaw",
        "reset-last", "noise-last-n", "first-layer-only",
    }  # fmt: skip


def test_scratch_takes_nothing_from_the_base(networks: Networks, base: Saved) -> None:
    before = saved(networks)
    start(["scratch"], networks, base)
    assert all(torch.equal(before.actor[key], value) for key, value in networks.actor.state_dict().items())
    assert learning_layers(networks) == [True] * 3


def test_zeroshot_is_the_base_and_learns_nothing(networks: Networks, base: Saved) -> None:
    start(["zeroshot"], networks, base)
    assert of_base(networks, base) == [True] * 3
    assert not any(parameter.requires_grad for model in networks.models for parameter in model.parameters())
    assert not any(model.obs_normalization for model in networks.models)


def test_maps_have_the_published_sizes_and_begin_as_very_nearly_nothing(
    networks: Networks, base: Saved, new: New
) -> None:
    start(["zeroshot"], networks, base)
    observations = {"policy": torch.randn(50, 17)}
    before = [model(observations) for model in networks.models]
    again = new()
    start(["residual-maps"], again, base)
    pre, post, critic_pre = again.newest_maps()
    assert [list(p.shape) for p in pre.parameters()] == [[32, 17], [32], [17, 32], [17]]
    assert [list(p.shape) for p in post.parameters()] == [[32, 6], [32], [6, 32], [6]]
    assert [list(p.shape) for p in critic_pre.parameters()] == [[32, 17], [32], [17, 32], [17]]
    assert max(float(p.abs().max().detach()) for p in pre.parameters()) <= 0.01
    for was, model in zip(before, again.models, strict=True):
        assert (model(observations) - was).abs().max() < 0.05


def test_only_the_maps_learn(networks: Networks, base: Saved) -> None:
    start(["residual-maps"], networks, base)
    maps = {id(p) for part in networks.newest_maps() for p in part.parameters()}
    trained = {id(p) for model in networks.models for p in model.parameters() if p.requires_grad}
    assert trained == maps
    assert not networks.log_std.requires_grad
    assert not any(model.obs_normalization for model in networks.models)


def test_maps_are_stacked_or_carried_on(networks: Networks, base: Saved, new: New) -> None:
    start(["residual-maps"], networks, base)
    before = saved(networks)
    stacked, carried = new(), new()
    start(["residual-maps"], stacked, before)
    start(["residual-maps"], carried, before, maps="carried")
    assert (stacked.maps, carried.maps) == (2, 1)
    assert sum(p.requires_grad for p in stacked.actor.parameters()) == 8
    assert not any(p.requires_grad for p in stacked.actor.mlp[0].parameters())
    assert all(learning(part) for part in carried.newest_maps())
    assert len(stacked.layers(stacked.actor)) == len(stacked.layers(stacked.critic)) == 3


def test_without_its_newest_maps_the_actor_is_what_it_was(networks: Networks, base: Saved) -> None:
    start(["fine-tune"], networks, base)
    observations = {"policy": torch.randn(50, 17)}
    before = networks.actor(observations)
    networks.add_maps()
    assert not torch.equal(networks.actor(observations), before)
    with networks.newest_maps_off():
        assert torch.equal(networks.actor(observations), before)
    assert not torch.equal(networks.actor(observations), before)


def test_fine_tuning_frees_everything(networks: Networks, base: Saved) -> None:
    start(["fine-tune"], networks, base)
    assert of_base(networks, base) == [True] * 3
    assert learning_layers(networks) == [True] * 3
    assert networks.actor.obs_normalization


def test_all_but_the_last_layer_are_frozen(networks: Networks, base: Saved) -> None:
    start(["freeze-all-but-last"], networks, base, done=1.0)
    assert of_base(networks, base) == [True] * 3
    assert learning_layers(networks) == [False, False, True]
    assert not networks.actor.obs_normalization
    assert networks.critic.obs_normalization


def test_layers_thaw_from_the_end_on(networks: Networks, base: Saved) -> None:
    start(["fine-tune"], networks, base)
    (_, thaw) = combined(["freeze-then-thaw"], {"share": 0.5}, LAYERS)
    seen = []
    for done in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0):
        thaw.free(networks, done)
        seen.append((sum(learning_layers(networks)), learning_layers(networks)[-1], networks.actor.obs_normalization))
    assert seen == [(1, True, False)] * 2 + [(2, True, False)] * 2 + [(3, True, True)] * 2


def test_the_last_layer_is_reset(networks: Networks, base: Saved) -> None:
    fresh_last = networks.layers(networks.actor)[-1].weight.clone()
    start(["reset-last"], networks, base)
    assert of_base(networks, base) == [True, True, False]
    assert torch.equal(networks.layers(networks.actor)[-1].weight, fresh_last)


def test_noise_is_as_large_as_said_on_the_last_layers_alone(networks: Networks, base: Saved) -> None:
    torch.manual_seed(0)
    start(["noise-last-n"], networks, base, layers=2, size=0.5)
    assert of_base(networks, base) == [True, False, False]
    weight = base.actor["mlp.2.weight"]
    noise = networks.layers(networks.actor)[1].weight.detach() - weight
    assert float(noise.std() / weight.std()) == pytest.approx(0.5, rel=0.2)


def test_the_first_layer_alone_is_kept(networks: Networks, base: Saved) -> None:
    start(["first-layer-only"], networks, base)
    assert of_base(networks, base) == [True, False, False]
    assert torch.equal(networks.actor.obs_normalizer._mean, base.actor["obs_normalizer._mean"])
    assert not torch.equal(networks.log_std, base.actor["distribution.log_std_param"])


def test_a_start_and_a_freezing_go_together(networks: Networks, base: Saved) -> None:
    start(["freeze-all-but-last", "reset-last"], networks, base)
    assert of_base(networks, base) == [True, True, False]
    assert learning_layers(networks) == [False, False, True]


@pytest.mark.parametrize(
    ("names", "options", "why"),
    [
        (["zeroshot", "fine-tune"], {}, "stand alone"),
        (["reset-last", "fine-tune"], {}, "one start and one freezing"),
        (["first-layer-only", "freeze-all-but-last"], {}, "nobody has learnt"),
        (["noise-last-n", "freeze-all-but-last"], {"layers": 2}, "nobody has learnt"),
        (["fine-tune"], {"layers": 2}, "no option 'layers'"),
        (["freeze-then-thaw"], {"share": 0.0}, "share"),
        (["residual-maps"], {"maps": "piled"}, "piled"),
        (["magic"], {}, "no strategy 'magic'"),
        ([], {}, "nothing"),
    ],
)
def test_what_means_nothing_is_refused(names: list[str], options: dict[str, object], why: str) -> None:
    with pytest.raises(StrategyError, match=why):
        combined(names, options, LAYERS)
