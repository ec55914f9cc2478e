"""What a recording carries besides its cycles: the arm's files and the policy's, to fly it again from it alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_runtime.flight.mjcf_files import mjcf_files
from robot_runtime.flight.recorder import FlightRecorder, Level
from robot_runtime.flight.summary import plain
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.contract_json import contract_to_json
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.policy.onnx_data import files_of
from robot_runtime.spec import ArmSpec, load_arm

if TYPE_CHECKING:
    from robot_runtime.calibrated.file import Calibration
    from robot_runtime.flight.reader import Flight


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a flight was flown with."""

    arm: ArmSpec
    policy: Policy
    orders: Mapping[str, Any]
    calibration: Calibration | None = None


def attach_arm(recorder: FlightRecorder, spec: ArmSpec) -> None:
    """The arm file, its MJCF and what that one names; or an event that says which of them a replay will lack."""
    recorder.metadata("arm", {"name": spec.name, "file": str(spec.path), "digest": spec.digest})
    recorder.attach("arm/arm.toml", spec.path)
    for file in mjcf_files(spec.mjcf):
        name = os.path.normpath(f"arm/{os.path.relpath(file, spec.path.parent)}")
        if name.startswith(("../", "policy/")):
            recorder.event(
                f"the recording does not carry {file}, which lies too far from {spec.path} for it: robot-replay and "
                "clips will not work; keep the model beside the arm file",
                Level.WARNING,
            )
        else:
            recorder.attach(name, file)


def attach_policy(recorder: FlightRecorder, network: Path, contract: Contract, orders: Mapping[str, Any]) -> None:
    """The network with its data files, what its numbers mean as it was understood, and what was asked of the flight."""
    recorder.metadata("policy", {"file": network.name, "contract": contract_to_json(contract), "orders": dict(orders)})
    for file in files_of(network):
        recorder.attach(f"policy/{file.relative_to(network.parent)}", file)


def attach_calibration(recorder: FlightRecorder, path: Path, calibration: Calibration) -> None:
    """The calibration's file, and what it is."""
    told = {"file": path.name, "digest": calibration.digest, "accepted": calibration.accepted}
    recorder.metadata("calibration", {**told, "identity": calibration.identity.as_json()})
    recorder.attach("calibration/arm.cal", path)


def belongings(flight: Flight, folder: Path) -> Belongings:
    """Unpack a flight's files into an empty folder and load them.

    Raises:
        FlightError: it carries no policy or no arm.
        ArmSpecError, PolicyError, ArmCalError: what it carries cannot be used.
    """
    from robot_runtime.flight.reader import FlightError  # noqa: PLC0415 (a flight starts sooner without the reader)

    if "policy" not in flight.metadata:
        raise FlightError(f"{flight.path}: it carries no policy, so it cannot be flown again")
    flight.extract(folder)
    if not (folder / "arm" / "arm.toml").is_file():
        raise FlightError(f"{flight.path}: it carries no arm file, so it cannot be flown again")
    told = flight.metadata["policy"]
    contract = folder / "contract.json"
    contract.write_text(told["contract"], encoding="utf-8")
    spec = load_arm(folder / "arm")
    policy = load_policy(folder / "policy" / told["file"], spec, contract)
    return Belongings(spec, policy, plain(told)["orders"], _calibration(flight, folder))


def _calibration(flight: Flight, folder: Path) -> Calibration | None:
    if "calibration" not in flight.metadata:
        return None
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415 (a flight without one starts sooner)

    return Calibration.read(folder / "calibration" / "arm.cal")
