"""The USB latency timer: FTDI adapters (U2D2, FT232) hold received bytes up to 16 ms unless told otherwise."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import serial

WANTED_MS = 1
"""What control needs, and the smallest that the chip does. Source: FTDI AN232B-04."""

_UNKNOWN_S = 0.001 if sys.platform == "linux" else 0.016
"""s, where no timer can be read. Linux: the adapter has none (CDC, pseudo-terminal), so one full-speed USB frame.
Elsewhere it may be an FTDI chip with its default.
"""


@dataclass(frozen=True, slots=True)
class LatencyTimer:
    """What was found, and what remains to be done: `advice` is None when all is well."""

    milliseconds: int | None
    advice: str | None

    @property
    def seconds(self) -> float:
        """How long the adapter may sit on received bytes."""
        return _UNKNOWN_S if self.milliseconds is None else self.milliseconds * 1e-3


def prepare_latency_timer(
    port: str, open_port: serial.Serial | None = None, sysfs: Path = Path("/sys")
) -> LatencyTimer:
    """Read the port's latency timer and set it to 1 ms; where that is not allowed, say what to do."""
    file = sysfs / "class" / "tty" / Path(port).resolve().name / "device" / "latency_timer"
    before = _read(file)
    if before is None or before <= WANTED_MS:
        return LatencyTimer(before, None)
    _ask_for_low_latency(open_port)
    if (_read(file) or before) > WANTED_MS:
        _write(file)
    after = _read(file) or before
    if after <= WANTED_MS:
        return LatencyTimer(after, None)
    advice = (
        f"the adapter holds replies up to {after} ms; run 'echo {WANTED_MS} | sudo tee {file}', or for good: a file "
        '/etc/udev/rules.d/99-latency.rules with ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", '
        'ATTR{latency_timer}="1"'
    )
    return LatencyTimer(after, advice)


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text().strip())
    except (OSError, ValueError):
        return None


def _write(file: Path) -> None:
    try:
        file.write_text(str(WANTED_MS))
    except OSError:
        return  # needs root; the caller reads back and advises


def _ask_for_low_latency(open_port: serial.Serial | None) -> None:
    """The driver's own switch, which ordinary users may turn (Linux; the ftdi_sio driver then uses 1 ms)."""
    if open_port is None or not hasattr(open_port, "set_low_latency_mode"):
        return
    try:
        open_port.set_low_latency_mode(True)
    except (OSError, ValueError):
        return
