"""robot-import: exit codes, messages, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from models.cli import DIFFERENT, FINE, REFUSED, USAGE, main

N, M = 4, 2
CONTRACT = """
rate = 50
start = "home"

[action]
meaning = "torque"
joints = ["a", "b"]
scale = 1.0
offset = 0.0

[[observation]]
kind = "joint_position"
joints = ["a", "b"]
scale = 1.0
offset = 0.0

[[observation]]
kind = "joint_velocity"
joints = ["a", "b"]
scale = 1.0
offset = 0.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(CONTRACT)
    return tmp_path


def looks_like_a_checkpoint(path: Path, name: str = "model/data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"")
    return path


def options(folder: Path, checkpoint: str, *more: str) -> list[str]:
    return [str(folder / checkpoint), "--contract", str(folder / "policy.toml"), "--out", str(folder / "p.onnx"), *more]


@pytest.fixture
def rsl_rl(folder: Path) -> Path:
    for package in ("torch", "rsl_rl", "onnxscript"):
        pytest.importorskip(package)
    from tests.models.exporter_files import rsl_rl_checkpoint, rsl_rl_model

    rsl_rl_checkpoint(folder / "model.pt", rsl_rl_model(N, M))
    return folder


def test_rsl_rl(rsl_rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(rsl_rl, "model.pt", "--activation", "elu")) == FINE
    said = capsys.readouterr().out
    assert "4 observations, 2 actions" in said
    assert "compared with the trainer's own library on 640 inputs: at most" in said
    assert (rsl_rl / "p.onnx").is_file()


def test_json(rsl_rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(rsl_rl, "model.pt", "--activation", "elu", "--json")) == FINE
    told = json.loads(capsys.readouterr().out)
    assert told["proven"] is True
    assert told["parity"]["worst"] <= 1e-5
    assert told["provenance"]["imported_from"] == "rsl_rl"


def test_sb3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("torch", "stable_baselines3", "onnxscript"):
        pytest.importorskip(package)
    from stable_baselines3.common.vec_env import VecNormalize

    from tests.models.exporter_files import sb3_model, sb3_world

    world = VecNormalize(sb3_world(N, M))
    sb3_model("PPO", N, M, train=32, normaliser=world).save(folder / "model.zip")
    world.save(str(folder / "vn.pkl"))
    assert main(options(folder, "model.zip")) == USAGE
    assert "--vecnormalize" in capsys.readouterr().err
    assert main(options(folder, "model.zip", "--vecnormalize", str(folder / "vn.pkl"))) == FINE


@pytest.mark.parametrize("as_json", [False, True])
def test_refused(rsl_rl: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    assert main(options(rsl_rl, "model.pt", *(["--json"] if as_json else []))) == REFUSED
    said = capsys.readouterr()
    if as_json:
        assert json.loads(said.out)["error"]["exit_code"] == REFUSED
    else:
        assert said.err.startswith("error: ")
    assert "--activation" in (said.out if as_json else said.err)


def test_not_equal(rsl_rl: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.importers.rsl_rl._EPSILON", 0.1)
    assert main(options(rsl_rl, "model.pt", "--activation", "elu")) == DIFFERENT
    assert "p.onnx was not written" in capsys.readouterr().err


def test_without_proof(rsl_rl: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rsl_rl.models", None)
    given = options(rsl_rl, "model.pt", "--activation", "elu")
    assert main(given) == REFUSED
    assert main([*given, "--unproven"]) == FINE
    assert "UNPROVEN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given[:1], "--contract"),
        (lambda given: [*given[:-1], "p.zip"], "ends in .onnx"),
        (lambda given: [given[0], "--contract", "nowhere.toml", *given[3:]], "nowhere.toml"),
        (lambda given: ["nowhere.pt", *given[1:], "--activation", "elu"], "nowhere.pt"),
        (lambda given: [*given, "--surprise"], "--surprise"),
        (lambda given: [*given[:-1], str(Path(given[-1]).parent / "new" / "p.onnx")], "there is no folder"),
        (lambda given: [*given[:-1], "models/policies/wave-koch-v1.1.onnx"], "--force to replace it"),
    ],
    ids=["no-contract", "no-onnx", "no-toml", "no-checkpoint", "unknown", "no-folder", "there-already"],
)
def test_usage(folder: Path, capsys: pytest.CaptureFixture[str], change: Any, said: str) -> None:
    pytest.importorskip("torch")
    looks_like_a_checkpoint(folder / "model.pt")
    assert main(change(options(folder, "model.pt"))) == USAGE
    assert said in capsys.readouterr().err


def test_help_and_usage_errors_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from models.cli import main; sys.exit(main(sys.argv[1:]))"
    shown = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True).stdout
    assert "exit codes" in shown


def test_without_torch_it_says_what_to_install(folder: Path) -> None:
    looks_like_a_checkpoint(folder / "model.pt")
    code = "import sys; sys.modules['torch'] = None; from models.cli import main; sys.exit(main(sys.argv[1:]))"
    given = [sys.executable, "-c", code, *options(folder, "model.pt")]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == USAGE
    assert "pip install 'robot-runtime[lab]'" in done.stderr


WAVE = Path(__file__).parents[2] / "models" / "policies" / "wave-koch-v1.1.onnx"


def test_files_that_are_no_checkpoint_are_told_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes.pt").write_text("rate = 50")
    (folder / "empty.pt").touch()
    wrong = [
        (WAVE, "an ONNX already, there is nothing to import: robot-run --policy"),
        (folder / "notes.pt", "not a checkpoint of Stable-Baselines3 or rsl_rl"),
        (folder / "empty.pt", "not a checkpoint of Stable-Baselines3 or rsl_rl"),
        (looks_like_a_checkpoint(folder / "script.pt", "policy/constants.pkl"), "a TorchScript module"),
    ]
    for path, what in wrong:
        assert main([str(path), *options(folder, "x")[1:]]) == USAGE
        said = capsys.readouterr().err
        assert what in said
        assert said.count("\n") == 1
        assert not (folder / "p.onnx").exists()


def test_nobody_is_advised_to_run_a_pickle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"actor_state_dict": {"a": Path.exists}}, folder / "evil.pt")
    assert main(options(folder, "evil.pt", "--activation", "elu")) == USAGE
    said = capsys.readouterr().err
    assert "not run here" in said
    assert "weights_only" not in said
    torch.save({"format": 1, "run": {}, "learner": {}}, folder / "last.pt")
    assert main(options(folder, "last.pt", "--activation", "elu")) == USAGE
    assert "a checkpoint of robot-train" in capsys.readouterr().err


def test_a_contract_of_another_size_shows_the_sum(rsl_rl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rsl_rl / "policy.toml").write_text(CONTRACT + '[[observation]]\nkind = "last_action"\n')
    assert main(options(rsl_rl, "model.pt", "--activation", "elu")) == USAGE
    said = capsys.readouterr().err
    assert (
        "the network wants 4 numbers, the contract says 6 (joint_position 2 + joint_velocity 2 + last_action 2)" in said
    )
