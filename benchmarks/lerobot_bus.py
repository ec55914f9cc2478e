"""lerobot's bus in the same cycle as benchmarks/bus.py: three sync reads and one sync write; prints the median in µs.

lerobot pins an older torch, so it wants an environment of its own (`make bench-lerobot` builds it):

    python3 -m venv .venv-lerobot
    .venv-lerobot/bin/pip install --no-deps lerobot==0.4.4
    .venv-lerobot/bin/pip install deepdiff draccus tqdm termcolor einops packaging dynamixel-sdk pyserial numpy torch
"""

from __future__ import annotations

import gc
import importlib.machinery
import statistics
import sys
import time
import types


class _StandIn(types.ModuleType):
    """Has every name that is asked of it."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for absent in (
    "accelerate",
    "datasets",
    "datasets.utils",
    "datasets.utils.logging",
):  # imported by the package, not used by its bus
    stand_in = _StandIn(absent)
    stand_in.__spec__ = importlib.machinery.ModuleSpec(absent, None)
    sys.modules[absent] = stand_in

from lerobot.motors import Motor, MotorNormMode
from lerobot.motors.dynamixel import DynamixelMotorsBus

CYCLES, WARM_UP = 1500, 100


def main() -> None:
    motors = {f"m{i}": Motor(i, "xl330-m288", MotorNormMode.DEGREES) for i in range(1, 7)}
    bus = DynamixelMotorsBus(sys.argv[1], motors)
    bus.connect(handshake=False)
    goals = dict.fromkeys(motors, 2048)
    times = []
    gc.collect()
    gc.disable()
    for k in range(WARM_UP + CYCLES):
        start = time.perf_counter()
        for register in ("Present_Current", "Present_Velocity", "Present_Position"):
            bus.sync_read(register, normalize=False)
        bus.sync_write("Goal_Position", goals, normalize=False)
        if k >= WARM_UP:
            times.append(time.perf_counter() - start)
    print(statistics.median(times) * 1e6)
    bus.disconnect(disable_torque=False)


if __name__ == "__main__":
    main()
