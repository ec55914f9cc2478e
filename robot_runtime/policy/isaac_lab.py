"""The IO descriptor that Isaac Lab writes beside a policy (`TASK_IO_descriptors.yaml`), as a draft of a contract.

It lists actions, observation terms, joint defaults and the rate (isaaclab/envs/utils/io_descriptors.py). Isaac Lab
clips an observation before it scales it and a contract after, so ends of intervals are scaled here. Commands are
described by their size alone: what they mean, a [target] must say. What cannot be said in a contract is left out and
missing, with the reason: a TOML beside it may say it in another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_runtime.policy.contract import Term
from robot_runtime.policy.draft import TARGET_LINES, Draft
from robot_runtime.policy.errors import ContractError

_ACTIONS = {"JointPositionAction": "position", "JointVelocityAction": "velocity", "JointEffortAction": "torque"}
"""Action terms by class. A RelativeJointPositionAction adds in every physics step: no contract says that."""

_TERMS = {
    "joint_pos": "joint_position",
    "joint_pos_rel": "joint_position",
    "joint_vel": "joint_velocity",
    "joint_vel_rel": "joint_velocity",
    "joint_effort": "joint_torque",
    "last_action": "last_action",
    "generated_commands": "target",
}
"""Observation terms by function (isaaclab/envs/mdp/observations.py)."""

_EXTRAS = ("extras", "overloads")

_HUGE = 1e30
"""No end: beyond everything, and finite."""

_OFFSETS = {"joint_pos_rel": "joint_pos_offsets", "joint_vel_rel": "joint_vel_offsets"}

Table = Mapping[str, Any]


def draft_from_isaac_lab(path: Path) -> Draft:
    """What the descriptor says.

    Raises:
        ContractError: it is no plain YAML (tags are refused: nothing is ever built from a file), or no descriptor.
    """
    return _Descriptor(path, _load(path)).draft()


def _load(path: Path) -> Table:
    try:
        import yaml  # noqa: PLC0415 (needed for these files only)
    except ImportError as error:
        raise ContractError(f"{path}: reading YAML needs PyYAML: pip install pyyaml") from error
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: not plain YAML: {error}") from error
    if not isinstance(data, dict) or not {"actions", "observations", "scene"} <= set(data):
        raise ContractError(f"{path}: not an IO descriptor of Isaac Lab: it has actions, observations and scene")
    return data


class _Descriptor:
    def __init__(self, path: Path, data: Table) -> None:
        self.path, self.data = path, data

    def draft(self) -> Draft:
        """All of it."""
        values: dict[str, Any] = {"rate": self._rate()}
        refused = {}
        try:
            values |= self._action()
            robots = list(self._get(self.data, "articulations", dict, "articulations").values())
            if len(robots) == 1:
                values |= self._robot(robots[0], values["action.joints"])
        except ContractError as error:
            refused["action.meaning"] = str(error)
        try:
            values["observation"] = self._observation()
        except ContractError as error:
            refused["observation"] = str(error)
        draft = Draft.of(str(self.path), values)
        draft.refused = refused
        sizes = [t.size for t in values.get("observation", ()) if t.kind == "target"]
        if sizes:
            draft.offers["target"] = TARGET_LINES.replace("# size = ?", f"size = {sizes[0]}")
        return draft

    def error(self, key: str, problem: str) -> ContractError:
        """The error about a key."""
        return ContractError(f"{self.path}: {key}: {problem}")

    def _get(self, table: Any, key: str, kind: type | tuple[type, ...], at: str) -> Any:
        value = table.get(key) if isinstance(table, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(at, f"expected {getattr(kind, '__name__', 'a number or a list')}, found {value!r}")
        return value

    def _numbers(self, value: Any, at: str, default: float) -> tuple[float, ...]:
        """A number or a list of numbers; null is `default`."""
        entries = value if isinstance(value, list) else [default if value is None else value]
        if not entries or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in entries):
            raise self.error(at, f"expected numbers, found {value!r}")
        try:
            return tuple(float(v) for v in entries)
        except OverflowError as error:
            raise self.error(at, f"expected finite numbers, found {value!r}") from error

    def _names(self, table: Any, at: str) -> tuple[str, ...]:
        names = self._get(table, "joint_names", list, at)
        if not all(isinstance(name, str) for name in names):
            raise self.error(at, f"expected a list of joint names, found {names!r}")
        return tuple(names)

    def _size(self, term: Any, at: str) -> int:
        shape = self._get(term, "shape", list, at)
        if len(shape) != 1 or not isinstance(shape[0], int):
            raise self.error(at, f"expected one whole number, found {shape!r}")
        return shape[0]

    def _rate(self) -> float:
        scene = self._get(self.data, "scene", dict, "scene")
        (dt,) = self._numbers([self._get(scene, "dt", (int, float), "scene.dt")], "scene.dt", 0.0)
        if not dt > 0:
            raise self.error("scene.dt", f"expected a time above 0 (s), found {dt}")
        return 1.0 / dt

    def _action(self) -> dict[str, Any]:
        actions = self._get(self.data, "actions", list, "actions")
        if len(actions) != 1:
            raise self.error("actions", f"expected one action term, found {len(actions)}; a contract has one meaning")
        action = actions[0]
        name = str(self._get(action, "full_path", str, "actions.1.full_path")).rsplit(".", 1)[-1]
        if name not in _ACTIONS:
            raise self.error("actions.1.full_path", f"{name} is not one of {', '.join(_ACTIONS)}")
        values: dict[str, Any] = {
            "action.meaning": _ACTIONS[name],
            "action.joints": self._names(action, "actions.1.joint_names"),
            "action.scale": self._numbers(action.get("scale"), "actions.1.scale", 1.0),
            "action.offset": self._numbers(action.get("offset"), "actions.1.offset", 0.0),
        }
        if action.get("clip") is not None:
            pairs = [self._interval(p, "actions.1.clip") for p in self._get(action, "clip", list, "actions.1.clip")]
            values["action.low"] = tuple(low for low, _ in pairs)
            values["action.high"] = tuple(high for _, high in pairs)
        return values

    def _observation(self) -> tuple[Term, ...]:
        groups = self._get(self.data, "observations", dict, "observations")
        group = self._get(groups, "policy", list, "observations.policy")
        return tuple(self._term(term, f"observations.policy.{i + 1}") for i, term in enumerate(group))

    def _term(self, term: Any, at: str) -> Term:
        name = str(self._get(term, "full_path", str, f"{at}.full_path")).rsplit(".", 1)[-1]
        if name not in _TERMS:
            raise self.error(at, f"'{name}' cannot be said in a contract; known: {', '.join(_TERMS)}")
        extras, overloads = ({} if term.get(k) is None else self._get(term, k, dict, f"{at}.{k}") for k in _EXTRAS)
        if extras.get("modifiers"):
            raise self.error(f"{at}.extras.modifiers", "not supported")
        history = self._get({"n": overloads.get("history_length") or 0}, "n", int, f"{at}.overloads.history_length")
        if history > 1 and not overloads.get("flatten_history_dim", True):
            raise self.error(f"{at}.overloads.flatten_history_dim", "expected true: the network takes one vector")
        scale = self._numbers(overloads.get("scale"), f"{at}.overloads.scale", 1.0)
        kind = _TERMS[name]
        offset = term.get(_OFFSETS[name]) if name in _OFFSETS else None
        if name in _OFFSETS and offset is None:
            raise self.error(f"{at}.{_OFFSETS[name]}", "missing: what the term is relative to")
        return Term(
            kind=kind,
            size=self._size(term, f"{at}.shape"),
            joints=self._names(term, f"{at}.joint_names") if "joint" in kind else (),
            scale=scale,
            offset=self._numbers(offset, f"{at}.{_OFFSETS.get(name, 'offset')}", 0.0),
            clip=self._clip(overloads.get("clip"), scale, f"{at}.overloads.clip"),
            history=max(1, history),
        )

    def _clip(self, clip: Any, scale: tuple[float, ...], at: str) -> tuple[float, float] | None:
        if clip is None:
            return None
        if len(set(scale)) != 1:
            raise self.error(at, "expected one scale for all entries beside an interval")
        low, high = sorted(end * scale[0] for end in self._interval(clip, at))
        return low, high

    def _interval(self, value: Any, at: str) -> tuple[float, float]:
        """[low, high]; Isaac Lab writes an infinite end for none."""
        ends = self._numbers(value, at, 0.0)
        if len(ends) != 2:
            raise self.error(at, f"expected [low, high], found {value!r}")
        low, high = (min(max(end, -_HUGE), _HUGE) for end in ends)
        return low, high

    def _robot(self, robot: Table, joints: tuple[str, ...]) -> dict[str, Any]:
        """Start pose and gains of the joints that the policy drives."""
        names = self._names(robot, "articulations.joint_names")
        found: dict[str, Any] = {}
        columns = {
            key: dict(zip(names, self._numbers(robot.get(f"default_joint_{key}"), key, 0.0), strict=False))
            for key in ("pos", "stiffness", "damping")
        }
        if all(joint in columns["pos"] for joint in joints):
            found["start"] = {joint: columns["pos"][joint] for joint in joints}
        stiffness = [columns["stiffness"].get(joint, 0.0) for joint in joints]
        if all(stiffness):  # zeros: an explicit actuator model had them
            found["action.stiffness"] = tuple(stiffness)
            found["action.damping"] = tuple(columns["damping"].get(joint, 0.0) for joint in joints)
        return found
