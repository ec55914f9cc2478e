"""A small training from beginning to end: it learns, repeats itself, stops when asked, goes on, and flies."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from rsl_rl.runners import OnPolicyRunner

from robot_runtime.policy.load import load_policy
from robot_runtime.spec import load_arm
from sim.tasks import make_task
from sim.tasks.arm_task import ArmTask
from sim.training import checkpoint
from sim.training.checkpoint import CheckpointError, Run
from sim.training.cli import main
from sim.training.evaluate import PolicyMismatchError, contract_of, evaluate, onnx_policy, require_same
from sim.training.learner import Learner
from sim.training.settings import SETTINGS
from sim.training.train import LAST, POLICY, Trained, train
from sim.training.twin_trial import fly
from sim.training.vec_env import TaskVecEnv

SMALL = replace(SETTINGS["hold"], simulations=16, horizon=8, hidden=(16,))
RUN = Run("hold", "xl330-pendulum", "base", randomise=False, steps=256, seed=5, settings=SMALL)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(RUN, tmp_path_factory.mktemp("run"), QUIET)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    actor: dict[str, torch.Tensor] = checkpoint.load(folder / LAST)[1]["actor_state_dict"]
    return actor


def test_the_same_seed_gives_the_same_policy(trained: Trained, tmp_path: Path) -> None:
    train(RUN, tmp_path / "again", QUIET)
    train(replace(RUN, seed=6), tmp_path / "other", QUIET)
    first, again, other = weights(trained.folder), weights(tmp_path / "again"), weights(tmp_path / "other")
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_the_policy_carries_its_contract_and_where_it_is_from(trained: Trained) -> None:
    contract = contract_of(trained.folder / POLICY)
    assert contract.arm == "xl330-pendulum"
    assert contract.provenance["seed"] == 5
    assert contract.provenance["success_in_simulation"] == trained.result.success.mean
    load_policy(trained.folder / POLICY, load_arm("xl330-pendulum"))


def test_the_file_does_what_the_network_does(trained: Trained) -> None:
    task = make_task("hold", [1, 2, 3])
    task.reset()
    learner = Learner(make_task("hold", [0] * 16), SMALL, 5, 256)
    learner.restore(checkpoint.load(trained.folder / LAST)[1])
    with torch.inference_mode():
        expected = learner.frozen()(torch.from_numpy(task.observation)).numpy()
    assert onnx_policy(trained.folder / POLICY, task)(task.observation) == pytest.approx(expected, abs=1e-5)


def test_a_training_goes_on_where_it_stopped(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(replace(RUN, steps=128), folder, QUIET)
    before = weights(folder)
    resumed = train(replace(RUN, steps=384), folder, QUIET, resume=True)
    assert resumed.steps == 384
    assert resumed.complete
    assert not all(torch.equal(before[key], value) for key, value in weights(folder).items())


def test_ctrl_c_saves_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []
    original = Learner.round

    def interrupted(self: Learner) -> object:
        rounds.append(1)
        if len(rounds) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(Learner, "round", interrupted)
    result = train(replace(RUN, steps=100_000), tmp_path, QUIET)
    assert not result.complete
    assert result.steps == 2 * 128
    assert checkpoint.load(tmp_path / LAST)[0].steps == 100_000
    assert (tmp_path / POLICY).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_checkpoints_never_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path(tmp_path / "sprung").touch, ()  # type: ignore[return-value]

    torch.save({"format": 1, "run": Trap(), "learner": {}}, tmp_path / "evil.pt")
    (tmp_path / "text.pt").write_text("nothing")
    for name in ("evil.pt", "text.pt", "missing.pt"):
        with pytest.raises(CheckpointError, match=name):
            checkpoint.load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_policy_of_another_task_is_refused(trained: Trained) -> None:
    contract = contract_of(trained.folder / POLICY)
    with pytest.raises(PolicyMismatchError, match="observation"):
        require_same(contract, make_task("reach", [0]), Path("x.onnx"))
    with pytest.raises(PolicyMismatchError, match="no contract"):
        require_same(contract, make_task("walker2d", [0]), Path("x.onnx"))


def test_a_policy_without_a_contract_is_refused(trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.folder / POLICY)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(PolicyMismatchError, match="robot-import"):
        contract_of(tmp_path / "bare.onnx")


def test_the_policy_flies_on_the_twin(trained: Trained) -> None:
    task = make_task("hold", [0])
    assert isinstance(task, ArmTask)
    result = fly(trained.folder / POLICY, task, "mild", targets=2)
    assert result.targets == 2
    assert all(0 < share <= 1 for share in result.limited.values())
    # A degree of offset between what is and what is felt, as the gap says, and the encoder's rounding.
    assert result.error.mean == pytest.approx(result.error_felt.mean, abs=0.009 + 0.005)


def test_the_command_line(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--evaluate", str(trained.folder / POLICY), "--episodes", "5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["simulation"]["episodes"] == 5
    assert main([]) == 2
    assert "--task" in capsys.readouterr().err
    assert main(["--task", "hold", "--out", str(trained.folder)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path)]) == 2
    assert "no such checkpoint" in capsys.readouterr().err


def test_a_film_needs_no_screen(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "as before")  # and so it is again afterwards
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr("sim.training.cli._FILMED", 1)
    film = tmp_path / "hold.gif"
    code = main(["--evaluate", str(trained.folder / POLICY), "--episodes", "2", "--video", str(film)])
    if code == 2:
        pytest.skip("no graphics at all")
    assert film.read_bytes().startswith(b"GIF")


def test_a_noisy_network_learns_to_do_without_noise() -> None:
    settings = replace(SMALL, initial_std=0.5, final_std=0.1)
    learner = Learner(make_task("hold", range(16)), settings, 1, total=256)
    learner.round()
    assert learner.round().std <= 0.1 + 1e-6


def test_every_episode_is_counted_once() -> None:
    task = make_task("hold", range(4))

    def still(observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 1), dtype=np.float32)

    result = evaluate(task, still)
    assert result.episodes == 4
    assert result.success.low <= result.success.mean <= result.success.high


def test_rsl_rls_own_runner_takes_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    network = {"class_name": "MLPModel", "hidden_dims": [8], "activation": "elu"}
    settings = {
        "num_steps_per_env": 4,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {"class_name": "PPO"},
        "actor": {**network, "distribution_cfg": {"class_name": "GaussianDistribution"}},
        "critic": network,
    }
    runner = OnPolicyRunner(TaskVecEnv(make_task("hold", range(4))), settings, None, "cpu")
    runner.learn(1)
    assert runner.current_learning_iteration == 0
    capsys.readouterr()  # it prints its networks
