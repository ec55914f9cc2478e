"""One network of three: the same numbers as the three in a row, and the policy's weights untouched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from calibration.bundle import METADATA_KEY, POLICY, BundleError, bundle
from calibration.cli.calibrate import main
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.maps import NOW
from robot_runtime.calibrated.network import MapNetwork
from robot_runtime.policy import Action, Contract, Term, contract_to_json
from robot_runtime.policy.action import Actuation
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.calibrated.made import (
    PERIOD,
    calibration,
    goal_map,
    healthy,
    mapped,
    observation_map,
    of_joint,
    torque_map,
)
from tests.robot_runtime.policy.networks import linear


def a_policy(folder: Path, name: str, action: Action, *, external: bool = False) -> Path:
    spec = load_arm(name)
    n = len(action.joints)
    contract = Contract(
        (
            Term("phase", 2, period=1.0),
            Term("joint_position", n, action.joints, scale=(0.5,), offset=(0.1,), history=2),
            Term("joint_velocity", n, action.joints, scale=(0.1,), clip=(-0.05, 0.05)),
        ),
        action,
        rate=50.0,
        arm=spec.name,
    )
    weights = np.random.default_rng(2).normal(size=(contract.observation_size, n)) * 0.3
    return linear(folder / "policy.onnx", weights, metadata={"contract": contract_to_json(contract)}, external=external)


def a_calibration(name: str, path: Path) -> Path:
    spec = load_arm(name)
    sense, torques, goals = mapped(spec, "observation"), mapped(spec, "torque"), mapped(spec, "goal")
    drive = torque_map(torques, coulomb=0.05, load=0.1) if torques else goal_map(goals, 0.03, viscous=0.01)
    modules = [observation_map(sense, 0.03), drive]
    random = torch.Generator().manual_seed(1)
    for module in modules:
        with torch.no_grad():
            module.residual.scale.fill_(0.3)
            module.residual.linear.copy_(torch.randn(module.residual.linear.shape, generator=random) * 0.05)
            module.residual.most.fill_(1.0)
    calibration(spec, *modules).write(path)
    return path


ACTIONS = {
    "open-manipulator-x": Action("torque", ("joint1", "joint2", "joint3", "joint4"), scale=(0.5,), clip=(-1.0, 1.0)),
    "koch-v1.1": Action("position", ("shoulder_pan", "shoulder_lift", "elbow_flex"), scale=(0.3,), offset=(0.1,)),
    "xl330-pendulum": Action("position", ("pendulum",), stiffness=(0.4,), damping=(0.01,), high=(0.5,)),
}


ADDING = ("shoulder_pan", "shoulder_lift", "elbow_flex")
ALL_ACTIONS = [
    *ACTIONS.items(),
    ("koch-v1.1", Action("position_delta", ADDING, scale=(0.5,), clip=(-1.0, 1.0))),
    ("koch-v1.1", Action("position_delta", ADDING, scale=(0.1,), delta_from="measured")),
]


@pytest.mark.parametrize(("name", "action"), ALL_ACTIONS, ids=lambda case: getattr(case, "meaning", case))
def test_it_computes_what_the_three_compute_in_a_row(name: str, action: Action, tmp_path: Path) -> None:
    spec = load_arm(name)
    policy_path = a_policy(tmp_path, name, action)
    cal = a_calibration(name, tmp_path / "arm.cal")
    made = bundle(policy_path, cal, tmp_path / "bundle.onnx", spec)
    given, policy = Calibration.read(cal), load_policy(policy_path, spec)
    sense_file = given.maps["observation"]
    kind = next(k for k in given.maps if k != "observation")
    drive_file = given.maps[kind]
    sense = MapNetwork("observation", sense_file, PERIOD, ages=("command",))
    drive = MapNetwork(kind, drive_file, PERIOD, now=NOW)
    session = onnxruntime.InferenceSession(str(made.path))
    random = np.random.default_rng(4)
    for _ in range(5):
        histories = [random.normal(0.0, 0.4, n._given.shape).astype(np.float32) for n in (sense, drive)]
        histories[1][0, -3 * len(drive_file.joints) : -2 * len(drive_file.joints)] = 11.0
        seen = random.normal(0.0, 1.0, policy.contract.observation_size).astype(np.float32)
        given_to_it = {"observation": seen[None], "sense_history": histories[0], "drive_history": histories[1]}
        goal = random.normal(0.0, 0.8, len(action.joints)).astype(np.float32)
        if action.meaning == "position_delta":
            given_to_it["goal"] = goal[None]
        outputs = session.run(None, given_to_it)
        got = dict(zip([o.name for o in session.get_outputs()], outputs, strict=True))
        row = (seen, histories, sense_file.joints, drive_file.joints, spec, goal)
        wanted = in_a_row(policy, sense, drive, *row)
        for key, value in wanted.items():
            np.testing.assert_allclose(got[key][0], value, atol=2e-5, err_msg=key)


def in_a_row(
    policy: Policy,
    sense: MapNetwork,
    drive: MapNetwork,
    seen: np.ndarray,
    histories: list[np.ndarray],
    sensed: tuple[str, ...],
    driven: tuple[str, ...],
    spec: ArmSpec,
    goal: np.ndarray,
) -> dict[str, np.ndarray]:
    """The observation map, then the observation as the runtime builds it, the policy, its action, and the other map."""
    action = policy.contract.action
    sense._given[:] = histories[0]
    sense._run()
    q, dq = sense.mapped.reshape(2, -1).astype(float)
    n = len(action.joints)
    at = [sensed.index(name) for name in action.joints]
    observation = seen.copy()
    observation[2 + n : 2 + 2 * n] = (q[at] - 0.1) * 0.5
    observation[2 + 2 * n :] = np.clip(dq[at] * 0.1, -0.05, 0.05)
    policy.network.observation[:] = observation
    policy.network.run()
    said = policy.network.action.astype(float)
    if action.clip:
        said = np.clip(said, *action.clip)
    value = said * np.array(action.scale) + np.array(action.offset)
    if action.high:
        value = np.minimum(value, action.high)
    if action.meaning == "position_delta":  # as the runtime has it
        actuation = Actuation(action, spec, np.zeros(len(spec.joints), dtype=bool), 1, 0.02)
        here = np.zeros(len(spec.joints))
        here[[spec.joint_names.index(name) for name in action.joints]] = q[at]
        actuation._to[:] = goal
        actuation.act(policy.network.action, here)
        value = actuation._to
    if action.stiffness and action.damping:
        value = action.stiffness[0] * (value - q[at]) - action.damping[0] * dq[at]
    given = histories[1].copy()[0]
    joints, start = len(driven), 0
    for quantity, taps in drive.file.taps.items():
        for j, name in enumerate(driven):
            if quantity in ("torque", "goal"):
                if name in action.joints:
                    given[start + j] = value[action.joints.index(name)]
            else:
                given[start + j] = (q if quantity == "q" else dq)[sensed.index(name)]
        start += len(taps) * joints
    drive._given[0] = given
    drive._run()
    return {
        "q_dq": np.concatenate([q, dq]),
        "policy/actions": policy.network.action,
        "wanted": value,
        "command": drive.mapped,
    }


@pytest.mark.parametrize("external", [False, True])
def test_the_policys_weights_are_the_same_to_the_last_bit(external: bool, tmp_path: Path) -> None:
    name = "open-manipulator-x"
    policy_path = a_policy(tmp_path, name, ACTIONS[name], external=external)
    made = bundle(policy_path, a_calibration(name, tmp_path / "arm.cal"), tmp_path / "b.onnx", load_arm(name))
    own = {t.name: numpy_helper.to_array(t).tobytes() for t in onnx.load(str(policy_path)).graph.initializer}
    written = {t.name: numpy_helper.to_array(t).tobytes() for t in onnx.load(str(made.path)).graph.initializer}
    assert own
    assert made.weights == {key: hashlib.sha256(value).hexdigest() for key, value in own.items()}
    assert all(written[POLICY + key] == value for key, value in own.items())
    assert made.replaced == (6, 7, 8, 9, 10, 11, 12, 13)  # the newest angles, and the speeds


def test_what_needs_a_memory_or_lacks_a_map_is_refused(tmp_path: Path) -> None:
    spec = load_arm("koch-v1.1")
    cal = a_calibration("koch-v1.1", tmp_path / "arm.cal")
    speeds = a_policy(tmp_path, "koch-v1.1", Action("velocity", ("elbow_flex",)))
    with pytest.raises(BundleError, match="velocity to joints in mode position.*robot-run --calibration flies it"):
        bundle(speeds, cal, tmp_path / "b.onnx", spec)
    gripper = a_policy(tmp_path, "koch-v1.1", Action("position", ("elbow_flex", "wrist_flex")))
    given = healthy(spec)
    replace(given, maps={"goal": given.maps["goal"]}).write(cal)
    with pytest.raises(BundleError, match="needs the maps observation and goal, it has goal"):
        bundle(gripper, cal, tmp_path / "b.onnx", spec)
    assert not (tmp_path / "b.onnx").exists()


def test_the_command_lists_the_weights_that_it_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "open-manipulator-x"
    policy_path, cal = a_policy(tmp_path, name, ACTIONS[name]), a_calibration(name, tmp_path / "arm.cal")
    files = ["--policy", str(policy_path), "--calibration", str(cal), "--out", str(tmp_path / "b.onnx")]
    assert main(["bundle", *files, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["weights"].keys() == {t.name for t in onnx.load(str(policy_path)).graph.initializer}
    assert main(["bundle", *files]) == 0  # over what it wrote before
    capsys.readouterr()
    assert main(["bundle", *files[:2], "--calibration", str(policy_path), *files[4:]]) == 2
    assert "not a calibration" in capsys.readouterr().err


OTHERS = {
    "arm": lambda c: replace(c, identity=replace(c.identity, spec="another", mjcf_digest="0" * 64)),
    "acceptance": lambda c: replace(c, accepted=False),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_calibration_that_would_not_fly_is_bundled_by_force_alone_and_the_bundle_says_so(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, out = "koch-v1.1", tmp_path / "b.onnx"
    policy_path, cal = a_policy(tmp_path, name, ACTIONS[name]), tmp_path / "arm.cal"
    OTHERS[what](healthy(load_arm(name))).write(cal)
    files = ["bundle", "--policy", str(policy_path), "--calibration", str(cal), "--out", str(out)]
    assert main(files) == 2
    assert f"calibration: {what}: " in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    assert main([*files, "--force"]) == 0
    facts = json.loads(next(p.value for p in onnx.load(str(out)).metadata_props if p.key == METADATA_KEY))
    assert [text.split(": ")[1] for text in facts["forced"]] == [what]


def test_firmware_and_adapter_that_files_do_not_know_are_no_other_arm(tmp_path: Path) -> None:
    name, cal = "koch-v1.1", tmp_path / "arm.cal"
    given = healthy(load_arm(name))
    told = of_joint(given.identity, given.identity.joints[0].name, firmware=45)
    replace(given, identity=replace(told, adapter="FT1")).write(cal)
    made = bundle(a_policy(tmp_path, name, ACTIONS[name]), cal, tmp_path / "b.onnx", load_arm(name))
    assert made.forced == ()
