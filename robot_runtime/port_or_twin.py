"""The port that somebody named, or that of a twin started for this flight: commands know no other difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from robot_runtime.bus import Bus, SerialPort
from robot_runtime.realtime import PRIORITY
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec
from robot_runtime.twin_process import TwinProcess

TWIN_PRIORITY = PRIORITY - 10
"""Of SCHED_FIFO, below the loop: while that spins, the twin runs on another core or waits."""


@contextmanager
def port_or_twin(
    name: str | None, spec: ArmSpec, *, gap: str | None = None, payload: float = 0.0, faults: Sequence[str] = ()
) -> Iterator[SerialPort]:
    """An open port; without a name, that of the arm's twin, with this gap and these faults of it, set up as an arm is.

    `payload` (kg) hangs at the twin's tip; at a real one somebody has to hang it.

    Raises:
        PortError: the port cannot be had.
        TwinStartError: the twin did not start.
    """
    if name is not None:
        port = SerialPort(name, spec.bus.baudrate)
        try:
            yield port
        finally:
            port.close()
        return
    options = ["--payload", str(payload), *(("--gap", gap) if gap else ())]
    for fault in faults:
        options += ["--fault", fault]
    with TwinProcess(str(spec.path), options) as twin:
        twin.be_punctual(TWIN_PRIORITY)
        port = SerialPort(twin.port, spec.bus.baudrate)
        try:
            set_up_unboxed(Bus(port), spec)  # its servos come from the factory
            yield port
        finally:
            port.close()
