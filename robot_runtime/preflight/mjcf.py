"""An arm's MJCF as simulator, twin and trainer take it: units, masses, rotors, and whether the arm stays at rest."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import mujoco
import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.preflight.drawn import limits_of
from robot_runtime.preflight.table import Check, Odd, notes
from robot_runtime.spec import ArmSpec

LIES = 0.06
"""rad that a joint may sag by once torque is off at rest: what leans on something comes to lie on it."""

SAGS_FOR, STEP = 5.0, 0.002
"""s for which it is watched; in steps of so many s, or fewer."""
LOOKS = 100
"""Times that it is looked at meanwhile: what has flown apart is simulated no further, MuJoCo would take seconds."""

BESIDE = 0.02
"""rad to either side of rest, all joints at once, from where it is watched, too: nobody puts an arm down exactly."""

FLIES = 10.0
"""rad: no joint falls as far."""

FOLLOWS = 0.01
"""Of its way by which a follower may go beyond its range: rounding."""

_SWITCHES = {
    mujoco.mjtDisableBit.mjDSBL_CONTACT: "contact",
    mujoco.mjtDisableBit.mjDSBL_GRAVITY: "gravity",
    mujoco.mjtDisableBit.mjDSBL_LIMIT: "joint limits",
    mujoco.mjtDisableBit.mjDSBL_FRICTIONLOSS: "dry friction",
    mujoco.mjtDisableBit.mjDSBL_EQUALITY: "coupled joints",
}
"""What an <option><flag> may leave out that an arm has."""

ALIKE = 0.05
"""Of a number of the servo's data file by which the MJCF's may differ without a word."""

HEAVY, LONG = 10.0, 3.0
"""kg of all moving links together, and m from a joint to the tip: no arm on X-series servos is as heavy, or as long."""

SPREAD = 1.5
"""Times the size of what a body is made of that its mass may be spread over: an inertia in g·mm², a centre in mm."""


def check_mjcf(spec: ArmSpec, kinematics: Kinematics) -> Iterator[Check]:
    """What no flight refuses, and is odd all the same."""
    model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
    parts: tuple[Iterable[Check], ...] = (
        _world(spec, model),
        _joints(spec, kinematics, model),
        _masses(spec, kinematics, model),
        _rotors(spec, model),
        _rest(spec, kinematics, model),
    )
    for part in parts:
        yield from part


def _world(spec: ArmSpec, model: mujoco.MjModel) -> Iterator[Check]:
    x, y, down = model.opt.gravity.tolist()
    ok = None if abs(x) > 1e-6 or abs(y) > 1e-6 or not -10.0 < down < -9.6 else True
    found = f"gravity is {x:g}, {y:g}, {down:g} m/s²"
    advice = "" if ok else f"correct <option gravity> in {spec.mjcf.name}, unless the arm hangs or stands elsewhere"
    yield Check("gravity", ok, found, "0, 0, -9.81", advice)
    off = [name for flag, name in _SWITCHES.items() if model.opt.disableflags & flag]
    carried = [model.body(body).name for body in np.flatnonzero(model.body_gravcomp)]

    def odd() -> Iterator[Odd]:
        if off:
            yield Odd(
                found=f"<flag> switches {' and '.join(off)} off",
                wanted="physics as it is",
                advice=f"take it out of {spec.mjcf.name}: twin and trainer do as it says, the arm does not",
            )
        for joint in spec.joints:
            if (stiffness := float(model.jnt_stiffness[model.joint(joint.name).id])) > 0.0:
                yield Odd(
                    found=f"{joint.name} has a spring of {stiffness:g} N·m/rad",
                    wanted="springs that the arm has",
                    advice=f"set its stiffness to 0 in {spec.mjcf.name}, unless there is one",
                )

    left = f", {model.nu} actuators left aside" if model.nu else ""
    left += f", gravcomp of {', '.join(carried)} left aside" if carried else ""
    yield from notes("motors", f"servos alone move the arm{left}", odd())


def _joints(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Joints besides those that servos turn: of other things, and followers that cannot follow."""
    followers = kinematics.followers(*limits_of(spec))

    def odd() -> Iterator[Odd]:
        for body in range(1, model.nbody):
            if model.body_jntnum[body] and model.body_rootid[body] != _root(spec, model):
                yield Odd(
                    found=f"{model.body(body).name or 'something without a name'} moves, and is not the arm",
                    wanted="the arm and what stands still",
                    advice=f"the runtime takes it to stay where {spec.mjcf.name} puts it; leave out what will not",
                )
        for joint, stops in zip(spec.joints, kinematics.ranges, strict=True):
            if not np.isfinite(stops).all():
                yield Odd(
                    found=f"{joint.name} has no range",
                    wanted="joints that stop where the arm's do",
                    advice=f"give them their range in {spec.mjcf.name}: the twin's and the trainer's turn on and on",
                )
        for follower in followers:
            (low, high), (least, most) = follower.goes, follower.stops
            slack = FOLLOWS * (high - low)
            if low < least - slack or high > most + slack:
                yield Odd(
                    found=f"joint {follower.name} follows from {low:.3g} to {high:.3g}, its range is {least:.3g} to "
                    f"{most:.3g}",
                    wanted="followers whose range is as wide as their leader makes them go",
                    advice=f"widen its range in {spec.mjcf.name}: the twin's stops there, and holds the leader",
                )

    fine = f"{len(spec.joints)} with a servo" + (f", {len(followers)} that follow" if followers else "")
    yield from notes("joints", fine, odd())


