"""What the servos' registers must say before torque comes on: settings, limits, supply, heat, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robot_runtime.arm import Arm
from robot_runtime.arm.identify import ServoOnBus
from robot_runtime.arm.scaling import goal_reach, goal_register
from robot_runtime.bus import Bus, GroupRead, MissingServosError
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.servos import Register, ServoModel
from robot_runtime.setup.plan import wanted
from robot_runtime.spec import ArmSpec

_REGISTERS = (
    *("return_delay_time", "operating_mode", "temperature_limit", "pwm_limit", "current_limit", "velocity_limit"),
    *("max_position_limit", "min_position_limit", "shutdown", "torque_enable", "hardware_error_status"),
    *("present_input_voltage", "present_temperature"),
)

_PATIENCE, _TRIES = 0.1, 5
"""s for a block of registers, in which lost replies are asked for again; and how often."""

WARM = 5.0
"""°C below its limit from which a servo does not begin a flight: it would end it soon."""

_OUTWARD = {
    "velocity_limit": 1,
    "pwm_limit": 1,
    "current_limit": 1,
    "temperature_limit": 1,
    "max_position_limit": 1,
    "min_position_limit": -1,
}
"""In which direction a limit gets wider."""

_SET_UP = "run 'robot-setup arm'"


@dataclass(frozen=True, slots=True)
class _Servo:
    """A servo and its registers, in ticks."""

    on_bus: ServoOnBus
    values: Mapping[str, int]

    @property
    def where(self) -> str:
        return f"{self.on_bus.joint.name} (servo {self.on_bus.joint.servo_id})"

    def si(self, name: str) -> float:
        """In SI units."""
        unit = self.on_bus.model.register(name).unit
        return self.values[name] * (unit.scale if unit else 1)


def check_servos(arm: Arm) -> Iterator[Check]:
    """All that can be read from registers, in a handful of transactions. Nothing is written.

    Raises:
        MissingServosError: a servo stopped answering.
        PortVanishedError: the port went away.
    """
    values = read_values(arm.bus, arm.servos)
    servos = [_Servo(s, values[s.joint.servo_id]) for s in arm.servos]
    for check in _CHECKS:
        yield from check(arm.spec, servos)


def read_values(bus: Bus, servos: Sequence[ServoOnBus]) -> dict[int, dict[str, int]]:
    """What the checks need of every servo, by ID and register name. Servos of one layout are asked together."""
    layouts: dict[tuple[tuple[Register, ...], ...], list[int]] = {}
    for servo in servos:
        layouts.setdefault(_blocks(servo.model), []).append(servo.joint.servo_id)
    values: dict[int, dict[str, int]] = {servo.joint.servo_id: {} for servo in servos}
    for blocks, ids in layouts.items():
        for block in blocks:
            start = block[0].address
            group = GroupRead(ids, start, block[-1].end - start, fast=False)
            if missing := bus.read_group_patiently(group, _PATIENCE, _TRIES):
                silent = [servo_id for i, servo_id in enumerate(ids) if missing >> i & 1]
                raise MissingServosError(silent, f"servos {silent} stopped answering; check their cables")
            for i, servo_id in enumerate(ids):
                data = group.data(i)
                values[servo_id] |= {r.name: r.decode(data[r.address - start :]) for r in block}
    return values


def _blocks(model: ServoModel) -> tuple[tuple[Register, ...], ...]:
    """The fewest reads that touch every needed register and no address that is undefined."""
    ordered = sorted(model.registers.values(), key=lambda r: r.address)
    gaps = [i + 1 for i, (a, b) in enumerate(itertools.pairwise(ordered)) if b.address > a.end]
    found = []
    for first, last in itertools.pairwise([0, *gaps, len(ordered)]):
        run = ordered[first:last]
        needed = [i for i, r in enumerate(run) if r.name in _REGISTERS]
        if needed:
            found.append(tuple(run[needed[0] : needed[-1] + 1]))
    return tuple(found)


def _models(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    models = dict.fromkeys(s.on_bus.model.name for s in servos)
    counts = ", ".join(f"{sum(s.on_bus.model.name == m for s in servos)} {m}" for m in models)
    yield Check("servos", ok=True, found=counts, wanted="as in the arm file")
    old = (
        Check(
            "firmware",
            ok=False,
            found=f"{s.where}: {s.on_bus.firmware}",
            wanted=f"{s.on_bus.model.oldest_firmware} or newer",
            advice="update it with DYNAMIXEL Wizard 2.0",
        )
        for s in servos
        if s.on_bus.firmware < s.on_bus.model.oldest_firmware
    )
    versions = ", ".join(map(str, sorted({s.on_bus.firmware for s in servos})))
    yield from or_fine(old, Check("firmware", ok=True, found=versions))


def _modes(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    def other() -> Iterator[Check]:
        for servo in servos:
            joint, names = servo.on_bus.joint, {n: name for name, n in servo.on_bus.model.modes.items()}
            found = names.get(servo.values["operating_mode"], f"unknown mode {servo.values['operating_mode']}")
            if found != joint.mode:
                advice = f"it is set before torque comes on; to keep it, {_SET_UP}"
                yield Check("mode", ok=None, found=f"{servo.where}: {found}", wanted=joint.mode, advice=advice)

    modes = ", ".join(dict.fromkeys(s.on_bus.joint.mode for s in servos))
    yield from or_fine(other(), Check("mode", ok=True, found=modes))


def _limits(spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    """Limits in EEPROM hold when everything else fails, so they are no wider than the arm file's; and no narrower than
    the goals that the runtime sends, which a servo would refuse unheard.
    """

    def wrong() -> Iterator[Check]:
        for servo in servos:
            most = wanted(servo.on_bus.joint, spec.bus, servo.on_bus.model)
            least = _least_reach(servo.on_bus)
            wide, narrow = [], []
            for name, outward in _OUTWARD.items():
                value = servo.values.get(name, 0)
                if name in most and (value - most[name].value) * outward > 0:
                    wide.append(f"{name} {value} ({most[name].value})")
                elif name in least and (least[name] - value) * outward > 0:
                    narrow.append(f"{name} {value} ({least[name]})")
            if wide:
                yield _limit(servo, wide, "no wider than the arm file (in brackets)")
            if narrow:
                yield _limit(servo, narrow, "wide enough for goals inside the arm file (in brackets)")

    fine = Check("limits in servos", ok=True, found="no wider than the arm file")
    yield from list(wrong()) or [fine]  # a row a servo: there may be much to say


def _limit(servo: _Servo, found: list[str], want: str) -> Check:
    return Check("limits in servos", ok=False, found=f"{servo.where}: {', '.join(found)}", wanted=want, advice=_SET_UP)


def _least_reach(servo: ServoOnBus) -> dict[str, int]:
    """How far a servo's limits must reach, in ticks, for goals inside the arm file's limits to be obeyed."""
    low, high = goal_reach(servo.joint)
    register = goal_register(servo.joint)
    if servo.joint.mode == "position":
        return {"min_position_limit": int(low), "max_position_limit": int(high)}
    return {register.limited_by: int(high)} if register.limited_by else {}


def _weak(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    """Goals are obeyed, but with less than the motor's strength: the arm sags, and what follows looks like a load."""
    for servo in servos:
        most, found = servo.on_bus.model.register("pwm_limit").maximum, servo.values["pwm_limit"]
        if found < most and servo.on_bus.joint.mode != "pwm":
            told = f"{servo.where}: pwm_limit {found}, {found / most:.0%} of its strength"
            yield Check("strength", ok=None, found=told, wanted=f"{most}", advice=_SET_UP)


