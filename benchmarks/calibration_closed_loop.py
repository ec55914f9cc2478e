"""Which calibrations swing their arm: acceptance's closed loop, of the maps that an arm.cal has.

python benchmarks/calibration_closed_loop.py FOLDER...

FOLDER is a case of calibration_twin.py: a recording with its arm.cal. A line each: swing at rest, and the distance from
the simulator's motion with maps and without, of the worst joint.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from calibration.judging.acceptance import SWING
from calibration.judging.closed_loop import fly
from calibration.judging.drift import joints_of, physics_of
from calibration.logs.load import arm_of, load
from calibration.logs.modelled import as_modelled
from calibration.logs.splits import splits
from calibration.physics.identify import fine_rig
from calibration.physics.rollout import Rig
from robot_runtime.calibrated.file import Calibration


def line(folder: Path) -> str:
    """What is printed of a case."""
    calibration, spec = Calibration.read(folder / "arm.cal"), arm_of([folder])
    arm, loaded, _ = as_modelled(load([folder], spec), spec, joints_of(calibration))
    rig = fine_rig(Rig.of(arm, joints_of(calibration)))
    pieces = [unit.of(loaded[unit.log].log.select(rig.world.names)) for unit in splits(loaded)[0].test]
    volts = np.array(calibration.open_volts)[rig.world.index]
    begin = time.process_time()
    found = fly(rig, physics_of(rig, calibration).start, volts, calibration.maps, pieces)
    seconds, worst = time.process_time() - begin, int(np.argmax(found.swing))
    swing, apart, without = 1e3 * found.swing[worst], 1e3 * found.apart[worst], 1e3 * found.without[worst]
    verdict = "swings" if found.swing[worst] > SWING else "stands"
    return (
        f"{folder.name:32} {verdict}  {swing:6.1f} mrad at {rig.world.names[worst]:14}"
        f" apart {apart:5.1f} mrad, without maps {without:5.1f}   {seconds:.1f} s of CPU"
    )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    for folder in parser.parse_args().folders:
        print(line(folder), flush=True)


if __name__ == "__main__":
    main()
