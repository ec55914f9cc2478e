"""What was understood of a policy: every number that goes in and comes out, and who said so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from robot_runtime.policy.action import routes
from robot_runtime.policy.contract import Action, Target, Term
from robot_runtime.policy.errors import ModeError
from robot_runtime.policy.load import Policy, start_pose
from robot_runtime.policy.maps import Maps, NominalMaps
from robot_runtime.spec import ArmSpec

_UNITS = {
    "joint_position": "rad",
    "joint_velocity": "rad/s",
    "joint_torque": "N·m",
    "tip_position": "m",
    "torque": "N·m",
    "position": "rad",
    "position_delta": "rad a step",
    "velocity": "rad/s",
    "duty": "-1 to 1",
}

_CANNOT = "NOT POSSIBLE"


def explain(policy: Policy, spec: ArmSpec, maps: Maps | None = None) -> dict[str, Any]:
    """Everything that was understood, as plain data; `mismatch`: what the policy says and this arm cannot do."""
    contract = policy.contract
    ways, mismatch = _ways(contract.action, spec, maps or NominalMaps(spec))
    held = [name for name in spec.joint_names if name not in contract.action.joints]
    return {
        "network": str(policy.network.file.path),
        "digest": policy.digest,
        "input": str(policy.network.input),
        "output": str(policy.network.output),
        "states": list(policy.network.states),
        "contract": policy.source,
        "remarks": list(policy.remarks),
        "arm": contract.arm or "not said",
        "rate": {"Hz": contract.rate, "from": policy.origin.get("rate", "")},
        "start": {
            "rad": dict(zip(spec.joint_names, start_pose(contract, spec).tolist(), strict=True)),
            "from": policy.origin.get("start", ""),
        },
        "observation": _terms(contract.observation, contract.target, stacked=contract.stacked),
        "observation_from": policy.origin.get("observation", ""),
        "action": _action(contract.action, ways, policy),
        "held": held,
        "mismatch": mismatch,
        "target": _target(contract.target, policy.origin.get("target", "")),
        "provenance": dict(contract.provenance),
    }


def render(understood: dict[str, Any]) -> RenderableType:
    """The same for a terminal."""
    action, target = understood["action"], understood["target"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")
    facts.add_row("network", f"{understood['network']}  sha256 {understood['digest'][:16]}")
    facts.add_row("contract", understood["contract"])
    for remark in understood["remarks"]:
        facts.add_row("", remark)
    states = f", states {', '.join(understood['states'])}" if understood["states"] else ""
    facts.add_row("in, out", f"{understood['input']} to {understood['output']}{states}")
    facts.add_row("arm", understood["arm"])
    facts.add_row("rate", f"{understood['rate']['Hz']:g} Hz  ({understood['rate']['from']})")
    start = ", ".join(f"{joint} {angle:g}" for joint, angle in understood["start"]["rad"].items())
    facts.add_row("start", f"{start} rad  ({understood['start']['from']})")
    if target:
        numbers = f"{target['size']} numbers, {target['kind']}, {target['unit']}"
        facts.add_row("target", f"{numbers}, {_range(target)}  ({target['from']})")
    facts.add_row("held", ", ".join(understood["held"]) or "no joint")
    terms = Table(title=f"observation ({understood['observation_from']})", title_justify="left")
    longest = max((len(name) for term in understood["observation"] for name in term["joints"]), default=0) + len(",")
    for column in ("numbers", "what", "of", "unit", "minus", "times", "clip"):  # in narrow places, too, names are whole
        terms.add_column(column, overflow="fold", min_width=longest if column == "of" else None)
    for term in understood["observation"]:
        clip = "" if term["clip"] is None else f"{term['clip'][0]:g} to {term['clip'][1]:g}"
        terms.add_row(
            term["at"], term["kind"], term["of"], term["unit"], _few(term["offset"]), _few(term["scale"]), clip
        )
    title = f"action: {action['meaning']} = clip(output) · scale + offset ({action['from']})"
    outputs = Table(title=title, title_justify="left")
    for column in ("number", "joint", "clip", "times", "plus", "within", "unit", "by"):
        outputs.add_column(column)
    for i, joint in enumerate(action["joints"]):
        outputs.add_row(
            str(i),
            joint["name"],
            "" if action["clip"] is None else f"{action['clip'][0]:g} to {action['clip'][1]:g}",
            f"{joint['scale']:g}",
            f"{joint['offset']:g}",
            f"{joint.get('low', '')} to {joint.get('high', '')}" if "low" in joint or "high" in joint else "",
            action["unit"],
            _by(joint),
        )
    cannot = [Text(f"cannot be flown: {why}", style="bold red") for why in understood["mismatch"]]
    return Group(facts, terms, outputs, *cannot)


def _ways(action: Action, spec: ArmSpec, maps: Maps) -> tuple[list[str], list[str]]:
    """How each joint goes, and why those that cannot do not."""
    ways, mismatch = [], []
    for joint in action.joints:
        try:
            (way,) = routes(replace(action, joints=(joint,)), spec, maps.carries)
            ways.append(way.name.lower())
        except ModeError as error:
            ways.append(_CANNOT)
            mismatch.append(str(error))
    return ways, mismatch


def _terms(terms: tuple[Term, ...], target: Target | None, *, stacked: bool) -> list[dict[str, Any]]:
    rows = []
    first, width = 0, sum(term.size for term in terms)
    for term in terms:
        numbers = term.size if stacked else term.size * term.history
        at = f"{first}:{first + numbers}"
        of = ", ".join(term.joints)
        if term.history > 1:
            every = f" every {width} numbers" if stacked else ""
            of += f"{', ' if of else ''}{term.history} samples{every}, oldest first"
        if term.period is not None:
            of += f"sin, cos of {term.period:g} s"
        unit = _UNITS.get(term.kind) or (_target_unit(target) if term.kind in ("target", "target_error") else "")
        rows.append(
            {
                "at": at,
                "kind": term.kind,
                "of": of,
                "joints": list(term.joints),
                "unit": unit,
                "size": term.size,
                "history": term.history,
                "offset": list(term.offset),
                "scale": list(term.scale),
                "clip": list(term.clip) if term.clip else None,
            }
        )
        first += numbers
    return rows


def _action(action: Action, ways: list[str], policy: Policy) -> dict[str, Any]:
    count = len(action.joints)
    columns = {
        key: _each(values, count)
        for key in ("scale", "offset", "stiffness", "damping", "low", "high")
        if (values := getattr(action, key)) is not None
    }
    sources = {source for key, source in policy.origin.items() if key.startswith("action.")}
    return {
        "meaning": action.meaning + (f" from the {action.delta_from}" if action.meaning == "position_delta" else ""),
        "unit": _UNITS[action.meaning],
        "clip": list(action.clip) if action.clip else None,
        "joints": [
            {"name": name, "by": ways[i], **{key: values[i] for key, values in columns.items()}}
            for i, name in enumerate(action.joints)
        ],
        "from": "; ".join(sorted(sources)),
    }


def _target(target: Target | None, source: str) -> dict[str, Any] | None:
    if target is None:
        return None
    ends = {key: list(v) if (v := getattr(target, key)) else None for key in ("low", "high", "default")}
    return {"kind": target.kind, "size": target.size, "unit": _target_unit(target), **ends, "from": source}


def _target_unit(target: Target | None) -> str:
    return _UNITS.get(target.kind, "as trained") if target else ""


def _each(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    return values * count if len(values) == 1 else values


def _few(values: list[float]) -> str:
    return " ".join(f"{v:g}" for v in values)


def _range(target: dict[str, Any]) -> str:
    if target["low"] is None and target["high"] is None:
        return "any"
    return f"{_few(target['low'] or []) or 'any'} to {_few(target['high'] or []) or 'any'}"


def _by(joint: dict[str, Any]) -> str:
    if joint["by"] == "spring":
        return f"spring {joint['stiffness']:g} N·m/rad, damper {joint['damping']:g} N·m·s/rad"
    return str(joint["by"])
