"""robot-scan: what is on the bus, and what is set badly for control."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from robot_runtime.bus import SerialPort
from robot_runtime.bus.scan import FoundServo, Scan, known_baudrates, scan
from robot_runtime.bus.scan_advice import BusFinding, advise_scan
from robot_runtime.cli.common import ExitCode, Screen, add_common, baudrate, command, open_bus, run
from robot_runtime.servos.advice import ServoReading, Severity

_EXAMPLES = """  robot-scan                              the only adapter, every baud rate
  robot-scan --port /dev/ttyUSB0          this adapter
  robot-scan --baud 1000000               one baud rate, in about a second
  robot-scan --json | jq '.servos[].id'   for a program"""

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-scan`."""
    parser = command(
        "robot-scan",
        "Find every servo on a bus, at every baud rate and ID; say what is set badly for control, and what to do. "
        "Nothing is written to any servo.",
        _EXAMPLES,
    )
    add_common(parser, baud="bit/s to look at, or 'all' (default)")
    parser.set_defaults(does=_body, baud="all")
    return run(parser, argv)


def _body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    rates = known_baudrates() if args.baud == "all" else (baudrate(args.baud),)
    with open_bus(args.port, rates[0], screen) as bus:
        with screen.working("looking") as show:
            result = scan(bus, rates, lambda rate, i, n: show(f"looking at {rate} bit/s ({i + 1} of {n})"))
        advice = bus.port.latency_timer.advice if isinstance(bus.port, SerialPort) else None
        name = bus.port.name
    findings = advise_scan(result, advice)
    code = _code(result, findings)
    screen.result(_as_json(name, result, findings, code))
    _show(name, result, findings, screen)
    return code


def _code(result: Scan, findings: Sequence[BusFinding]) -> ExitCode:
    if not result.servos or any(servo.shared for servo in result.servos):
        return ExitCode.SERVOS
    return ExitCode.FOUND if any(f.finding.severity.is_problem for f in findings) else ExitCode.FINE


def _show(port: str, result: Scan, findings: Sequence[BusFinding], screen: Screen) -> None:
    if result.skipped:
        screen.say(f"The adapter does not do {', '.join(map(str, result.skipped))} bit/s: not looked at.")
    if not result.servos:
        screen.say(f"No servo answers on {port} at {', '.join(map(str, result.baudrates))} bit/s.")
        screen.say("Is the arm powered, is the cable in, and does the servo speak Protocol 2.0?")
        if len(result.baudrates) + len(result.skipped) < len(known_baudrates()):
            screen.say("No other rate was looked at: leave out --baud for that.")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for head in ("ID", "model", "fw", "bit/s", "mode", "torque", "V", "°C", "errors"):
        table.add_column(head, justify="right" if head in ("ID", "fw", "bit/s", "V", "°C") else "left")
    for servo in result.servos:
        table.add_row(*_row(servo))
    screen.out.print(table)
    for entry in findings:
        finding = entry.finding
        who = f"{_servos(entry.servo_ids)}: " if entry.servo_ids else ""
        screen.out.print(f"[{_COLOURS[finding.severity]}]{finding.severity:7}[/] ", end="")
        screen.say(f"{who}{finding.what}")
        screen.say(f"        {finding.why}")
        screen.say(f"        -> {finding.fix}")
    if not any(f.finding.severity.is_problem for f in findings):
        screen.say("All is set well for control. 'robot-setup arm --arm A --dry-run' compares it with an arm's file.")


def _servos(ids: Sequence[int]) -> str:
    """IDs as people write them: servos 1-4, 6."""
    runs: list[list[int]] = []
    for i in sorted(set(ids)):
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    listed = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return f"servo{'s' * (len(ids) > 1)} {listed}"


def _row(servo: FoundServo) -> tuple[str, ...]:
    head = (str(servo.servo_id), _name(servo), _text(servo.firmware), str(servo.baudrate))
    reading = _reading(servo)
    if reading is None:
        return (*head, "-", "-", "-", "-", "-")
    volts, celsius = reading.si("present_input_voltage"), reading.si("present_temperature")
    torque = {0: "off", 1: "on"}.get(servo.values.get("torque_enable", -1), "-")
    errors = reading.model.error_names(servo.values.get("hardware_error_status", 0))
    return (
        *head,
        reading.mode or "-",
        torque,
        "-" if volts is None else f"{volts:.1f}",
        "-" if celsius is None else f"{celsius:.0f}",
        ", ".join(errors) or "none",
    )


def _name(servo: FoundServo) -> str:
    if servo.shared:
        return "SEVERAL SERVOS"
    return servo.model.name if servo.model else f"unknown ({servo.model_number})"


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def _reading(servo: FoundServo) -> ServoReading | None:
    if servo.model is None or servo.firmware is None or not servo.values:
        return None
    return ServoReading(servo.servo_id, servo.model, servo.firmware, servo.baudrate, servo.values)


def _as_json(port: str, result: Scan, findings: Sequence[BusFinding], code: ExitCode) -> dict[str, Any]:
    return {
        "port": port,
        "baudrates": list(result.baudrates),
        "skipped_baudrates": list(result.skipped),
        "servos": [_servo_json(servo) for servo in result.servos],
        "findings": [
            {
                "severity": str(f.finding.severity),
                "servos": list(f.servo_ids),
                "what": f.finding.what,
                "why": f.finding.why,
                "fix": f.finding.fix,
            }
            for f in findings
        ],
        "exit_code": int(code),
    }


def _servo_json(servo: FoundServo) -> dict[str, Any]:
    reading = _reading(servo)
    return {
        "id": servo.servo_id,
        "baudrate": servo.baudrate,
        "model": servo.model.name if servo.model else None,
        "model_number": servo.model_number,
        "firmware": servo.firmware,
        "shared": servo.shared,
        "mode": reading.mode if reading else None,
        "torque": bool(servo.values["torque_enable"]) if "torque_enable" in servo.values else None,
        "voltage": _rounded(reading, "present_input_voltage"),
        "temperature": _rounded(reading, "present_temperature"),
        "errors": list(reading.model.error_names(servo.values.get("hardware_error_status", 0))) if reading else [],
        "registers": dict(servo.values),
    }


def _rounded(reading: ServoReading | None, register: str) -> float | None:
    value = reading.si(register) if reading else None
    return None if value is None else round(value, 6)


if __name__ == "__main__":
    sys.exit(main())
