"""One control cycle on the bus, ours against its peers: read current, velocity, position of 6 servos as numbers,
write 6 goals.

    python benchmarks/bus.py            a table
    python benchmarks/bus.py --json     the same for machines
    python benchmarks/bus.py --wire     with the wire's time at 1 and 4 Mbaud

Everyone talks to the same canned responder behind a pseudo-terminal, in rounds that take turns, in one run; medians.
lerobot is measured when LEROBOT_PYTHON names an interpreter that has it (`make bench-lerobot` makes one).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dynamixel_sdk as sdk
import rustypot

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.canned_bus import CannedBus
from robot_runtime.bus import Bus, GroupRead, GroupWrite, SerialPort
from robot_runtime.bus.timing import wire_time
from robot_runtime.servos import servo_model

IDS = (1, 2, 3, 4, 5, 6)
ADDRESS, LENGTH = 126, 10
GOAL = servo_model("XL330-M288").register("goal_position")
ROUNDS, CYCLES, WARM_UP = 20, 150, 15
Cycle = Callable[[], object]
Maker = Callable[[str], tuple[Cycle, Callable[[], None]]]
"""Opens a port; returns one cycle, and how to close."""


def ours(port: str, *, fast: bool) -> tuple[Cycle, Callable[[], None]]:
    serial = SerialPort(port, 1_000_000)
    bus = Bus(serial)
    group, goals = GroupRead(IDS, ADDRESS, LENGTH, fast=fast), GroupWrite([(i, GOAL) for i in IDS])
    position, velocity, current = group.field(6, "<i4"), group.field(2, "<i4"), group.field(0, "<i2")
    values = [2048] * 6

    def cycle() -> None:
        bus.read_group(group)
        position.tolist(), velocity.tolist(), current.tolist()
        bus.write_group(goals, values)

    def close() -> None:
        if bus.statistics.incomplete > CYCLES // 50:
            raise RuntimeError(f"{bus.statistics.incomplete} of {CYCLES} replies were late: is the machine busy?")
        bus.close()

    return cycle, close


def bare(port: str) -> tuple[Cycle, Callable[[], None]]:
    """The same bytes over a bare file descriptor: nothing is checked or decoded."""
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    group, goals = GroupRead(IDS, ADDRESS, LENGTH, fast=True), GroupWrite([(i, GOAL) for i in IDS])
    request, write = group.request, bytes(goals.packet([2048] * 6))

    def cycle() -> None:
        os.write(fd, request)
        count = 0
        while count < group.size:
            select.select([fd], [], [], 0.1)
            count += len(os.read(fd, 4096))
        os.write(fd, write)

    return cycle, lambda: os.close(fd)


def dynamixel_sdk(port: str, *, fast: bool) -> tuple[Cycle, Callable[[], None]]:
    handler, packets = sdk.PortHandler(port), sdk.PacketHandler(2.0)
    handler.openPort()
    handler.setBaudRate(1_000_000)
    read = sdk.GroupSyncRead(handler, packets, ADDRESS, LENGTH)
    write = sdk.GroupSyncWrite(handler, packets, GOAL.address, GOAL.size)
    data = [0, 8, 0, 0]
    for i in IDS:
        read.addParam(i)
        write.addParam(i, data)
    transact = read.fastSyncRead if fast else read.txRxPacket

    def cycle() -> None:
        if transact() != sdk.COMM_SUCCESS:
            raise RuntimeError("a reply was lost")
        for i in IDS:
            read.getData(i, 132, 4), read.getData(i, 128, 4), read.getData(i, 126, 2)
            write.changeParam(i, data)
        write.txPacket()

    return cycle, handler.closePort


def rustypot_raw(port: str) -> tuple[Cycle, Callable[[], None]]:
    controller = rustypot.Xl330PyController(port, 1_000_000, 0.1)
    ids, data = list(IDS), [[0, 8, 0, 0]] * 6

    def cycle() -> None:
        controller.sync_read_raw_data(ids, ADDRESS, LENGTH)
        controller.sync_write_raw_data(ids, GOAL.address, data)

    return cycle, controller.close


def in_turns(makers: dict[str, Maker], port: str) -> dict[str, float]:
    """Median time of a cycle in µs. The peers take turns, so that a busy moment hits them alike; one has the port."""
    times: dict[str, list[float]] = {name: [] for name in makers}
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        for name, make in makers.items():
            cycle, close = make(port)
            for k in range(CYCLES):
                start = time.perf_counter()
                cycle()
                if k >= WARM_UP:
                    times[name].append(time.perf_counter() - start)
            close()
    gc.enable()
    return {name: statistics.median(t) * 1e6 for name, t in times.items()}


def without_wire() -> dict[str, float]:
    makers: dict[str, Maker] = {
        "bare file descriptor": bare,
        "ours, fast": lambda p: ours(p, fast=True),
        "ours, plain": lambda p: ours(p, fast=False),
        "dynamixel-sdk, fast": lambda p: dynamixel_sdk(p, fast=True),
        "dynamixel-sdk, plain": lambda p: dynamixel_sdk(p, fast=False),
        "rustypot, raw": rustypot_raw,
    }
    with CannedBus() as canned:
        result = in_turns(makers, canned.port)
        if (lerobot := _lerobot(canned.port)) is not None:
            result["lerobot"] = lerobot
    return result


def _lerobot(port: str) -> float | None:
    python = os.environ.get("LEROBOT_PYTHON")
    if not python:
        return None
    script = Path(__file__).with_name("lerobot_bus.py")
    done = subprocess.run([python, str(script), port], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout.strip().splitlines()[-1])


def with_wire(baudrate: int) -> dict[str, float]:
    """Time of a cycle over what its bytes need on the wire.

    The pseudo-terminal adds its own latency to the emulated wire: a first run of the bare exchange measures it, then
    replies leave earlier by that much, so that the bare exchange takes the wire's time and ours shows what ours adds.
    """
    group, goals = GroupRead(IDS, ADDRESS, LENGTH, fast=True), GroupWrite([(i, GOAL) for i in IDS])
    wire = wire_time(len(group.request) + group.size + goals.size, baudrate) * 1e6
    with CannedBus(baudrate) as canned:
        latency = in_turns({"bare": bare}, canned.port)["bare"] - wire
    makers: dict[str, Maker] = {"bare file descriptor": bare, "ours, fast": lambda p: ours(p, fast=True)}
    with CannedBus(baudrate, latency * 1e-6) as canned:
        took = in_turns(makers, canned.port)
    return (
        {"wire": wire, "latency of the pseudo-terminal": latency}
        | took
        | {f"{name} / wire": t / wire for name, t in took.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--wire", action="store_true", help="also with wire time at 1 and 4 Mbaud")
    options = parser.parse_args()
    times = without_wire()
    fast = times["ours, fast"]
    report: dict[str, object] = {
        "cycle_us": times,
        "ours_minus_bare_us": fast - times["bare file descriptor"],
        "ratio_of_ours_to": {name: fast / t for name, t in times.items() if not name.startswith("ours")},
    }
    if options.wire:
        wires = {str(rate): with_wire(rate) for rate in (1_000_000, 4_000_000)}
        report["wire_us"] = wires
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'':24}{'µs a cycle':>12}{'ours / it':>12}")
    for name, took in times.items():
        print(f"{name:24}{took:12.1f}{fast / took:12.2f}")
    if options.wire:
        for rate, row in wires.items():
            print(f"wire time at {rate} baud: {row['wire']:.0f} µs")
            for name in ("bare file descriptor", "ours, fast"):
                print(f"    {name:24}{row[name]:8.0f} µs, {row[name + ' / wire']:.3f} x the wire")


if __name__ == "__main__":
    main()
