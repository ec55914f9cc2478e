"""A processor that is awake when a cycle begins, and not at its slowest.

A loop that sleeps for nine tenths of its time looks idle: the processor falls into sleeps that lose what its caches
hold and take long to end, and a clock that follows the load runs slowly. Both cost every cycle (docs/realtime.md).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from robot_runtime.realtime.fact import Fact

LONGEST = 3
"""µs that waking up may take. The shallowest sleep of Intel's and AMD's cores takes 1 to 3 and keeps the caches, those
below it take up to 400 (Linux, drivers/idle/intel_idle.c; AMD's tables in ACPI)."""

_LATENCY = Path("/dev/cpu_dma_latency")
"""Holds for as long as it is open, for all cores. Linux, Documentation/power/pm_qos_interface.rst."""
_DRIVER = Path("/sys/devices/system/cpu/cpuidle/current_driver")
_VIRTUAL = "haltpoll"
"""Of a virtual machine: a core that halts is handed to others, however short a sleep that is said to be."""
_CORES = Path("/sys/devices/system/cpu")
_STEADY = "performance"


def short_sleeps(undo: list[Callable[[], object]], device: Path = _LATENCY, driver: Path = _DRIVER) -> Fact:
    """Only sleeps that are over at once; none at all in a virtual machine."""
    name, longest = "short sleeps", 0 if _read(driver) == _VIRTUAL else LONGEST
    try:
        file = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return Fact(name, got=False, detail=f"{device}: {error.strerror}", advice=_ALLOW)
    undo.append(lambda: os.close(file))
    try:
        os.write(file, struct.pack("=i", longest))
    except OSError as error:
        return Fact(name, got=False, detail=f"{device}: {error.strerror}", advice=_ALLOW)
    return Fact(name, got=True, detail=f"idle cores wake within {longest} µs" if longest else "idle cores stay awake")


_ALLOW = (
    """write 'KERNEL=="cpu_dma_latency", GROUP="dialout", MODE="0660"' into /etc/udev/rules.d/99-robot.rules and """
    "restart; in a container --device /dev/cpu_dma_latency"
)


def clock_rate(cores: Iterable[int], folder: Path = _CORES) -> Fact | None:
    """Whether these cores run at full speed; None: nobody governs their speed.

    It is only looked at: were this process killed, nobody would set it back.
    """
    governors = {_read(folder / f"cpu{core}" / "cpufreq" / "scaling_governor") for core in cores} - {""}
    if not governors:
        return None
    if governors == {_STEADY}:
        return Fact("clock rate", got=True, detail="at its highest")
    others = ", ".join(sorted(governors - {_STEADY}))
    return Fact(
        "clock rate",
        got=False,
        detail=f"follows the load (governor {others}), and a loop that mostly waits is little load",
        advice="echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
