"""Small arms for the tests of the physical side: one servo on a bench, and where real logs lie."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from robot_runtime.arrays import Floats
from sim.twin.arm_file import TwinArm
from sim.twin.drives import Drives
from sim.twin.gap import Gap, JointGap, SupplyGap
from sim.twin.servo_data import load_servo

STIFF_SUPPLY = SupplyGap(internal_resistance=0.0)
NO_PLAY = Gap(every=JointGap(backlash=0.0, current_noise=0.0), supply=STIFF_SUPPLY)
"""As the data files say, but with tight gears, a silent current sensor and a supply that does not sag."""
SMOOTH = Gap(
    every=JointGap(backlash=0.0, current_noise=0.0, coulomb=1e-6, viscous=1e-6, load_friction=1e-6),
    supply=STIFF_SUPPLY,
)
"""Without friction too, so that plain formulas hold."""

_MJCF = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <option gravity="0 0 {gravity}"/>
  <worldbody>
    <body>
      <joint name="joint" axis="0 -1 0" armature="{armature}" damping="{viscous_friction}"
             frictionloss="{coulomb_friction}"/>
      <inertial pos="0 0 {below}" mass="{mass}" diaginertia="{inertia} {inertia} {inertia}"/>
      <site name="tip" pos="0 0 {below}"/>
    </body>
  </worldbody>
</mujoco>
"""
_TOML = """
[arm]
name = "bench"
mjcf = "arm.xml"
tip = "tip"
[bus]
baudrate = 1_000_000
[supply]
voltage = [3.0, 15.0]
[poses]
rest = {{ joint = {start} }}
[[joint]]
name = "joint"
servo = {{ id = 1, model = "{model}" }}
mode = "{mode}"
sign = {sign}
offset = {offset}
gear = {gear}
{second}
"""


def bench_arm(
    folder: Path,
    model: str,
    mode: str,
    *,
    mass: float = 0.05,
    length: float = 0.0,
    gravity: float = -9.81,
    inertia: float = 1e-6,
    start: float = 0.0,
    sign: int = 1,
    offset: float = 0.0,
    gear: float = 1.0,
    second: str = "",
) -> TwinArm:
    """One servo turning a weight about a level axis; 0 hangs. With `length` 0 it turns a flywheel. `second`: what the
    arm file says of a second servo at the joint, such as `second = { id = 2 }`.
    """
    folder.mkdir(exist_ok=True)
    motor, count = load_servo(model).motor, 2 if second else 1
    (folder / "arm.xml").write_text(
        _MJCF.format(
            gravity=gravity,
            below=-length,
            mass=mass,
            inertia=inertia,
            armature=count * motor["armature"] * gear**2,
            viscous_friction=count * motor["viscous_friction"] * gear**2,
            coulomb_friction=count * motor["coulomb_friction"] * gear,
        )
    )
    (folder / "arm.toml").write_text(
        _TOML.format(start=start, model=model, mode=mode, sign=sign, offset=offset, gear=gear, second=second),
        encoding="utf-8",
    )
    return TwinArm.load(folder)


def switch_on(drives: Drives, **goals: int) -> None:
    """Set goals of all servos and switch the torque on."""
    for name, value in goals.items():
        getattr(drives, name)[:] = value
    drives.torque_on[:] = True
    tell(drives)


def tell(drives: Drives) -> None:
    """Say that inputs of all servos changed."""
    for i in range(len(drives.mode)):
        drives.inputs_changed(i)


def run(drives: Drives, seconds: float) -> None:
    """Let time pass."""
    for _ in range(round(seconds / drives.period)):
        drives.step()


@dataclass(frozen=True)
class RealLog:
    """One log of a real XL330 that swings a weight; see the file's own README for where it is from."""

    name: str
    kp: int
    trajectory: str
    mass: float  # kg
    length: float  # m
    supply: float  # V, what the power supply was set to
    time: Floats  # s
    position: Floats  # rad, 0 hangs
    velocity: Floats  # rad/s, the servo's register
    goal: Floats  # rad
    pwm: Floats  # ticks
    torque_on: npt.NDArray[np.bool_]


def real_logs() -> list[RealLog]:
    """The sixteen logs, or skip the test."""
    root = Path(os.environ.get("ROBOT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
    files = sorted((root / "xl330_pendulum").glob("*.json"))
    if not files:
        pytest.skip(f"no logs of a real XL330 in {root}; set ROBOT_DATA to the folder that holds xl330_pendulum")
    return [_read(file) for file in files]


def _read(file: Path) -> RealLog:
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    column = {key: np.array([entry[key] for entry in data["entries"]], dtype=float) for key in data["entries"][0]}
    pwm = np.where(column["load"] > 32767, column["load"] - 65536, column["load"])  # recorded as unsigned 16 bit
    return RealLog(
        name=file.stem,
        kp=data["kp"],
        trajectory=data["trajectory"],
        mass=data["mass"],
        length=data["length"],
        supply=data["vin"],
        time=column["timestamp"],
        position=column["position"],
        velocity=column["speed"],
        goal=column["goal_position"],
        pwm=pwm,
        torque_on=column["torque_enable"] > 0,
    )
