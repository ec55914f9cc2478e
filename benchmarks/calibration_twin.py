"""Calibration of twins whose hidden numbers are known: rollouts, intervals, maps, time.

nice -n 15 python benchmarks/calibration_twin.py run --work FOLDER [--arms A,B] [--gaps mild,harsh,random:1,...]
    [--payload KG]    record with a known weight besides
    [--zeroed JOINTS] of arms whose joints with these names (or 'all') were zeroed: no offset, and the arm file says so
python benchmarks/calibration_twin.py table --work FOLDER
nice -n 15 python benchmarks/calibration_twin.py truth --work FOLDER [--arms ...] [--gaps ...]
    of what was recorded: maps around the twin's true numbers instead of fitted ones, as truth.cal beside arm.cal; what
    flies no better with those is not the fit's to bring

Every case (an arm and a gap) is one line of FOLDER/cases.jsonl; what is there is not done again. A twin is recorded and
fitted as any arm is, from about a minute of motion.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robot_runtime.arrays import Floats

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.claim.runs import add, read
from benchmarks.gaps import gap_text, joints_named, zeroed_gap, zeroed_spec
from calibration.errors import CalibrationError
from calibration.excitation import Excitation, plan
from calibration.excitation.segment import FILE
from calibration.judging.acceptance import ROLLOUT
from calibration.logs.load import load
from calibration.maps.fit import SENSE_HISTORY, TORQUE_HISTORY, lags_of, sense_inputs, torque_inputs
from calibration.physics.fit import TWO_SIGMA, UNIT, Fitted
from calibration.physics.identify import kinds_for
from calibration.physics.motor import Motor
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from calibration.pipeline import Result, calibrate
from calibration.recording.record import record_on_twin
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.spec import ArmSpec, load_arm
from sim.twin.gap import Gap, load_gap

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")
GAPS = ("none", "mild", "harsh", *(f"random:{seed}" for seed in range(1, 6)))
WIRE = {"open-manipulator-x": 0.0032, "koch-v1.1": 0.0018, "xl330-pendulum": 0.0021, "widowx-250s": 0.003}
"""s from sending a command to its arrival, and from a sample to its stamp, on the twin: counts as delay, is no gap.
What a gap's adapter adds to it, `late_by` says."""
RATES = (200.0, 100.0)
"""Hz of the bus; the second where preflight says that the bus does not keep the first."""
WIDE = 0.10
"""Half of the widest interval that counts as identified: 20 % in all. 5 mrad, 5 ms and 5 g count as 10 %."""


