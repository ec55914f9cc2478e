"""Gaps that a benchmark changes: without the offsets that `robot-setup zero` takes away, and as files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType

from calibration.recording.record import SET_TIMER
from robot_runtime.setup.zero import BY_STOPS
from robot_runtime.spec import ArmSpec
from sim.twin.gap import Gap

ALL = "all"


def joints_named(text: str, joints: Sequence[str]) -> tuple[str, ...]:
    """Of an option: 'all', names with commas between them, or nothing."""
    named = tuple(joints) if text == ALL else tuple(name for name in text.split(",") if name)
    if unknown := set(named) - set(joints):
        raise SystemExit(f"no joint {', '.join(sorted(unknown))}; there are {', '.join(joints)}, or '{ALL}'")
    return named


def zeroed_gap(gap: Gap, joints: Sequence[str], zeroed: Collection[str]) -> Gap:
    """The gap of an arm with these joints, some of which have no offset."""
    each = {joint: gap.joint(joint) for joint in joints}
    each |= {joint: replace(each[joint], offset=0.0) for joint in zeroed}
    return replace(gap, seed=None, joints=MappingProxyType(each))


def zeroed_spec(spec: ArmSpec, zeroed: Collection[str]) -> ArmSpec:
    """The arm as its file is after `robot-setup zero --stops` of these joints."""
    joints = (replace(j, zero_within=BY_STOPS) if j.name in zeroed else j for j in spec.joints)
    return replace(spec, joints=tuple(joints))


def timer_set(gap: Gap) -> Gap:
    """Its adapter's latency timer set, as `SerialPort` does, preflight demands and recordings on the twin have it."""
    return replace(gap, bus=replace(gap.bus, latency_timer=min(gap.bus.latency_timer, SET_TIMER)))


def gap_text(gap: Gap, joints: Sequence[str]) -> str:
    """A gap as TOML, joint by joint."""
    lines = [f'name = "{gap.name}"']
    lines += [f"{key} = {float(getattr(gap, key))!r}" for key in ("payload", "command_delay", "ambient")]
    tables: dict[str, object] = {f"joint.{name}": gap.joint(name) for name in joints}
    tables |= {"supply": gap.supply, "bus": gap.bus}
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {float(value)!r}" for key, value in asdict(table).items() if value is not None]  # type: ignore[call-overload]
    return "\n".join(lines) + "\n"
