"""An arm that is not there: servo firmware on a bus, physics behind it, and a serial port in front.

    twin = Twin.load("open-manipulator-x", gap="mild", faults=["packet-lost:p=0.01"], seed=1)
    port = LockstepPort(twin)             # virtual time, in process
    TwinServer(twin).serve()              # or real time, behind a pseudo-terminal: `robot-twin`

It shares the servo data files and the arms' files with the runtime, and no code: what talks to it is tested against
other packet code than its own.

What it models
    - Protocol 2.0 byte by byte: stuffing, CRC, every instruction that scan, set-up and control use, fast reads with
      their running CRC.
    - The control table: access rules and error numbers, EEPROM locked while torque is on, limits, indirect addresses,
      registered writes, secondary ID, return level, return delay, reboot, factory reset, Clear, alert bit, Startup
      Torque On.
    - Servos that measure their supply's current (XL330): their current registers show |duty| times the motor's, and
      their current controllers hold or cap that. The first is the manual's, the second follows from it and is
      unverified.
    - Operating modes and what changes with them, the Bus Watchdog and how each mode stops, overload, overheating and
      voltage errors with the Shutdown mask, brown-outs.
    - The wire: baud rates of servos and host, ten bits a byte, half duplex, chained replies, collisions, two servos of
      one ID.
    - The USB adapter: latency timer, portions, frames, delay and jitter.
    - Faults by name (`faults.CATALOGUE`), the reality gap by file (`gap`), motors, gears, sensors and joints
      (`drives`); joints that two servos turn.

What it does not model
    - Control Table Backup (0x20) and RAM Restore: answered as an unknown instruction; Backup Ready reads 0.
    - The second indirect block of the larger servos (addresses 578 to 661).
    - Protocol 1.0, S.BUS, iBUS and RC-PWM (Protocol Type can be written and does nothing).
    - Dual joints whose servos a sync cable ties, master and slave (two that obey the bus each on their own are
      modelled), and the external port of the XM540 (its registers are plain memory).
    - Electrical shock and motor encoder errors: nothing raises them. The LED: a register only.
    - Bit errors that some servos hear and others do not: packet faults strike between the bus and the host, or all
      servos at once.
    - Noise from a servo at another speed: it hears nothing and says nothing. Break, parity and framing errors.
    - Instructions cut by more than 20 ms of silence are given up at the next write, not by a timer of their own.
    - EEPROM does not outlive the process, and does not wear out.
    - What the firmware does where the manual is silent: each such place says "Assumption" in the code and on what it
      rests.
"""

from sim.twin.adapter import AdapterTiming
from sim.twin.faults import FaultSpecError
from sim.twin.lockstep import LockstepPort
from sim.twin.server import TwinServer
from sim.twin.twin import Twin

__all__ = ["AdapterTiming", "FaultSpecError", "LockstepPort", "Twin", "TwinServer"]