CERTAIN = 1e-6
"""Variance of numbers that are known, in prior standard deviations squared."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "truth"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--gaps", default=",".join(GAPS))
    parser.add_argument("--payload", type=float, default=0.0, metavar="KG")
    parser.add_argument("--zeroed", default="", metavar="JOINTS")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / "cases.jsonl"
    torch.set_num_threads(2)
    cases = [(arm, gap) for gap in options.gaps.split(",") for arm in options.arms.split(",")]
    for arm, gap in cases if options.what == "run" else ():
        if not any(case["arm"] == arm and case["gap"] == gap for case in read(file)):
            add(file, case_of(arm, gap, options.work, options.payload, options.zeroed))
    for arm, gap in cases if options.what == "truth" else ():
        if folder_of(arm, gap, options.work).exists():
            with_truth(arm, gap, options.work, options.zeroed)
    show(read(file))


def case_of(arm: str, gap: str, work: Path, payload: float, zeroed: str = "") -> dict[str, Any]:
    """Record, fit and score one arm."""
    spec = load_arm(arm)
    zeros = joints_named(zeroed, spec.joint_names)
    spec, hidden = zeroed_spec(spec, zeros), zeroed_gap(load_gap(gap), spec.joint_names, zeros)
    case: dict[str, Any] = {"arm": arm, "gap": gap, "payload": payload, "zeroed": list(zeros)}
    print(f"{arm}, {gap}: recording", flush=True)
    folder = folder_of(arm, gap, work)
    gap_file = work / f"{folder.name}.toml"
    gap_file.write_text(gap_text(hidden, spec.joint_names), encoding="utf-8")
    for rate in RATES:
        recording = record_on_twin(spec, str(gap_file), excitation_of(spec, work, rate, payload), folder)
        if recording.complete or recording.verdicts[-1].ending is not Ending.PREFLIGHT:
            break
        print(f"    at {rate:g} Hz {recording.verdicts[-1].text}", flush=True)
        shutil.rmtree(folder)
    case["rate"] = rate
    if not recording.complete:
        return {**case, "failed": "; ".join(v.text for v in recording.verdicts)}
    begin, cpu = time.monotonic(), time.process_time()
    try:
        result = calibrate(
            load([folder], spec), spec, name=f"{arm} {gap}", progress=lambda t: print("   ", t, flush=True)
        )
    except CalibrationError as error:
        return {**case, "failed": str(error)}
    case |= {"seconds": time.monotonic() - begin, "cpu": time.process_time() - cpu, "load": os.getloadavg()[0]}
    result.calibration.write(folder / "arm.cal")
    wire = wire_of(arm, hidden)
    nominal, fitted = (float(np.nanmean(np.abs(e))) for e in (result.held_out.nominal, result.held_out.fitted))
    case |= {
        "accepted": result.accepted,
        "refused_for": [row.name for row in result.calibration.acceptance if not row.passed],
        "nominal_mrad": 1e3 * nominal,
        "fitted_mrad": 1e3 * fitted,
        "ratio": fitted / nominal,
        "delay_ms": 1e3 * (result.fitted.values["delay"] - wire),
        "true_delay_ms": 1e3 * hidden.command_delay,
        "maps": {
            kind: {"level": result.mapped.choices[kind].level, "score": float(np.max(errors))}
            for kind, errors in result.mapped.errors.items()
        },
        "changes": changes(result),
        **coverage(result.fitted, hidden, wire),
    }
    return case


def folder_of(arm: str, gap: str, work: Path) -> Path:
    """Of a case: its recording and its files."""
    return work / f"{arm}_{gap.replace(':', '-')}"


def with_truth(arm: str, gap: str, work: Path, zeroed: str = "") -> None:
    """truth.cal of a recorded case."""
    spec, folder = load_arm(arm), folder_of(arm, gap, work)
    zeros = joints_named(zeroed, spec.joint_names)
    spec, hidden = zeroed_spec(spec, zeros), zeroed_gap(load_gap(gap), spec.joint_names, zeros)

    def known(rig: Rig) -> Fitted:
        physics = Physics(rig.world, kinds_for(rig))
        z, joints = physics.z(truth(physics, hidden, wire_of(arm, hidden))), len(rig.world.joints)
        return Fitted(physics, z, CERTAIN * np.eye(len(z)), np.ones(joints), 1.0, 0, (0.0, 0.0), ())

    print(f"{arm}, {gap}: maps around the truth", flush=True)
    told = f"{arm} {gap}, the truth"
    calibrate([*load([folder], spec)], spec, name=told, known=known).calibration.write(folder / "truth.cal")


def excitation_of(spec: ArmSpec, work: Path, rate: float, payload: float) -> Excitation:
    """Planned once an arm, rate (Hz) and weight (kg)."""
    folder = work / f"plan_{spec.name}_{rate:g}_{payload:g}"
    if not (folder / FILE).exists():
        folder.mkdir(exist_ok=True)
        plan(spec, "quick", rate=rate, payload=payload).save(folder)
    return Excitation.load(folder)


def wire_of(arm: str, gap: Gap) -> float:
    """s, from sending a command to its arrival and from a sample to its stamp, in all."""
    return WIRE.get(arm, 0.0) + late_by(gap)


def late_by(gap: Gap) -> float:
    """How much later (s) replies come through a gap's adapter than through a good one, on average."""
    return gap.bus.extra_delay + (gap.bus.frame - Gap().bus.frame + gap.bus.reply_jitter) / 2


def truth(physics: Physics, gap: Gap, wire: float) -> Floats:
    """What the fit was to find, in the order of its vector."""
    arm = {
        "delay": gap.command_delay + wire,
        "supply_resistance": gap.supply.internal_resistance,
        "payload": gap.payload,
    }
    found = []
    for entry in physics.entries:
        if entry.joint < 0:
            found.append(arm[entry.kind.name])
            continue
        joint, nominal = gap.joint(physics.joints[entry.joint]), physics.nominal[entry.kind.name][entry.joint]
        if entry.kind.name == "load_friction":
            found.append(joint.load_share(nominal))
            continue
        found.append(getattr(joint, entry.kind.name) * (nominal if entry.kind.factor else 1.0))
    return np.array(found)


