"""How much faster than the clock the lock-step twin runs: 200 cycles a second, physics at 1 kHz, all of it counted.

python benchmarks/twin.py            a table
python benchmarks/twin.py --json     the same for machines
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from robot_runtime.arm import Arm, JointCommand
from robot_runtime.arm.scaling import goal_register
from robot_runtime.bus import Bus, GroupRead, GroupWrite
from robot_runtime.spec import load_arm, shipped_arms
from sim.twin import LockstepPort, Twin

RATE = 200  # cycles/s
SECONDS = 5.0  # of virtual time
ROUNDS = 3


def by_bus(name: str) -> float:
    """One fast read and one goal write a cycle: firmware, wire, motors and physics."""
    spec, twin = load_arm(name), Twin.load(name)
    port = LockstepPort(twin)
    arm = Arm.open(spec, port)
    arm.prepare()
    arm.torque_on()
    bus: Bus = arm.bus
    read = GroupRead(spec.servo_ids, 126, 10, fast=True)
    goals = [(j.servo_id, goal_register(j)) for j in spec.servos]
    write = GroupWrite(goals)
    ticks = [bus.read(servo_id, register) for servo_id, register in goals]
    begin, started = port.now(), time.perf_counter()
    for k in range(1, int(SECONDS * RATE) + 1):
        if bus.read_group(read):
            raise RuntimeError("a reply was lost")
        bus.write_group(write, [t + k % 20 for t in ticks])
        port.sleep_until(begin + k / RATE)
    return SECONDS / (time.perf_counter() - started)


def by_arm(name: str) -> float:
    """The same with everything that the runtime's Arm does on top: SI units, health, gravity, holding."""
    spec, twin = load_arm(name), Twin.load(name)
    port = LockstepPort(twin)
    arm = Arm.open(spec, port)
    arm.prepare()
    arm.torque_on()
    command = JointCommand(len(spec.joints))
    begin, started = port.now(), time.perf_counter()
    middle = np.array(arm.hold_angle)
    for k in range(1, int(SECONDS * RATE) + 1):
        due = begin + k / RATE
        arm.read(due)
        np.add(middle, 0.02 * np.sin(k / 20), out=arm.hold_angle)
        arm.write(command)
        port.sleep_until(due)
    return SECONDS / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    report = {
        name: {
            "servos": len(load_arm(name).joints),
            "bus": max(by_bus(name) for _ in range(ROUNDS)),
            "arm": max(by_arm(name) for _ in range(ROUNDS)),
        }
        for name in shipped_arms()
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{'times the clock':24}{'servos':>8}{'bus only':>10}{'with Arm':>10}")
    for name, row in report.items():
        print(f"{name:24}{row['servos']:8.0f}{row['bus']:10.1f}{row['arm']:10.1f}")


if __name__ == "__main__":
    main()
