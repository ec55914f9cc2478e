"""An arm that is not there: servo firmware on a bus, and the physics behind it, advancing in one time."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from sim.twin.adapter import Adapter, AdapterTiming
from sim.twin.arm_file import TwinArm
from sim.twin.faults import Fault, FaultBox, parse_fault
from sim.twin.gap import Gap, load_gap
from sim.twin.line import Line
from sim.twin.plant import Plant, Sampler
from sim.twin.protection import PROTECTION_PERIOD
from sim.twin.servo import Servo
from sim.twin.servo_data import load_servo
from sim.twin.timeline import Timeline

if TYPE_CHECKING:
    from sim.twin.drives import Drives

FACTORY_BAUDRATE = 57_600
"""bit/s at which every servo leaves the factory. Manual."""


class Twin:
    """One emulated arm. Bytes in with `transmit`, time with `advance`, bytes out with `take`.

    `LockstepPort` drives it in virtual time, `TwinServer` by the clock.
    """

    def __init__(
        self,
        arm: TwinArm,
        *,
        gap: Gap | None = None,
        faults: Iterable[str | Fault] = (),
        seed: int = 0,
        firmware: Mapping[int, int] | None = None,
        adapter: AdapterTiming | None = None,
        wire_time: bool = True,
        factory: bool = False,
        pose: str = "rest",
        plugs: Mapping[str, float] | None = None,
        plant: Plant | None = None,
    ) -> None:
        """Assemble the arm and switch it on, in the named pose.

        `firmware` gives versions by servo ID; the others run the newest that their data file knows. `adapter` replaces
        the timing that the gap gives the USB adapter. `wire_time=False`: bytes, return delays and the adapter take no
        time. `factory`: all servos as shipped, ID 1 and 57600 bit/s; otherwise they have the IDs and the baud rate of
        the arm's file and the EEPROM values that set-up recommends. `plugs`: the servo of each of these joints is
        plugged in at that time (s) (`shoulder/2`: its second one), the other servos never; without it all of them are
        from the start. `plant` replaces the physics.

        Raises ValueError for an unknown servo model, pose or joint, and FaultSpecError for a fault that cannot be.
        """
        gap = Gap() if gap is None else gap
        self.arm = arm
        self.seed = seed
        self.time = 0.0
        """s since the twin was switched on."""
        self.plug = 1
        """Counts how often the USB plug was put in; negative while it is out."""
        self.plant = _drives(arm, gap, seed, pose) if plant is None else plant
        if adapter is None:
            adapter = _adapter_timing(gap) if wire_time else AdapterTiming()
        self.adapter = Adapter(adapter, seed)
        self._sampler = Sampler(self.plant)
        self.servos: list[Servo] = []
        """In the order of `TwinArm.servos`."""
        for index, place in enumerate(arm.servos):
            data = load_servo(arm.joints[place.joint].servo_model)
            servo = Servo(data, self.plant, self._sampler, index, (firmware or {}).get(place.id))
            if not factory:
                baud = data.baudrates[arm.baudrate]
                recommended = {name: v for name, v in data.recommended.items() if name in servo.table.registers}
                servo.set_eeprom(**{**recommended, "id": place.id, "baud_rate": baud})
            self.servos.append(servo)
        self._timeline = Timeline()
        baudrate = FACTORY_BAUDRATE if factory else arm.baudrate
        self.line = Line(
            self.servos, self._sampler, self.adapter, self._timeline, baudrate=baudrate, wire_time=wire_time, seed=seed
        )
        named = {place.name: servo for place, servo in zip(arm.servos, self.servos, strict=True)}
        self._faults = FaultBox(self, named, self.line, self._timeline, seed)
        self._steps = 0
        self._next_step = self.plant.period
        self._next_protection = PROTECTION_PERIOD
        self._next_duty = 0.0
        if plugs:
            self._plug_later(named, plugs)
        for fault in faults:
            self.inject(fault)

    @classmethod
    def load(
        cls,
        arm: str,
        *,
        gap: str | None = None,
        payload: float = 0.0,
        faults: Iterable[str | Fault] = (),
        seed: int = 0,
        firmware: Mapping[int, int] | None = None,
        adapter: AdapterTiming | None = None,
        wire_time: bool = True,
        factory: bool = False,
        pose: str = "rest",
        plugs: Mapping[str, float] | None = None,
    ) -> Twin:
        """Assemble an arm by the name under which it ships, or by the path of its file; so also the gap.

        `payload` (kg) hangs at its tip beside the gap's.
        """
        return cls(
            TwinArm.load(arm),
            gap=(Gap() if gap is None else load_gap(gap)).with_payload(payload),
            faults=faults,
            seed=seed,
            firmware=firmware,
            adapter=adapter,
            wire_time=wire_time,
            factory=factory,
            pose=pose,
            plugs=plugs,
        )

    @property
    def drives(self) -> Drives:
        """Motors, joints and sensors, with the truth that no register tells. Only where no other plant was given."""
        return cast("Drives", self.plant)

    # -- time --------------------------------------------------------------------------------------

    def advance(self, until: float) -> None:
        """Let everything happen up to that time."""
        timeline, plant = self._timeline, self.plant
        while True:
            if self._next_step <= timeline.due:
                if self._next_step > until:
                    break
                plant.step()
                self._steps += 1
                now = self.time = self._next_step
                self._next_step = (self._steps + 1) * plant.period
                if now >= self._next_duty:
                    self._duties(now)
            else:
                if timeline.due > until:
                    break
                self.time = timeline.due
                timeline.happen()
                self._next_duty = 0.0  # an instruction may have armed a watchdog
        self.time = max(self.time, until)

    def _duties(self, now: float) -> None:
        """What the firmware does by itself, now and then."""
        if now >= self._next_protection:
            self._next_protection = now + PROTECTION_PERIOD
            self._sampler.forget()
            for servo in self.servos:
                servo.protect()
        if now >= self.line.watchdog_due:
            self.line.check_watchdogs(now)
        self._next_duty = min(self._next_protection, self.line.watchdog_due)

    def due(self) -> float:
        """When something will happen that the host can notice, in s; inf: nothing, as things stand."""
        return min(self._timeline.due, self.adapter.due())

    # -- the host's end of the cable ---------------------------------------------------------------

    @property
    def plugged(self) -> bool:
        """Whether the USB plug is in."""
        return self.plug > 0

    def transmit(self, data: bytes, at: float | None = None) -> None:
        """The host sends bytes: now, or at a time that the physics has not reached yet.

        Raises OSError while the plug is out.
        """
        self._need_plug()
        self.line.transmit(data, self.time if at is None else at)

    def take(self, at: float | None = None) -> bytes:
        """The bytes that have come to the host by now, or by that time. Raises OSError while the plug is out."""
        self._need_plug()
        return self.adapter.take(self.time if at is None else at)

    def _need_plug(self) -> None:
        if not self.plugged:
            raise OSError(errno.EIO, "the port is gone: unplugged")

    # -- faults ------------------------------------------------------------------------------------

    def inject(self, fault: str | Fault) -> None:
        """Let a fault happen; its times count from now. Raises FaultSpecError."""
        self._faults.add(parse_fault(fault) if isinstance(fault, str) else fault, self.time)
        self.advance(self.time)

    def unplug(self) -> None:
        """Pull the USB plug: the port is gone, the arm keeps its supply."""
        self.plug = -abs(self.plug)
        self.adapter.clear()

    def plug_in(self) -> None:
        """Put the USB plug back; a port must be opened anew."""
        if not self.plugged:
            self.plug = 1 - self.plug

    def cut_power(self, servo: Servo) -> None:
        """Take the supply from a servo."""
        servo.power_off()

    def restore_power(self, servo: Servo) -> None:
        """Give the supply back; the servo boots, without a word."""
        self.line.reboot(servo, self.time)

    def silence(self, servo: Servo, silent: bool) -> None:
        """Break a servo's data line, or mend it; it keeps driving."""
        servo.connected = not silent
        servo.on_change()

    def connect(self, servo: Servo) -> None:
        """Plug a servo into the chain: it gets its data line and its supply, and boots."""
        self.silence(servo, silent=False)
        self.restore_power(servo)

    def _plug_later(self, named: Mapping[str, Servo], plugs: Mapping[str, float]) -> None:
        for name in plugs:
            if name not in named:
                raise ValueError(f"no joint '{name}' to plug in; there are {', '.join(named)}")
        for name, servo in named.items():
            if plugs.get(name) != 0.0:
                self.cut_power(servo)
                self.silence(servo, silent=True)
            if plugs.get(name):
                self._timeline.put(plugs[name], self.connect, servo)

    def receive_noise(self, data: bytes) -> None:
        """Let the adapter receive bytes that nobody sent."""
        self.adapter.receive(self.time, 0.0, data)


def _adapter_timing(gap: Gap) -> AdapterTiming:
    return AdapterTiming(gap.bus.latency_timer, gap.bus.frame, gap.bus.extra_delay, gap.bus.reply_jitter)


def _drives(arm: TwinArm, gap: Gap, seed: int, pose: str) -> Plant:
    from sim.twin.drives import Drives  # noqa: PLC0415 - MuJoCo takes its time to load, and not every use needs it

    return Drives(arm, gap, seed, pose)
