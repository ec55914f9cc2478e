"""What a scan means: findings about the bus as a whole and about each servo, those that repeat said once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robot_runtime.bus.scan import FoundServo, Scan
from robot_runtime.servos.advice import Finding, ServoReading, Severity, advise


@dataclass(frozen=True, slots=True)
class BusFinding:
    """A finding, and the servos that it is about; none: about the bus or the port."""

    servo_ids: tuple[int, ...]
    finding: Finding


def advise_scan(scan: Scan, latency_timer: str | None = None) -> tuple[BusFinding, ...]:
    """All findings, the worst first. `latency_timer`: what the port says about its latency timer, if it is not 1 ms."""
    found = [*_about_bus(scan, latency_timer), *(f for servo in scan.servos for f in _about_servo(servo))]
    merged: dict[Finding, list[int]] = {}
    for entry in found:
        merged.setdefault(entry.finding, []).extend(entry.servo_ids)
    order = [Severity.ERROR, Severity.WARNING, Severity.NOTE]
    entries = [BusFinding(tuple(ids), finding) for finding, ids in merged.items()]
    return tuple(sorted(entries, key=lambda entry: order.index(entry.finding.severity)))


def _about_bus(scan: Scan, latency_timer: str | None) -> Iterator[BusFinding]:
    if latency_timer is not None:
        yield BusFinding((), Finding(Severity.WARNING, "USB latency timer", "every reply is held back", latency_timer))
    rates = sorted({servo.baudrate for servo in scan.servos})
    if len(rates) > 1:
        yield BusFinding(
            (),
            Finding(
                Severity.WARNING,
                f"servos at different baud rates: {', '.join(map(str, rates))} bit/s",
                "an arm runs at one rate; those at another do not exist for it",
                "'robot-setup arm' or 'robot-setup baud' brings them together.",
            ),
        )


def _about_servo(servo: FoundServo) -> Iterator[BusFinding]:
    me = (servo.servo_id,)
    if servo.shared:
        yield BusFinding(
            me,
            Finding(
                Severity.ERROR,
                f"several servos share ID {servo.servo_id} at {servo.baudrate} bit/s",
                f"they talk at once: {servo.damaged} of {servo.looks} replies were damaged",
                "Connect them one at a time and give each its own ID: 'robot-setup servo --id N'.",
            ),
        )
        return
    if servo.damaged == servo.looks:
        yield BusFinding(
            me,
            Finding(
                Severity.ERROR,
                "answers pings but no reads",
                "its Status Return Level is 0, or its replies do not come through",
                f"'robot-setup reboot --id {servo.servo_id}' restores the level; else check the cable.",
            ),
        )
        return
    if servo.damaged:
        yield BusFinding(
            me,
            Finding(
                Severity.WARNING,
                "damaged or lost replies",
                f"some of {servo.looks} reads in a row went wrong; on a sound bus none does",
                "Check connectors and cable length; lower the baud rate if it stays.",
            ),
        )
    if servo.model is None or servo.firmware is None:
        yield BusFinding(
            me,
            Finding(
                Severity.WARNING,
                f"unknown model, number {servo.model_number}",
                "no data file describes it, so its settings were not read",
                "docs/servos.md says how to add one.",
            ),
        )
        return
    reading = ServoReading(servo.servo_id, servo.model, servo.firmware, servo.baudrate, servo.values)
    for finding in advise(reading):
        yield BusFinding(me, finding)
