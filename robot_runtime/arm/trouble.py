"""What the state of an arm says is wrong, in words: for programs that stop and tell."""

from __future__ import annotations

from collections.abc import Iterator

from robot_runtime.arm.arm import Arm

SILENT = 0.1
"""s without an answer from a servo: longer than any retry, as long as the usual servo watchdog."""


def troubles(arm: Arm) -> tuple[str, ...]:
    """Everything that is wrong with the arm as it was last read; empty when all is well. Costs a few µs when it is."""
    state = arm.state
    now = arm.bus.port.now()
    silent = now - state.whole_stamp > SILENT
    lost = ~state.torque_on if arm.torque_is_expected else silent & False
    if not any(
        flags.any()
        for flags in (state.alert, state.restarted, state.watchdog_tripped, state.jumped, state.split, silent, lost)
    ):
        return ()
    return tuple(_describe(arm, silent.tolist(), lost.tolist()))


def _describe(arm: Arm, silent: list[bool], lost: list[bool]) -> Iterator[str]:
    state = arm.state
    for i, joint in enumerate(arm.spec.joints):
        where = f"joint '{joint.name}' ({arm.spec.who(i, int(state.blamed[i]))})"
        if silent[i]:
            yield f"{where} does not answer: check its cable and power"
            continue
        if state.alert[i]:
            errors = joint.servo.error_names(max(int(state.hardware_error[i]), 0))
            what = ", ".join(errors) or "not read yet"
            yield f"{where} reports a hardware error ({what}): 'robot-setup reboot' clears it"
        if state.restarted[i]:
            yield f"{where} lost its power or restarted, and holds nothing: check its supply and plugs"
        elif state.watchdog_tripped[i]:
            yield f"{where} heard nothing for {arm.spec.bus.watchdog} s and stopped by itself"
        elif lost[i]:
            yield f"{where} has switched its torque off"
        if state.jumped[i]:
            yield f"{where} jumped to {state.q[i]:+.2f} rad faster than it can move: an encoder fault, or a lost turn"
        if state.split[i]:
            what = "disagree about where it is: a horn slips, or one has lost its place"
            yield f"joint '{joint.name}': {joint.moved_by} {what}"
