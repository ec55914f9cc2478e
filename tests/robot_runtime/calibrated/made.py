"""Calibrations made by hand: maps of known physics and known residuals, for arms on the twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import onnx
import torch

from calibration.maps.export import goal_file, observation_file, torque_file
from calibration.maps.fit import GOAL_HISTORY, SENSE_HISTORY, TORQUE_HISTORY, lags_of
from calibration.maps.modules import GoalMap, ObservationMap, TorqueMap
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.calibrated.file import Calibration, MapFile, Number, Row
from robot_runtime.calibrated.identity import Identity
from robot_runtime.spec import ArmSpec, JointSpec

PERIOD = 0.005
TAPS, SENSE_TAPS = len(lags_of(TORQUE_HISTORY, PERIOD)), len(lags_of(SENSE_HISTORY, PERIOD))
GOAL_LAGS = [lag * PERIOD for lag in lags_of(GOAL_HISTORY, PERIOD)]


def numbers(joints: Sequence[JointSpec], **others: float) -> dict[str, torch.Tensor]:
    """Physics of a torque map without friction: the servos' own figures; `others`: for all joints."""
    count = len(joints)
    constant = torch.tensor([j.gear * j.servo.motor.torque_constant for j in joints])
    found = {
        name: torch.zeros(count)
        for name in ("sim_coulomb", "sim_viscous", "sim_load", "coulomb", "viscous", "load", "supply")
    }
    found |= {"constant": constant, "nominal_constant": constant}
    found["resistance"] = torch.tensor([j.servo.motor.resistance for j in joints])
    return found | {name: torch.full((count,), value) for name, value in others.items()}


def observation_map(joints: Sequence[JointSpec], offset: float = 0.0) -> ObservationMap:
    relative = torch.tensor([float(j.mode in POSITION_MODES) for j in joints])
    still = torch.full((len(joints),), offset)
    return known_everywhere(ObservationMap(len(joints), SENSE_TAPS, still, 0.0, relative=relative, period=PERIOD))


def torque_map(joints: Sequence[JointSpec], **others: float) -> TorqueMap:
    pwm = torch.tensor([float(j.mode == "pwm") for j in joints])
    return known_everywhere(TorqueMap(len(joints), TAPS, numbers(joints, **others), pwm=pwm))


def goal_map(joints: Sequence[JointSpec], offset: float = 0.0, **others: float) -> GoalMap:
    nominal = numbers(joints)
    servos = {
        "offset": torch.full((len(joints),), offset),
        "gain": torch.full((len(joints),), 2.0),
        "sim_constant": nominal["constant"],
        "sim_resistance": nominal["resistance"],
        "sim_volts": torch.tensor([j.servo.motor.nominal_voltage for j in joints]),
        "authority": torch.full((len(joints),), 0.2),
    }
    return known_everywhere(GoalMap(len(joints), GOAL_LAGS, numbers(joints, **others) | servos))


Map = TypeVar("Map", ObservationMap, TorqueMap, GoalMap)


def known_everywhere(module: Map) -> Map:
    """Nothing is novel to it."""
    module.residual.scale.zero_()
    return module


def nervous(module: Map, scale: float) -> Map:
    """Everything is novel to it: a feature counts as so many standard deviations."""
    module.residual.scale.fill_(scale)
    return module


def rows(module: Any, count: int = 4) -> np.ndarray:
    quantities, now = {ObservationMap: (3, 0), TorqueMap: (2, 3), GoalMap: (3, 3)}[type(module)]
    found = np.random.default_rng(0).normal(0.0, 0.3, (count, module.joints, quantities * module.taps + now))
    if now:
        found[:, :, -3] = 12.0
    return found


def map_file(module: Any, joints: Sequence[JointSpec], bound: float = 6.0) -> MapFile:
    given, names = rows(module), [j.name for j in joints]
    if isinstance(module, ObservationMap):
        return observation_file(module, given, names, PERIOD, bound)
    if isinstance(module, TorqueMap):
        return torque_file(module, given, names, PERIOD, bound)
    return goal_file(module, given, names, PERIOD, bound)


def calibration(
    spec: ArmSpec, *modules: Any, accepted: bool = True, physics: Mapping[str, float] | None = None, bound: float = 6.0
) -> Calibration:
    """Of the joints that each map is for: all but a gripper; of the mode that it can be for."""
    maps = {}
    for module in modules:
        kind = {ObservationMap: "observation", TorqueMap: "torque", GoalMap: "goal"}[type(module)]
        maps[kind] = map_file(module, mapped(spec, kind), bound)
    return Calibration(
        identity=Identity.of_spec(spec, name="the arm on the left"),
        maps=maps,
        physics={label: Number(value, value - 0.1, value + 0.1, seen=True) for label, value in (physics or {}).items()},
        acceptance=(Row("rollout", "held-out log", 0.5 if accepted else 0.9, 0.6, accepted),),
        accepted=accepted,
        volts=(4.0, 13.0),
        celsius=(20.0, 60.0),
        logs={"a log": "0" * 64},
        created="2025-06-01T10:15:00Z",
        versions={"robot-runtime": "0"},
    )


def mapped(spec: ArmSpec, kind: str) -> list[JointSpec]:
    modes = {"torque": ("current", "pwm"), "goal": POSITION_MODES}.get(kind)
    return [j for j in spec.joints if j.name != "gripper" and (modes is None or j.mode in modes)]


def healthy(spec: ArmSpec, offset: float = 0.0) -> Calibration:
    """Of an arm that is as its data say, but for an offset of every joint."""
    modules: list[Any] = [observation_map(mapped(spec, "observation"), offset)]
    if joints := mapped(spec, "torque"):
        modules.append(torque_map(joints))
    if joints := mapped(spec, "goal"):
        modules.append(goal_map(joints, offset))
    return calibration(spec, *modules)


def of_joint(identity: Identity, name: str, **changed: Any) -> Identity:
    """The same arm with one joint changed."""
    joints = tuple(replace(j, **changed) if j.name == name else j for j in identity.joints)
    return replace(identity, joints=joints)


def saying_nan(given: Calibration, kind: str) -> Calibration:
    """The same, but nothing that its map of this kind says is a number."""
    model = onnx.load_from_string(given.maps[kind].onnx)
    (last,) = [node for node in model.graph.node if "mapped" in node.output]
    last.output[list(last.output).index("mapped")] = "sound"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(1, np.nan, np.float32), "nothing"))
    model.graph.node.append(onnx.helper.make_node("Add", ["sound", "nothing"], ["mapped"]))
    broken = replace(given.maps[kind], onnx=model.SerializeToString())
    return replace(given, maps={**given.maps, kind: broken})