def _shutdown(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for servo in servos:
            model = servo.on_bus.model
            lacking = model.recommended.get("shutdown", 0) & ~servo.values["shutdown"]
            if lacking:
                names = ", ".join(n.replace("_", " ") for n in model.error_names(lacking))
                found = f"{servo.where} does not shut down on {names}"
                yield Check("self-protection", ok=False, found=found, wanted="as the factory has it", advice=_SET_UP)

    yield from or_fine(wrong(), Check("self-protection", ok=True, found="as the factory has it"))


def _return_delay(spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    slow = [s for s in servos if s.si("return_delay_time") > spec.bus.return_delay + 1e-9]
    longest = max(s.si("return_delay_time") for s in servos)
    want = f"{spec.bus.return_delay * 1e6:.0f} µs"
    rows = (
        Check("return delay", ok=None, found=f"{s.where}: {d * 1e6:.0f} µs", wanted=want, advice=_SET_UP)
        for s in slow
        for d in (s.si("return_delay_time"),)
    )
    yield from or_fine(rows, Check("return delay", ok=True, found=f"{longest * 1e6:.0f} µs"))


def _voltage(spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for servo in servos:
            low, high = servo.on_bus.model.motor.tolerated_voltage
            low, high = max(spec.supply[0], low), min(spec.supply[1], high)
            volts = servo.si("present_input_voltage")
            if not low <= volts <= high:
                advice = "check the power supply, and that this servo hangs on the right rail"
                found, want = f"{servo.where}: {volts:.1f} V", f"{low:.1f} to {high:.1f} V"
                yield Check("voltage", ok=False, found=found, wanted=want, advice=advice)

    yield from or_fine(wrong(), Check("voltage", ok=True, found=_range(servos, "present_input_voltage", "V", ".1f")))


def _temperature(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for servo in servos:
            most = min(servo.si("temperature_limit"), servo.on_bus.joint.limits.temperature) - WARM
            celsius = servo.si("present_temperature")
            if celsius > most:
                advice = "let it cool; look for a joint that holds a load all the time"
                found, want = f"{servo.where}: {celsius:.0f} °C", f"at most {most:.0f} °C"
                yield Check("temperature", ok=False, found=found, wanted=want, advice=advice)

    fine = Check("temperature", ok=True, found=_range(servos, "present_temperature", "°C", ".0f"))
    yield from or_fine(wrong(), fine)


def _errors(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for servo in servos:
            status = servo.values["hardware_error_status"]
            if status:
                names = ", ".join(n.replace("_", " ") for n in servo.on_bus.model.error_names(status)) or hex(status)
                advice = f"see to the cause, then 'robot-setup reboot --id {servo.on_bus.joint.servo_id}'"
                yield Check("hardware errors", ok=False, found=f"{servo.where}: {names}", wanted="none", advice=advice)

    yield from or_fine(wrong(), Check("hardware errors", ok=True, found="none"))


def _torque(_spec: ArmSpec, servos: Sequence[_Servo]) -> Iterator[Check]:
    wrong = (
        Check(
            "torque",
            ok=False,
            found=f"{s.where}: on, perhaps from a program that ended without letting go",
            wanted="off",
            advice="support the arm by hand and run 'robot-setup release'",
        )
        for s in servos
        if s.values["torque_enable"]
    )
    yield from or_fine(wrong, Check("torque", ok=True, found="off"))


def _range(servos: Sequence[_Servo], register: str, unit: str, form: str) -> str:
    values = [s.si(register) for s in servos]
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


_CHECKS: tuple[Callable[[ArmSpec, Sequence[_Servo]], Iterator[Check]], ...] = (
    _models,
    _modes,
    _limits,
    _weak,
    _shutdown,
    _return_delay,
    _voltage,
    _temperature,
    _errors,
    _torque,
)
