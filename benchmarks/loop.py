"""The control loop: how punctual its cycles begin, against its peers in the same run; what a cycle costs; how many are
late with the wire's time; how long it takes to start.

    python benchmarks/loop.py                        tables
    python benchmarks/loop.py --json                 the same for machines
    python benchmarks/loop.py --only cost            one of them: pacing, cost, wire, start
    python benchmarks/loop.py --only cost --asleep   cost or wire on cores that may fall asleep, as without the runtime
    python benchmarks/loop.py --only wire --rounds 30   what is rare takes minutes to count
    python benchmarks/loop.py --spins                what watching the clock before a deadline brings, and costs

The peers take turns, so that a busy moment hits them alike. lerobot is measured when LEROBOT_PYTHON names an
interpreter that has it (`make bench-lerobot` makes one).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks import loop_cost, loop_start, loop_wire
from robot_runtime.bus import SerialPort
from robot_runtime.realtime import Pacer, RealTime, Settings

RATE, SECONDS, ROUNDS = 500.0, 1.0, 4
"""Cycles a second; of each peer in each round."""

QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
Pace = Callable[[float, int], list[float]]
"""Period (s) and cycles -> how late each began (s)."""


# -- pacing ------------------------------------------------------------------------------------------------------------


def ours(settings: Settings, spin: float | None = None) -> Pace:
    """The runtime's own: real time as far as the system gives it, a real serial port's clock. `spin` (s): another."""

    def pace(period: float, cycles: int) -> list[float]:
        master, slave = os.openpty()
        tty.setraw(slave)
        port = SerialPort(os.ttyname(slave), 1_000_000)
        late = []
        with RealTime() as realtime:
            realtime.enter(settings)
            port.spin = realtime.spin(period) if spin is None else spin
            pacer = Pacer(port, period)
            for _ in range(cycles):
                pacer.wait()
                late.append(pacer.lateness + pacer.skipped * period)
        port.close()
        os.close(master)
        os.close(slave)
        return late

    return pace


def plain_sleep(period: float, cycles: int) -> list[float]:
    """Absolute deadlines and `time.sleep`: what a careful loop does without asking the system for anything."""
    late = []
    gc.disable()
    start = time.monotonic()
    for k in range(1, cycles + 1):
        due = start + k * period
        time.sleep(max(due - time.monotonic(), 0.0))
        late.append(time.monotonic() - due)
    gc.enable()
    return late


@contextmanager
def lerobot() -> Iterator[Pace | None]:
    """lerobot's, in a process of its own; None where there is none."""
    python = os.environ.get("LEROBOT_PYTHON")
    if not python:
        yield None
        return
    script = Path(__file__).with_name("lerobot_pacing.py")
    with subprocess.Popen([python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answer = process.stdin, process.stdout

        def pace(period: float, cycles: int) -> list[float]:
            ask.write(f"{period} {cycles}\n")
            ask.flush()
            late: list[float] = json.loads(answer.readline())
            return late

        yield pace
        ask.close()


def pacing(rate: float = RATE, seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """How late cycles begin (µs), and how many times later the peers' do."""
    with RealTime() as realtime:
        facts = realtime.enter()
    with lerobot() as theirs:
        peers: dict[str, Pace] = {
            "ours": ours(Settings()),
            "ours, ordinary class": ours(Settings(priority=0)),
            "time.sleep": plain_sleep,
        }
        if theirs is not None:
            peers["lerobot"] = theirs
        late: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds):
            for name, pace in peers.items():
                late[name] += pace(1 / rate, round(rate * seconds))
    figures = {name: {q: float(np.quantile(v, s)) * 1e6 for q, s in QUANTILES.items()} for name, v in late.items()}
    return {
        "rate_hz": rate,
        "cycles": round(rate * seconds) * rounds,
        "not_given_by_the_system": {f.name: f.detail for f in facts if not f.got},
        "lateness_us": figures,
        "times_later_than_ours": {
            name: {q: figures[name][q] / figures["ours"][q] for q in QUANTILES} for name in figures if name != "ours"
        },
    }


def spins(rate: float, seconds: float) -> dict[str, dict[str, float]]:
    """How late cycles begin (µs) by scheduling class and spin, and the share of a core (%) that the pace takes."""
    paces = {
        f"{name}, spin {spin * 1e6:.0f} µs": ours(Settings(priority=priority), spin)
        for name, priority in (("ordinary", 0), ("SCHED_FIFO", Settings().priority))
        for spin in (0.0, 50e-6, 100e-6, 150e-6, 200e-6, 400e-6)
    }
    late: dict[str, list[float]] = {name: [] for name in paces}
    cpu = dict.fromkeys(paces, 0.0)
    for _ in range(ROUNDS):
        for name, pace in paces.items():
            started = time.process_time()
            late[name] += pace(1 / rate, round(rate * seconds))
            cpu[name] += (time.process_time() - started) / (seconds * ROUNDS) * 100
    return {
        name: {q: float(np.quantile(v, s)) * 1e6 for q, s in QUANTILES.items()} | {"core": cpu[name]}
        for name, v in late.items()
    }


def show_pacing(report: dict[str, Any]) -> None:
    print(f"how late cycles begin, µs, at {report['rate_hz']:g} Hz ({report['cycles']} cycles each)")
    for name, detail in report["not_given_by_the_system"].items():
        print(f"    without {name}: {detail}")
    print(f"{'':24}" + "".join(f"{q:>10}" for q in QUANTILES) + "    / ours")
    for name, row in report["lateness_us"].items():
        ratios = report["times_later_than_ours"].get(name, {})
        told = "  ".join(f"{ratios[q]:.0f}x" if ratios[q] >= 10 else f"{ratios[q]:.1f}x" for q in ratios)
        print(f"{name:24}" + "".join(f"{row[q]:10.1f}" for q in QUANTILES) + f"    {told}")
    if "lerobot" not in report["lateness_us"]:
        print("lerobot is not here: LEROBOT_PYTHON names no interpreter that has it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rate", type=float, default=RATE, metavar="HZ", help="cycles a second")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each peer in each round")
    parser.add_argument("--rounds", type=int, default=loop_wire.ROUNDS, help="wire: of both, in turns")
    parser.add_argument("--spins", action="store_true", help="compare spins instead")
    parser.add_argument("--only", action="append", choices=("pacing", "cost", "wire", "start"), help="only this")
    parser.add_argument("--asleep", action="store_true", help="cost and wire: let the cores fall asleep")
    options = parser.parse_args()
    if options.spins:
        rows = spins(options.rate, options.seconds)
        for name, row in rows.items():
            print(f"{name:28}" + "  ".join(f"{key} {value:8.1f}" for key, value in row.items()))
        return
    settings = Settings(awake=not options.asleep)
    parts: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
        "pacing": (lambda: pacing(options.rate, options.seconds), show_pacing),
        "cost": (lambda: loop_cost.costs(settings), loop_cost.show_costs),
        "wire": (lambda: loop_wire.wires(settings, rounds=options.rounds), loop_wire.show_wires),
        "start": (loop_start.starts, loop_start.show_starts),
    }
    report = {}
    for name in options.only or parts:
        measure, show = parts[name]
        report[name] = measure()
        if not options.json:
            show(report[name])
    if options.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
