"""The contracts in examples/policies load, and docs/policies.md speaks of everything that one can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from robot_runtime.policy.contract import KINDS, MEANINGS, TARGETS
from robot_runtime.policy.contract_json import ACTION_KEYS, TARGET_KEYS, TERM_KEYS, TOP_KEYS, draft_from_toml
from robot_runtime.policy.draft import build
from robot_runtime.policy.explain import explain
from robot_runtime.policy.load import arm_named, load_policy
from robot_runtime.spec import load_arm
from tests.robot_runtime.policy.networks import linear
from tests.robot_runtime.policy.test_sources import MJLAB, descriptor

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples" / "policies").glob("*.toml"))
WHOLE = [path for path in FILES if not path.name.startswith("completes")]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_whole_contract_fits_its_arm(path: Path, tmp_path: Path) -> None:
    contract = build(draft_from_toml(path), str(path))
    file = linear(tmp_path / "p.onnx", np.zeros((contract.observation_size, contract.action_size)))
    (tmp_path / "policy.toml").write_bytes(path.read_bytes())
    spec = load_arm(arm_named(file))
    assert explain(load_policy(file, spec), spec)["mismatch"] == []


def test_what_completes_mjlab(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", np.zeros((10, 4)), metadata=MJLAB)
    path = ROOT / "examples" / "policies" / "completes-mjlab.toml"
    assert load_policy(file, load_arm("open-manipulator-x"), path).contract.action.scale == (0.25,)


def test_what_completes_isaac_lab(tmp_path: Path) -> None:
    told = descriptor()
    told["observations"]["policy"].append({"full_path": "x.generated_commands", "shape": [4]})
    (tmp_path / "IO_descriptors.yaml").write_text(yaml.safe_dump(told))
    file = linear(tmp_path / "p.onnx", np.zeros((24, 4)))
    (tmp_path / "policy.toml").write_bytes((ROOT / "examples" / "policies" / "completes-isaac_lab.toml").read_bytes())
    assert load_policy(file, load_arm("open-manipulator-x")).contract.rate == 50.0


def test_the_page_names_everything() -> None:
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    keys = (*TOP_KEYS, *ACTION_KEYS, *TERM_KEYS, *TARGET_KEYS, *MEANINGS, *KINDS, *TARGETS)
    assert [key for key in keys if f"`{key}`" not in page] == []
    assert [path.name for path in FILES if path.name not in page] == []


def test_every_key_is_in_the_file_that_says_so() -> None:
    text = (ROOT / "examples" / "policies" / "every-key.toml").read_text(encoding="utf-8")
    for key in (*TOP_KEYS, *ACTION_KEYS, *TERM_KEYS, *TARGET_KEYS):
        assert f"{key} = " in text or f"[{key}]" in text, key
    assert [kind for kind in KINDS if f'kind = "{kind}"' not in text] == []
