"""What mjlab writes into the metadata of its networks, as a draft of a contract.

Lists are comma-separated, numbers rounded to three decimals (mjlab/rl/exporter_utils.py). The action is a joint
position: default_joint_pos + action_scale * output. It knows no rate, and of an observation only the names that the
task's author gave to its terms: those are offered as lines to check, and not believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from robot_runtime.policy.draft import Draft
from robot_runtime.policy.errors import ContractError

_KEYS = ("joint_names", "default_joint_pos", "action_scale", "observation_names")

_TERMS = {
    "joint_pos": "joint_position",
    "joint_vel": "joint_velocity",
    "joint_torque": "joint_torque",
    "actions": "last_action",
    "last_action": "last_action",
    "ee_pos": "tip_position",
    "phase": "phase",
}
"""What a term of this name most likely is: mjlab's own tasks call them so."""


def draft_from_mjlab(metadata: Mapping[str, str], where: str) -> Draft | None:
    """What the metadata says; None where it is not mjlab's.

    Raises:
        ContractError: it is mjlab's and cannot be read.
    """
    if not all(key in metadata for key in _KEYS):
        return None
    source = f"{where}, metadata of mjlab"
    joints = tuple(_texts(metadata["joint_names"]))
    default = _numbers(metadata, "default_joint_pos", source)
    scale = _numbers(metadata, "action_scale", source)
    if len(default) != len(joints):
        raise ContractError(f"{source}: {len(joints)} joint_names and {len(default)} default_joint_pos")
    values = {
        "action.meaning": "position",
        "action.joints": joints,
        "action.scale": scale,
        "action.offset": default,
        "start": dict(zip(joints, default, strict=True)),
        "provenance": {"run": metadata["run_path"]} if "run_path" in metadata else {},
    }
    driven = len(scale) in (1, len(joints))
    draft = Draft.of(source, values if driven else {"action.meaning": "position"})
    if not driven:
        draft.refused["action.joints"] = (
            f"{source}: {len(joints)} joint_names but {len(scale)} numbers of action_scale: not every joint is driven, "
            "and which ones are it does not say"
        )
    gains = {key: _numbers(metadata, f"joint_{key}", source) for key in ("stiffness", "damping")}
    if driven and all(len(gain) == len(joints) for gain in gains.values()):
        for key, gain in gains.items():
            draft.values[f"action.{key}"], draft.origin[f"action.{key}"] = gain, source
    draft.offers["observation"] = _offer(metadata, default)
    draft.remarks.append(f"{source}: numbers are rounded to three decimals there")
    return draft


def _offer(metadata: Mapping[str, str], default: tuple[float, ...]) -> str:
    names = list(_texts(metadata["observation_names"]))
    scales = _nested(metadata.get("observation_terms_scale", ""), len(names), 1.0)
    histories = _nested(metadata.get("observation_terms_history_length", ""), len(names), 0)
    tables = []
    for name, scale, history in zip(names, scales, histories, strict=True):
        kind = _TERMS.get(name)
        lines = ["[[observation]]", f'kind = "{kind}"' if kind else f"kind = ?                   # '{name}' in mjlab"]
        if kind in ("joint_position", "joint_velocity", "joint_torque"):
            lines.append(f"joints = {json.dumps(list(_texts(metadata['joint_names'])))}")
        if kind == "joint_position":
            lines.append(f"offset = {list(default)}      # relative to the default pose, as mdp.joint_pos_rel is")
        if kind == "phase":
            lines.append("period = ?                 # s")
        if scale != 1.0:
            lines.append(f"scale = {json.dumps(scale)}")
        if history and int(history) > 1:
            lines.append(f"history = {int(history)}")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _nested(text: str, count: int, otherwise: float) -> list[float]:
    """Numbers or lists of numbers, one a term; what cannot be read is left to the person who checks the offer."""
    try:
        values = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        return [otherwise] * count
    return values if len(values) == count else [otherwise] * count


def _texts(csv: str) -> list[str]:
    return [text.strip() for text in csv.split(",") if text.strip()]


def _numbers(metadata: Mapping[str, str], key: str, source: str) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in _texts(metadata.get(key, "")))
    except ValueError as error:
        raise ContractError(f"{source}: {key}: expected numbers, found '{metadata[key]}'") from error