def coverage(fitted: Fitted, gap: Gap, wire: float) -> dict[str, Any]:
    """Single numbers and combinations (principal directions, in relative terms) whose interval is narrow: how many, and
    how many of these hold the truth.
    """
    physics = fitted.physics
    scale = np.array([e.spread if e.kind.factor else e.spread / UNIT for e in physics.entries])
    off = (fitted.z - physics.z(truth(physics, gap, wire))) * scale
    covariance = fitted.covariance * np.outer(scale, scale)
    reach = TWO_SIGMA * np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance)
    half, dev = TWO_SIGMA * np.sqrt(np.maximum(values, 0.0)), np.abs(vectors.T @ off)
    single, several = reach <= WIDE, half <= WIDE
    return {
        "numbers": len(off),
        "single": int(single.sum()),
        "single_inside": int((np.abs(off) <= reach)[single].sum()),
        "combined": int(several.sum()),
        "combined_inside": int((dev <= half)[several].sum()),
        "outside": {
            label: [round(float(a), 3), round(float(b), 3)]
            for label, a, b, narrow in zip(physics.labels, off, reach, single, strict=True)
            if narrow and abs(a) > b
        },
    }


def changes(result: Result) -> dict[str, float]:
    """How much the maps change: rms of mapped less given, over its spread, on what was held out."""
    mapped, n = result.mapped, len(result.rig.world.names)
    rows = {unit.log: unit.rows for unit in result.split.test}
    track, log = mapped.tracks[next(iter(rows))], result.logs[next(iter(rows))]
    at = log.time[0] + np.arange(len(track)) * mapped.period
    inside = np.flatnonzero(rows[next(iter(rows))])
    chosen = (at >= log.time[inside[0]]) & (at <= log.time[inside[-1]]) & track.moving.all(axis=1)
    if not chosen.any():
        return {}  # some joint hardly moves in what was held out
    x = sense_inputs(track, lags_of(SENSE_HISTORY, mapped.period))[chosen].reshape(int(chosen.sum()), -1)
    with torch.no_grad():
        y = mapped.observation(torch.tensor(x, dtype=torch.float32)).numpy()
    found = {
        "position_mrad": 1e3 * float(np.sqrt(np.mean((y[:, :n] - track.q[chosen]) ** 2))),
        "velocity": float(np.sqrt(np.mean((y[:, n : 2 * n] - track.dq[chosen]) ** 2)) / track.dq[chosen].std()),
    }
    if mapped.torque is not None:
        x = torque_inputs(track, lags_of(TORQUE_HISTORY, mapped.period), mapped.volts)[chosen]
        wanted, dq, volts = (x[:, :, i] for i in (0, mapped.torque.taps, 2 * mapped.torque.taps))
        nominal = Motor.of(result.rig.world).at(volts).command(wanted, dq)  # what the runtime would send without it
        with torch.no_grad():
            command = mapped.torque(torch.tensor(x.reshape(len(x), -1), dtype=torch.float32)).numpy()[:, :n]
        found["command"] = float(np.sqrt(np.mean((command - nominal) ** 2)) / nominal.std())
    return found


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """The table."""
    heads = "  nominal  fitted  ratio   single  combined     delay (true)  CPU s  maps"
    print(f"{'arm':20}{'gap':10}{heads}")
    for case in found:
        head = f"{case['arm']:20}{case['gap']:10}"
        if "failed" in case:
            print(f"{head} {case['failed'][:110]}")
            continue
        maps = ", ".join(f"{k} {m['level']} {m['score']:.3f}" for k, m in case["maps"].items())
        print(
            f"{head}{case['nominal_mrad']:9.1f}{case['fitted_mrad']:8.2f}{case['ratio']:7.3f}"
            f"{case['single_inside']:5d}/{case['single']:<3d}{case['combined_inside']:6d}/{case['combined']:<3d}"
            f"{case['delay_ms']:7.1f} ({case['true_delay_ms']:.1f}){case['cpu']:7.0f}  {maps}"
            + ("" if case["accepted"] else f"  REFUSED: {', '.join(case['refused_for'])}")
        )
    done = [c for c in found if "failed" not in c and c["gap"] != "none"]
    if done:
        for key in ("single", "combined"):
            inside, of = (sum(c[k] for c in done) for k in (f"{key}_inside", key))
            print(f"{key}: {inside} of {of} inside their 95 % intervals ({inside / max(of, 1):.0%})")
        print(f"worst ratio {max(c['ratio'] for c in done):.3f} (bound {ROLLOUT})")


if __name__ == "__main__":
    main()
