"""Whether a calibration may fly this arm: rows of the preflight, all differences at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from robot_runtime.arm import Arm
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.identity import Identity
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.preflight.table import Check
from robot_runtime.spec import ArmSpec

VOLTS, CELSIUS = 0.3, 5.0
"""How far outside of what the logs saw a supply (V) and a servo (°C) may be without a word: registers are this coarse,
and servos warm up while they fly.
"""

_AGAIN = "calibrate this arm as it is now"
_FORCE = ", or fly with --force if you know better"


def checks_of(
    calibration: Calibration, period: float, *, adapter: str = "", force: bool = False, policy: str | None = None
) -> Callable[[Arm], Iterable[Check]]:
    """For the preflight: the rows of this calibration on a bus of this period (s).

    `adapter`: serial number of the USB adapter. `force`: what would refuse the flight only warns. `policy`: digest of
    the one that is about to fly; None: whatever flies, it is no policy.
    """

    def rows(arm: Arm) -> Iterator[Check]:
        found = Identity.of_arm(arm, adapter=adapter)
        wrong = [*_belongs(calibration, found), *_accepted(calibration), *_refined(calibration, policy)]
        for name, what, wanted, advice in wrong:
            if force:
                yield Check(name, ok=None, found=f"{what} (--force)", wanted=wanted, advice=advice)
            else:
                yield Check(name, ok=False, found=what, wanted=wanted, advice=advice + _FORCE)
        if not wrong:
            yield Check("calibration", ok=True, found=_title(calibration), wanted="of this arm, and accepted")
        yield from _runs(calibration, arm, period)
        yield from _seen(calibration, arm)

    return rows


def held_back(calibration: Calibration, spec: ArmSpec) -> list[str]:
    """What would refuse a flight with it, as far as an arm's files tell, which do not know the adapter."""
    wrong = (*_belongs(calibration, by_files(calibration, spec)), *_accepted(calibration))
    return [f"{name}: {what}, wanted {wanted}" for name, what, wanted, _ in wrong]


def by_files(calibration: Calibration, spec: ArmSpec) -> Identity:
    """The arm as its files say; they do not know the adapter."""
    return Identity.of_spec(spec, adapter=calibration.identity.adapter)


def _title(calibration: Calibration) -> str:
    name = calibration.identity.name or calibration.identity.spec
    maps = ", ".join(calibration.maps) or "no maps"
    refined = ", refined" if calibration.refined is not None else ""
    return f"{name}, {calibration.created}, {maps}{refined}, {calibration.digest[:12]}"


def _belongs(calibration: Calibration, found: Identity) -> Iterator[tuple[str, str, str, str]]:
    differences = list(calibration.identity.differences(found))
    if differences:
        here = "; ".join(f"{what} {is_now}" for what, is_now, _ in differences)
        there = "; ".join(f"{what} {was}" for what, _, was in differences)
        yield "calibration: arm", here, there, f"give the calibration of this arm, or {_AGAIN}"


def _accepted(calibration: Calibration) -> Iterator[tuple[str, str, str, str]]:
    if calibration.accepted and calibration.acceptance and all(r.passed for r in calibration.acceptance):
        return
    failed = [f"{r.name} ({r.split}) {r.value:.3g}" for r in calibration.acceptance if not r.passed]
    bounds = [f"{r.name} {r.bound:.3g}" for r in calibration.acceptance if not r.passed]
    yield (
        "calibration: acceptance",
        f"held back: {'; '.join(failed) or ('its verdict' if calibration.acceptance else 'it was never judged')}",
        "; ".join(bounds) or "an acceptance table",
        "see its report for what would make it better",
    )


def _refined(calibration: Calibration, policy: str | None) -> Iterator[tuple[str, str, str, str]]:
    """Maps that learnt around one policy know nothing of another."""
    if calibration.refined is None or calibration.refined.policy == policy:
        return
    yield (
        "calibration: policy",
        "no policy" if policy is None else f"policy {policy[:12]}",
        f"policy {calibration.refined.policy[:12]}, which it was refined for",
        "fly with the calibration that robot-calibrate fit wrote, or refine that one for this policy",
    )


def _runs(calibration: Calibration, arm: Arm, period: float) -> Iterator[Check]:
    """Whether the maps can be run at all; nothing to force here."""
    try:
        ResidualMaps(arm.spec, calibration, period)
    except UnfitMapError as error:
        yield Check("calibration: maps", ok=False, found=str(error), wanted="maps that run on this bus", advice=_AGAIN)


def _seen(calibration: Calibration, arm: Arm) -> Iterator[Check]:
    """Whether supply and heat are as they were in the logs."""
    state = arm.state
    for name, values, (low, high), slack, unit in (
        ("supply", state.voltage, calibration.volts, VOLTS, "V"),
        ("heat", state.temperature, calibration.celsius, CELSIUS, "°C"),
    ):
        outside = (values < low - slack) | (values > high + slack)
        known = values > 0.0
        if np.any(outside & known):
            yield Check(
                f"calibration: {name}",
                ok=None,
                found=_range(values[known], unit),
                wanted=f"{low:.3g} to {high:.3g} {unit}, as in its logs",
                advice="what it fitted may have shifted; fly it slowly, or " + _AGAIN,
            )


def _range(values: Floats, unit: str) -> str:
    return f"{values.min():.3g} to {values.max():.3g} {unit}"
