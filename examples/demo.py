"""What `make demo` shows: a twin is started, scanned as a real arm would be, and moved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from robot_runtime.twin_process import TwinProcess

ARM = "open-manipulator-x"


def main() -> None:
    console = Console()
    with TwinProcess(ARM) as twin:
        console.rule(f"robot-scan --port {twin.port} --baud 1000000")
        scan = Path(sys.executable).with_name("robot-scan")
        subprocess.run([str(scan), "--port", twin.port, "--baud", "1000000"], check=False)
        console.rule(f"examples/first_motion.py --arm {ARM} --port {twin.port}")
        first_motion = Path(__file__).with_name("first_motion.py")
        subprocess.run([sys.executable, str(first_motion), "--arm", ARM, "--port", twin.port], check=True)
    console.rule("done: the same commands work on a real arm, with its --port")


if __name__ == "__main__":
    main()
