"""Move every joint of an arm a little, softly, and let go at rest. The shortest complete use of the runtime.

    python examples/first_motion.py                                  on a twin of OpenMANIPULATOR-X
    python examples/first_motion.py --arm koch-v1.1 --port /dev/ttyUSB0

A real arm: keep a hand on its power switch, and the space around it clear.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from robot_runtime.arm import Arm, ArmError, JointCommand, Move, troubles
from robot_runtime.bus import BusError
from robot_runtime.realtime import Pacer
from robot_runtime.spec import ArmSpecError, load_arm
from robot_runtime.twin_process import TwinProcess, TwinStartError
from robot_runtime.undisturbed import undisturbed

PERIOD = 0.01  # s, 100 cycles a second
SHOW_EVERY = 10  # cycles
NUDGE = 0.25  # rad
ARRIVED = 0.15  # rad, what a soft hold leaves under load
WARNING = 3.0  # s from a trouble to torque off: time for a hand to get under the arm


class TroubleError(Exception):
    """Something is wrong with the arm; the message says what."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", default="open-manipulator-x", help="shipped name or path of an arm.toml")
    parser.add_argument("--port", help="serial port; without it a twin is started")
    options = parser.parse_args()
    console = Console()
    try:
        spec = load_arm(options.arm)
        with ExitStack() as stack:
            port = options.port or stack.enter_context(TwinProcess(options.arm)).port
            arm = stack.enter_context(Arm.open(spec, port))
            console.print(f"{spec.name} ({spec.path}) on {port}: {arm.plan.description}")
            return _run(arm, console)
    except (BusError, ArmError, ArmSpecError, TwinStartError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1


def _run(arm: Arm, console: Console) -> int:
    """Torque on, every pose, torque off. Whatever goes wrong, the arm is held for a moment and then let go."""
    arm.torque_on()
    ending = 0
    try:
        with Live(console=console, auto_refresh=False) as live:
            for name, pose in _poses(arm):
                _go(arm, pose, name, live)
        console.print()
    except (TroubleError, KeyboardInterrupt) as error:
        ending = 130 if isinstance(error, KeyboardInterrupt) else 1
        console.print(
            f"\n[red]stopped: {error or 'Ctrl-C'}[/red]\nget a hand under the arm: torque goes off in {WARNING:g} s"
        )
        _hold(arm, WARNING)
    finally:  # a second Ctrl-C too, and what nobody foresaw
        with undisturbed():
            arm.torque_off()
    bus = arm.bus.statistics
    console.print(f"torque off; {bus.reads} reads, {bus.retries} asked again, {bus.incomplete} incomplete")
    return ending


def _hold(arm: Arm, seconds: float) -> None:
    """Everything is held where it is."""
    command, end = JointCommand(len(arm.spec.joints)), arm.bus.port.now() + seconds
    np.copyto(arm.hold_angle, arm.state.q)
    while (now := arm.bus.port.now()) < end:
        arm.read(now + PERIOD)
        arm.write(command)
        arm.bus.port.sleep_until(now + PERIOD)


def _poses(arm: Arm) -> list[tuple[str, np.ndarray]]:
    """Home, then each joint out and back, then rest."""
    home = np.array(arm.spec.poses["home"])
    poses = [("home", home)]
    for i, joint in enumerate(arm.spec.joints):
        nudged = home.copy()
        room = joint.limits.upper - home[i]
        nudged[i] += min(NUDGE, 0.8 * room) if room > NUDGE / 2 else -NUDGE
        poses += [(joint.name, nudged), ("home", home)]
    return [*poses, ("rest", np.array(arm.spec.poses["rest"]))]


def _go(arm: Arm, goal: np.ndarray, title: str, live: Live) -> None:
    """One move: read, shift where the joints are held, write."""
    move = Move.between(arm.spec, arm.hold_angle, goal)
    command = JointCommand(len(arm.spec.joints))  # nothing is commanded: every joint is held, and the hold moves
    pacer = Pacer(arm.bus.port, PERIOD)
    for cycle in range(1, int(move.duration / PERIOD) + 2):  # a pause of this computer delays the move, no goal jumps
        arm.read(pacer.began + PERIOD)  # whole, however late it begins: being late ourselves is no silence of a servo
        if wrong := troubles(arm):
            raise TroubleError("; ".join(wrong))
        move.at(cycle * PERIOD, arm.hold_angle)
        arm.write(command)
        if cycle % SHOW_EVERY == 0:
            live.update(_table(arm, title), refresh=True)
        pacer.wait()
    far = np.abs(arm.state.q - goal)
    if far.max() > ARRIVED:
        joint = arm.spec.joints[int(far.argmax())].name
        raise TroubleError(
            f"{joint} is {far.max():.2f} rad from where it should be: blocked, too heavy, or zeroed wrongly?"
        )


def _table(arm: Arm, title: str) -> Table:
    table = Table(title=f"moving: {title}")
    for column in ("joint", "angle rad", "wanted rad", "speed rad/s", "torque N·m", "volts", "°C"):
        table.add_column(column, justify="right", no_wrap=True)
    state = arm.state
    for i, joint in enumerate(arm.spec.joints):
        table.add_row(
            joint.name,
            f"{state.q[i]:+.3f}", f"{arm.hold_angle[i]:+.3f}", f"{state.dq[i]:+.2f}", f"{state.tau[i]:+.2f}",
            f"{state.voltage[i]:.1f}", f"{state.temperature[i]:.0f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
