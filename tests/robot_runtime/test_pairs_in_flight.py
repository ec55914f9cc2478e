"""Flights of arms whose shoulder two servos lift: as healthy as any other, and whatever befalls one of the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.flying import Phase
from robot_runtime.safety.fault_kind import Ending, Stop
from robot_runtime.safety.faults import FAULTS
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.arm.twins import PAIRS, paired
from tests.robot_runtime.flights import Flown, Script, fly_twin

OMX, KOCH = "open-manipulator-x", "koch-v1.1"
PERIOD = 0.005  # s
JOINT = 1
"""Place of the joint that has two, in both arms."""


def fly_with(folder: Path, spec: ArmSpec, fault: str, **options: object) -> Flown:
    """A flight in which this happens after a second."""
    script = Script(Phase.RUN, after=1.0)

    def act() -> None:
        assert script.loop is not None
        script.loop.arm.bus.port.twin.inject(fault)  # type: ignore[attr-defined]

    script.act = act
    return fly_twin(folder, spec=spec, script=script, duration=4.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [OMX, KOCH])
@pytest.mark.parametrize("gap", [None, "mild"])
def test_a_healthy_flight_completes_and_ends_at_rest(name: str, gap: str | None, tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, spec=load_arm(paired(tmp_path, name)), gap=gap)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
    assert flown.verdict.faults == ()
    assert flown.excess < 0.02
    assert flown.speed_share < 1.0
    assert not any(flown.twin.drives.torque_on)
    (row,) = (check for check in flown.checks if check.name == "second servos")
    assert row.ok
    assert "rad from the first ones" in row.found


@pytest.mark.parametrize("name", [OMX, KOCH])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("overload", "hardware-error"),
        ("brown-out", "lost-replies"),
        ("servo-silent:for=0.5", "lost-replies"),
        ("servo-dead", "lost-replies"),
        ("encoder-jump:ticks=200", "servos-disagree"),
    ],
)
def test_what_befalls_one_of_the_two_ends_the_flight_in_time(
    name: str, second: bool, fault: str, kind: str, tmp_path: Path
) -> None:
    spec = load_arm(paired(tmp_path, name))
    servo = PAIRS[name][2 if second else 1]
    what, _, rest = fault.partition(":")
    if what == "encoder-jump" and not second:
        kind = what  # a jump of the first servo is one of the joint's angle, too
    flown = fly_with(tmp_path, spec, f"{what}:servo={servo}" + (f",{rest}" if rest else ""))
    assert flown.loop is not None
    seen = [fault.kind.name for fault in flown.loop.monitor.seen]
    assert seen[0] == kind
    assert flown.verdict.ending is not Ending.COMPLETED
    reacted = next(t for t, stop in flown.stops if stop >= FAULTS[kind].stop)
    bound = FAULTS[kind].bound.at(PERIOD, spec.bus.watchdog) + PERIOD
    assert reacted - flown.script.acted_at <= bound
    first = next(f for f in flown.loop.monitor.seen if f.kind.name == kind)
    assert first.joints == (spec.joint_names[JOINT],)
    ids = PAIRS[name]
    assert (
        f"(servos {ids[1]} and {ids[2]})" if what == "encoder-jump" else f"(servo {servo}, one of two)"
    ) in first.text
    if what != "servo-dead":
        assert not any(flown.twin.drives.torque_on)


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_a_second_servo_that_loses_its_place_ends_the_flight(name: str, tmp_path: Path) -> None:
    flown = fly_with(tmp_path, load_arm(paired(tmp_path, name)), f"encoder-jump:servo={PAIRS[name][2]},ticks=40")
    assert [f.kind.name for f in flown.verdict.faults] == ["servos-disagree"]
    assert flown.verdict.ending is Ending.SERVO
    assert flown.stops[-1][1] == Stop.TORQUE_OFF


@pytest.mark.parametrize("name", [OMX, KOCH])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("fault", ["overload", "servo-dead"])
def test_what_one_servo_of_two_can_still_lower_it_lowers(name: str, second: bool, fault: str, tmp_path: Path) -> None:
    spec = load_arm(paired(tmp_path, name))
    flown = fly_with(tmp_path, spec, f"{fault}:servo={PAIRS[name][2 if second else 1]}")
    assert flown.loop is not None
    assert flown.loop.stopping.left_out == ()
    assert "lowered to rest" in flown.loop.stopping.outcome
    off = np.abs(np.array(flown.twin.drives.joint_position) - np.array(spec.poses["rest"]))
    assert off.max() < 0.2
    assert flown.excess < 0.02


def test_horns_that_sit_too_far_apart_are_a_row_of_the_preflight(tmp_path: Path) -> None:
    spec = load_arm(paired(tmp_path, OMX))
    flown = fly_twin(tmp_path, spec=spec, faults=["encoder-jump:servo=22,ticks=60"])
    assert flown.verdict.ending is Ending.PREFLIGHT
    (row,) = (check for check in flown.checks if check.name == "second servos")
    assert row.ok is False
    assert "joint2 (servos 12 and 22): 0.09" in row.found
    assert "robot-setup zero" in row.advice
