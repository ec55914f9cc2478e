"""What `make demo` shows: a twin is scanned as a real arm would be, and moved; a policy reaches for three points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from robot_runtime.twin_process import TwinProcess

ARM = "open-manipulator-x"
POLICY = Path(__file__).parents[1] / "models" / "policies" / "reach-open-manipulator-x.onnx"
TARGETS = Path(__file__).with_name("targets") / "three_points.csv"


def main() -> None:
    console = Console()
    with TwinProcess(ARM) as twin:
        twin.be_punctual(40)
        console.rule(f"robot-scan --port {twin.port} --baud 1000000")
        scan = Path(sys.executable).with_name("robot-scan")
        subprocess.run([str(scan), "--port", twin.port, "--baud", "1000000"], check=False)
        console.rule(f"examples/first_motion.py --arm {ARM} --port {twin.port}")
        first_motion = Path(__file__).with_name("first_motion.py")
        subprocess.run([sys.executable, str(first_motion), "--arm", ARM, "--port", twin.port], check=True)
    fly(console, Path("out"))
    console.rule("done: the same commands work on a real arm, with its --port")


def fly(console: Console, folder: Path) -> None:
    """A flight, its recording flown again, and its report."""
    console.rule(f"robot-run --policy {POLICY.name} --target {TARGETS.name}")
    command = ["--policy", str(POLICY), "--target", str(TARGETS), "--record", str(folder)]
    subprocess.run([str(Path(sys.executable).with_name("robot-run")), *command], check=True)
    flight = max(folder.glob("*.mcap"), key=lambda path: path.stat().st_mtime)
    console.rule("robot-replay FLIGHT: the recorded bytes once more, every command compared")
    subprocess.run([str(Path(sys.executable).with_name("robot-replay")), str(flight)], check=True)
    page = folder / "demo.html"
    console.rule("robot-report FLIGHT")
    report = [str(Path(sys.executable).with_name("robot-report")), str(flight), "--clip", "--out", str(page)]
    subprocess.run(report, check=True)


if __name__ == "__main__":
    main()
