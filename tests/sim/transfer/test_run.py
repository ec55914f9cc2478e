"""One run: it learns what it may, proves what it may not, goes on where it stopped."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sim.training.checkpoint import CheckpointError
from sim.training.learner import Round
from sim.transfer.frozen import FrozenChangedError, Watch
from sim.transfer.learner import TransferLearner
from sim.transfer.networks import NetworksFileError, load_networks
from sim.transfer.run import CHECKPOINT, NETWORKS, RESULT, execute
from sim.transfer.study import Cell
from tests.sim.transfer.small import cell_of, fresh, small_study


def never() -> bool:
    return False


def after(looks: int) -> Callable[[], bool]:
    """Stops at that many looks."""
    left = [looks]

    def stopped() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stopped


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a finished base."""
    folder = tmp_path_factory.mktemp("runs")
    assert execute(cell_of(small_study(folder), "source-1"), folder, never)
    return folder


def result(root: Path, cell: Cell) -> dict[str, object]:
    facts: dict[str, object] = json.loads((root / cell.id / RESULT).read_text())
    return facts


def test_a_run_leaves_its_result_and_its_networks_and_nothing_else_to_keep(root: Path) -> None:
    cell = cell_of(small_study(root), "source-1")
    facts = result(root, cell)
    assert facts["steps"] == 128
    assert {"published", "field"} <= facts.keys()
    assert len(facts["field"]["returns"]) == 2  # type: ignore[index]
    assert load_networks(root / cell.id / NETWORKS).maps == 0
    assert not (root / cell.id / CHECKPOINT).exists()


def test_maps_learn_and_nothing_else_changes_by_a_bit(root: Path) -> None:
    cell = cell_of(small_study(root), "residual-maps-short-1")
    assert execute(cell, root, never)
    facts = result(root, cell)
    assert facts["maps_off_is_base"] is True
    assert facts["frozen_tensors_unchanged"] == 2 * 6 + 2 * 4 + 1  # layers, normalisers, log-std
    base, now = load_networks(root / "source-1" / NETWORKS), load_networks(root / cell.id / NETWORKS)
    assert torch.equal(base.actor["mlp.0.weight"], now.actor["mlp.0.0.weight"])
    assert float(now.actor["mlp.1.net.2.weight"].abs().max()) > 0.01  # shrunk to less before


def test_zeroshot_does_as_its_base_does_on_the_bases_own_body(root: Path) -> None:
    cell = cell_of(small_study(root), "zeroshot-short-1")
    at_home = replace(cell, id="home", table=cell.source)
    assert execute(at_home, root, never)
    base = result(root, cell_of(small_study(root), "source-1"))
    assert result(root, at_home)["field"] == base["field"]
    assert result(root, at_home)["published"] == base["published"]


def test_layers_that_thaw_are_watched_until_then(root: Path, tmp_path: Path) -> None:
    study = small_study(tmp_path, freeze_then_thaw="{ steps = 256, share = 0.5 }")
    cell = replace(cell_of(study, "freeze-then-thaw-short-1"), id="thaw")
    assert execute(cell, root, never)
    assert result(root, cell)["frozen_tensors_unchanged"] == 2 * 2 + 4  # two layers and the actor's normaliser
    base, now = load_networks(root / "source-1" / NETWORKS), load_networks(root / cell.id / NETWORKS)
    assert not torch.equal(base.actor["mlp.0.weight"], now.actor["mlp.0.weight"])


def test_what_is_frozen_and_changes_is_an_error(root: Path) -> None:
    _, networks = fresh(cell_of(small_study(root), "source-1"))
    networks.freeze()
    watch = Watch(networks)
    with torch.no_grad():
        networks.layers(networks.actor)[0].weight[0, 0] *= -1.0  # also when the two are equal by ==
    with pytest.raises(FrozenChangedError, match=r"actor\.mlp\.0\.weight"):
        watch.finish()


def test_noise_goes_by_its_schedule(root: Path, tmp_path: Path) -> None:
    study = small_study(tmp_path, fine_tune="{ steps = 128, noise = [0.4, 0.1] }")
    cell = cell_of(study, "fine-tune-short-1")
    assert execute(cell, root, never)
    assert result(root, cell)["std"] == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(("strategy", "bound"), [("reset-last", True), ("fine-tune", False), ("scratch", True)])
def test_noise_that_starts_afresh_is_brought_down_in_the_end(tmp_path: Path, strategy: str, *, bound: bool) -> None:
    study = small_study(tmp_path, **{strategy.replace("-", "_"): "{ steps = 64 }"})
    cell = cell_of(study, f"{strategy}-short-1")
    learner, networks = fresh(cell)
    with torch.no_grad():
        networks.log_std.fill_(0.0)
    learner.round()
    assert (float(networks.log_std.max().detach().exp()) <= cell.settings.final_std + 1e-6) is bound


def test_a_stopped_run_goes_on_from_its_checkpoint(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = small_study(root)
    cell = replace(cell_of(study, "residual-maps-short-1"), id="stopped", steps=256)
    assert not execute(cell, root, after(2))
    steps = torch.load(root / cell.id / CHECKPOINT, weights_only=True)["learner"]["steps"]
    assert steps == 3 * 64
    rounds = []
    original = TransferLearner.round

    def counted(self: TransferLearner) -> Round:
        rounds.append(1)
        return original(self)

    monkeypatch.setattr(TransferLearner, "round", counted)
    assert execute(cell, root, never)
    assert len(rounds) == 1
    assert result(root, cell)["maps_off_is_base"] is True
    assert result(root, cell)["curve"]["steps"] == [64, 128, 192, 256]  # type: ignore[index]


def test_the_curve_of_a_run_that_goes_on_looks_back_on_the_same_episodes(tmp_path: Path) -> None:
    cell = replace(cell_of(small_study(tmp_path), "source-1"), steps=6400)
    first, _ = fresh(cell)
    for _ in range(60):
        first.round()
    again, _ = fresh(cell)
    again.restore(first.state())
    assert len(first._ended) > 20
    assert list(again._ended) == list(first._ended)


def test_a_run_that_was_stopped_while_it_was_tried_is_not_trained_again(root: Path) -> None:
    cell = replace(cell_of(small_study(root), "residual-maps-short-1"), id="tried")
    assert not execute(cell, root, after(5))
    assert torch.load(root / cell.id / CHECKPOINT, weights_only=True)["learner"]["steps"] == 128
    assert execute(cell, root, never)


def test_the_checkpoint_of_another_run_is_refused(root: Path) -> None:
    cell = replace(cell_of(small_study(root), "residual-maps-short-1"), id="other")
    assert not execute(cell, root, after(0))
    with pytest.raises(CheckpointError, match="another run"):
        execute(replace(cell, steps=512), root, never)


def test_a_run_without_its_base_says_so(tmp_path: Path) -> None:
    with pytest.raises(NetworksFileError, match="source-1"):
        execute(cell_of(small_study(tmp_path), "zeroshot-short-1"), tmp_path, never)


@pytest.mark.parametrize("rubbish", [b"", b"PK rubbish", b"\x00" * 100])
def test_rubbish_in_place_of_networks_says_so(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / NETWORKS).write_bytes(rubbish)
    with pytest.raises(NetworksFileError, match="not a file of networks"):
        load_networks(tmp_path / NETWORKS)