def _root(spec: ArmSpec, model: mujoco.MjModel) -> int:
    """The body that all of the arm hangs on."""
    return int(model.body_rootid[model.jnt_bodyid[model.joint(spec.joint_names[0]).id]])


def _masses(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Units, mostly: links weigh as much as the servo that rides on them, and lie inside their shapes."""
    links = [int(model.body_weldid[model.jnt_bodyid[model.joint(name).id]]) for name in spec.joint_names]
    moving = [b for b in range(1, model.nbody) if model.body_weldid[b] and model.body_rootid[b] == _root(spec, model)]
    weighs = float(model.body_mass[moving].sum())
    far = float(kinematics.tip_levers().max())

    def odd() -> Iterator[Odd]:
        if weighs > HEAVY:
            yield Odd(
                found=f"the moving links weigh {weighs:.3g} kg",
                wanted=f"at most {HEAVY:g} kg",
                advice=f"are the masses in {spec.mjcf.name} grams, or made of a density and lengths in mm? kg and m",
            )
        if far > LONG:
            yield Odd(
                found=f"the tip is up to {far:.3g} m from a joint",
                wanted=f"at most {LONG:g} m",
                advice=f"are the lengths in {spec.mjcf.name} millimetres? m",
            )
        for before, joint in zip(links, spec.joints[1:], strict=False):
            has = float(model.body_mass[[b for b in moving if model.body_weldid[b] == before]].sum())
            if has < joint.servo.motor.mass:
                yield Odd(
                    found=f"{model.body(before).name} weighs {has * 1e3:.3g} g, the {joint.servo.name} of {joint.name} "
                    f"{joint.servo.motor.mass * 1e3:.3g} g",
                    wanted="links that weigh what they carry",
                    advice=f"correct the masses in {spec.mjcf.name}, unless that servo sits elsewhere and pulls a belt",
                )
        for body in moving:
            first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
            if not count or not model.body_mass[body]:
                continue
            geoms = slice(first, first + count)
            size = float((np.linalg.norm(model.geom_pos[geoms], axis=1) + model.geom_rbound[geoms]).max())
            spread = float(np.sqrt(model.body_inertia[body].max() / model.body_mass[body]))
            off = float(np.linalg.norm(model.body_ipos[body]))
            if max(spread, off) > SPREAD * size:
                yield Odd(
                    found=f"{model.body(body).name}: a mass whose centre is {off * 1e3:.3g} mm off, spread over "
                    f"{spread * 1e3:.3g} mm, in shapes of {size * 1e3:.3g} mm",
                    wanted="masses inside their shapes",
                    advice=f"look at its <inertial> in {spec.mjcf.name}: metres, kilograms, kg·m²",
                )

    yield from notes("masses", f"the moving links weigh {weighs:.3g} kg", odd())


def _rotors(spec: ArmSpec, model: mujoco.MjModel) -> Iterator[Check]:
    """What the servos bring along, in the MJCF as in their data files: a simulator without it is another arm."""

    def odd() -> Iterator[Odd]:
        for joint in spec.joints:
            dof, motor, gear = int(model.joint(joint.name).dofadr[0]), joint.servo.motor, joint.gear
            has = np.array([model.dof_armature[dof], model.dof_damping[dof], model.dof_frictionloss[dof]])
            own = np.array([motor.armature * gear**2, motor.viscous_friction * gear**2, motor.coulomb_friction * gear])
            if (np.abs(has - own) > ALIKE * own).any():
                write = 'armature="{:.3g}" damping="{:.3g}" frictionloss="{:.3g}"'
                yield Odd(
                    found=f"{joint.name} has {write.format(*has)}",
                    wanted="the servos' own rotors and gears",
                    advice=f"write {write.format(*own)} into joints of {joint.servos_named}"
                    + (f" with gear {gear:g}" if gear != 1.0 else "")
                    + f" in {spec.mjcf.name}: policies trained on other rotors meet another arm",
                )

    yield from notes("rotors", "inertia and friction as in the servos' data files", odd())


def _rest(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Torque goes off at rest, or a little beside it: what does not lie or lean there falls, and what is balanced falls
    to one side. Friction and stops are the MJCF's; motors and what else holds the arm up there are not.
    """
    limp = copy.copy(model)
    limp.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION | mujoco.mjtDisableBit.mjDSBL_AUTORESET
    limp.body_gravcomp[:] = 0.0
    limp.opt.timestep = min(model.opt.timestep, STEP)
    data = mujoco.MjData(limp)
    rest = np.array(spec.poses["rest"])
    lower, upper = limits_of(spec)
    address = [int(model.joint(name).qposadr[0]) for name in spec.joint_names]
    seen = []
    with _warned_by_nobody():
        for beside in (0.0, BESIDE, -BESIDE):
            mujoco.mj_resetData(limp, data)
            data.qpos[:] = kinematics.all_angles((rest + beside).clip(lower, upper))
            for _ in range(LOOKS):
                mujoco.mj_step(limp, data, round(SAGS_FOR / LOOKS / limp.opt.timestep))
                if not np.abs(data.qpos[address] - rest).max() < FLIES:
                    break
            seen.append(data.qpos[address] - rest)
    sags = np.array(seen)[np.abs(seen).argmax(axis=0), range(len(rest))]  # nan is the furthest

    def odd() -> Iterator[Odd]:
        for joint, sag in zip(spec.joints, sags.tolist(), strict=True):
            if not abs(sag) <= LIES:  # nan, too
                yield Odd(
                    found=f"{joint.name} turns by {sag:.2g} rad once torque is off"
                    if abs(sag) < FLIES
                    else f"{joint.name} flies apart once torque is off: the MJCF is no arm that can be simulated",
                    wanted=f"less than {LIES:g} rad: a pose in which the arm lies, or leans on its stops",
                    advice=f"choose another rest in [poses] of {spec.path.name}: every flight ends there, and lets go",
                )

    yield from notes("rest", "the arm stays there with torque off", odd())


@contextmanager
def _warned_by_nobody() -> Iterator[None]:
    """MuJoCo writes its warnings into a file in the working directory; here what they are about shows anyway."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
