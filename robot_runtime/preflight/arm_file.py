"""An arm's two files, looked at before there is an arm: what its flights, its twin and its policies will rest on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import mujoco
import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.acceleration import check_acceleration
from robot_runtime.preflight.model import check_model
from robot_runtime.preflight.poses import check_poses
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm

POSES = 300
"""Drawn from inside the joints' limits, the same ones every time."""

HOLDS = 0.75
"""Of a joint's torque limit that gravity may take: the rest is for moving."""

BEARS = 0.5
"""Of the stall torque that a limit may be: more heats the motor until its servo lets go."""

TURNS = 0.8
"""Of the no-load speed that a limit may be: what carries something turns no faster."""

LIES = 0.06
"""rad that a joint may sag by once torque is off at rest: what leans on something comes to lie on it."""

SAGS_FOR, STEP = 5.0, 0.002
"""s for which it is watched; in steps of so many s, or fewer."""

FLIES = 10.0
"""rad: no joint falls as far."""

FOLLOWS = 0.01
"""Of its way by which a follower may go beyond its range: rounding."""

ALIKE = 0.05
"""Of a number of the servo's data file by which the MJCF's may differ without a word."""

HEAVY, LONG = 10.0, 3.0
"""kg of all moving links together, and m from a joint to the tip: no arm on X-series servos is as heavy, or as long."""

SPREAD = 1.5
"""Times the size of what a body is made of that its mass may be spread over: an inertia in g·mm², a centre in mm."""


def check_arm_file(spec: ArmSpec) -> list[Check]:
    """Every check that needs no servo. A failure is refused by every flight; a note is worth a look.

    Raises:
        ArmSpecError: the MJCF lacks what the arm file names, or does not compile.
    """
    kinematics = Kinematics(spec)
    model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
    parts: tuple[Iterable[Check], ...] = (
        check_model(spec, kinematics),
        _world(spec, model),
        _joints(spec, kinematics, model),
        _masses(spec, kinematics, model),
        _rotors(spec, model),
        check_poses(spec, kinematics),
        _rest(spec, kinematics, model),
        check_acceleration(spec, kinematics),
        _speed(spec),
        _torque(spec),
        _weight(spec, kinematics),
        _heat(spec),
        _supply(spec),
        _zero(spec),
    )
    return [check for part in parts for check in part]


def _world(spec: ArmSpec, model: mujoco.MjModel) -> Iterator[Check]:
    x, y, down = model.opt.gravity.tolist()
    ok = None if abs(x) > 1e-6 or abs(y) > 1e-6 or not -10.0 < down < -9.6 else True
    found = f"gravity is {x:g}, {y:g}, {down:g} m/s²"
    advice = "" if ok else f"correct <option gravity> in {spec.mjcf.name}, unless the arm hangs or stands elsewhere"
    yield Check("gravity", ok, found, "0, 0, -9.81", advice)


def _joints(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Joints besides those that servos turn: of other things, and followers that cannot follow."""
    limits = [joint.limits for joint in spec.joints]
    followers = kinematics.followers([limit.lower for limit in limits], [limit.upper for limit in limits])

    def odd() -> Iterator[Check]:
        for body in range(1, model.nbody):
            if model.body_jntnum[body] and model.body_rootid[body] != _root(spec, model):
                yield Check(
                    "joints",
                    ok=None,
                    found=f"{model.body(body).name or 'something without a name'} moves, and is not the arm",
                    wanted="the arm and what stands still",
                    advice=f"the runtime takes it to stay where {spec.mjcf.name} puts it; leave out what will not",
                )
        for joint, stops in zip(spec.joints, kinematics.ranges, strict=True):
            if not np.isfinite(stops).all():
                yield Check(
                    "joints",
                    ok=None,
                    found=f"{joint.name} has no range",
                    wanted="joints that stop where the arm's do",
                    advice=f"give them their range in {spec.mjcf.name}: the twin's and the trainer's turn on and on",
                )
        for follower in followers:
            (low, high), (least, most) = follower.goes, follower.stops
            slack = FOLLOWS * (high - low)
            if low < least - slack or high > most + slack:
                yield Check(
                    "joints",
                    ok=None,
                    found=f"joint {follower.name} follows from {low:.3g} to {high:.3g}, its range is {least:.3g} to "
                    f"{most:.3g}",
                    wanted="followers whose range is as wide as their leader makes them go",
                    advice=f"widen its range in {spec.mjcf.name}: the twin's stops there, and holds the leader",
                )

    fine = f"{len(limits)} with a servo" + (f", {len(followers)} that follow" if followers else "")
    yield from or_fine(odd(), Check("joints", ok=True, found=fine))


def _root(spec: ArmSpec, model: mujoco.MjModel) -> int:
    """The body that all of the arm hangs on."""
    return int(model.body_rootid[model.jnt_bodyid[model.joint(spec.joint_names[0]).id]])


def _masses(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Units, mostly: links weigh as much as the servo that rides on them, and lie inside their shapes."""
    links = [int(model.body_weldid[model.jnt_bodyid[model.joint(name).id]]) for name in spec.joint_names]
    moving = [b for b in range(1, model.nbody) if model.body_weldid[b] and model.body_rootid[b] == _root(spec, model)]
    weighs = float(model.body_mass[moving].sum())
    far = float(kinematics.tip_levers().max())

    def wrong() -> Iterator[Check]:
        if weighs > HEAVY:
            yield Check(
                "masses",
                ok=None,
                found=f"the moving links weigh {weighs:.3g} kg",
                wanted=f"at most {HEAVY:g} kg",
                advice=f"are the masses in {spec.mjcf.name} grams, or made of a density and lengths in mm? kg and m",
            )
        if far > LONG:
            yield Check(
                "masses",
                ok=None,
                found=f"the tip is up to {far:.3g} m from a joint",
                wanted=f"at most {LONG:g} m",
                advice=f"are the lengths in {spec.mjcf.name} millimetres? m",
            )
        for before, joint in zip(links, spec.joints[1:], strict=False):
            has = float(model.body_mass[[b for b in moving if model.body_weldid[b] == before]].sum())
            if has < joint.servo.motor.mass:
                yield Check(
                    "masses",
                    ok=None,
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
                yield Check(
                    "masses",
                    ok=None,
                    found=f"{model.body(body).name}: a mass whose centre is {off * 1e3:.3g} mm off, spread over "
                    f"{spread * 1e3:.3g} mm, in shapes of {size * 1e3:.3g} mm",
                    wanted="masses inside their shapes",
                    advice=f"look at its <inertial> in {spec.mjcf.name}: metres, kilograms, kg·m²",
                )

    yield from or_fine(wrong(), Check("masses", ok=True, found=f"the moving links weigh {weighs:.3g} kg"))


def _rotors(spec: ArmSpec, model: mujoco.MjModel) -> Iterator[Check]:
    """What the servos bring along, in the MJCF as in their data files: a simulator without it is another arm."""

    def wrong() -> Iterator[Check]:
        for joint in spec.joints:
            dof, motor, gear = int(model.joint(joint.name).dofadr[0]), joint.servo.motor, joint.gear
            has = np.array([model.dof_armature[dof], model.dof_damping[dof], model.dof_frictionloss[dof]])
            own = np.array([motor.armature * gear**2, motor.viscous_friction * gear**2, motor.coulomb_friction * gear])
            if (np.abs(has - own) > ALIKE * own).any():
                write = 'armature="{:.3g}" damping="{:.3g}" frictionloss="{:.3g}"'
                yield Check(
                    "rotors",
                    ok=None,
                    found=f"{joint.name} has {write.format(*has)}",
                    wanted="the servos' own rotors and gears",
                    advice=f"write {write.format(*own)} into joints of a {joint.servo.name}"
                    + (f" with gear {gear:g}" if gear != 1.0 else "")
                    + f" in {spec.mjcf.name}: policies trained on other rotors meet another arm",
                )

    yield from or_fine(wrong(), Check("rotors", ok=True, found="inertia and friction as in the servos' data files"))


def _rest(spec: ArmSpec, kinematics: Kinematics, model: mujoco.MjModel) -> Iterator[Check]:
    """Torque goes off at rest: what does not lie or lean there falls. Friction and stops are the MJCF's; motors and
    what else holds the arm up there are not.
    """
    limp = copy.copy(model)
    limp.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION | mujoco.mjtDisableBit.mjDSBL_AUTORESET
    limp.body_gravcomp[:] = 0.0
    limp.opt.timestep = min(model.opt.timestep, STEP)
    data = mujoco.MjData(limp)
    rest = spec.poses["rest"]
    data.qpos[:] = kinematics.all_angles(rest)
    address = [int(model.joint(name).qposadr[0]) for name in spec.joint_names]
    with _warned_by_nobody():
        mujoco.mj_step(limp, data, round(SAGS_FOR / limp.opt.timestep))

    def falls() -> Iterator[Check]:
        for joint, k, angle in zip(spec.joints, address, rest, strict=True):
            if not abs(sag := float(data.qpos[k]) - angle) <= LIES:  # nan, too
                yield Check(
                    "rest",
                    ok=None,
                    found=f"{joint.name} turns by {sag:.2g} rad once torque is off"
                    if abs(sag) < FLIES
                    else f"{joint.name} flies apart once torque is off: the MJCF is no arm that can be simulated",
                    wanted=f"less than {LIES:g} rad: a pose in which the arm lies, or leans on its stops",
                    advice=f"choose another rest in [poses] of {spec.path.name}: every flight ends there, and lets go",
                )

    yield from or_fine(falls(), Check("rest", ok=True, found="the arm stays there with torque off"))


@contextmanager
def _warned_by_nobody() -> Iterator[None]:
    """MuJoCo writes its warnings into a file in the working directory; here what they are about shows anyway."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _speed(spec: ArmSpec) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for joint in spec.joints:
            share = joint.limits.velocity * joint.gear / joint.servo.motor.no_load_speed
            if share > TURNS:
                yield Check(
                    "speed",
                    ok=None,
                    found=f"{joint.name}: {joint.limits.velocity:g} rad/s is {share:.0%} of its servo's no-load speed",
                    wanted=f"at most {TURNS:.0%}",
                    advice=f"lower limits.velocity in {spec.path.name}: a servo that carries something turns no faster",
                )

    yield from or_fine(wrong(), Check("speed", ok=True, found="limits that the servos reach"))


def _torque(spec: ArmSpec) -> Iterator[Check]:
    def wrong() -> Iterator[Check]:
        for joint in spec.joints:
            share = joint.limits.torque / joint.gear / joint.servo.motor.stall_torque
            if share > BEARS:
                yield Check(
                    "torque",
                    ok=None,
                    found=f"{joint.name}: {joint.limits.torque:g} N·m is {share:.0%} of its servo's stall torque",
                    wanted=f"at most {BEARS:.0%}",
                    advice=f"lower limits.torque in {spec.path.name}: held for seconds, more makes a servo let go",
                )

    yield from or_fine(wrong(), Check("torque", ok=True, found="limits that the servos bear"))


def _weight(spec: ArmSpec, kinematics: Kinematics) -> Iterator[Check]:
    """Gravity against the torque limits, in poses from everywhere."""
    low, high = (np.array(ends) for ends in zip(*((j.limits.lower, j.limits.upper) for j in spec.joints), strict=True))
    gravity: Floats = np.zeros(len(spec.joints))
    poses = np.random.default_rng(0).uniform(low, high, (POSES, len(spec.joints)))
    asked = np.abs([kinematics.gravity(pose, gravity).copy() for pose in poses])
    limit = np.array([joint.limits.torque for joint in spec.joints])
    many, worst = (asked > HOLDS * limit).mean(axis=0), asked.max(axis=0)

    def heavy() -> Iterator[Check]:
        for joint, share, most in zip(spec.joints, many.tolist(), worst.tolist(), strict=True):
            if share > 0:
                yield Check(
                    "weight",
                    ok=None,
                    found=f"{joint.name}: up to {most:.2g} N·m, too much in {share:.0%} of all poses",
                    wanted=f"at most {HOLDS:.0%} of limits.torque",
                    advice="a stronger servo, a lighter arm, or limits.position that keep it out of there; policies "
                    "that go there sag",
                )

    fine = f"at most {float((worst / limit).max()):.0%} of limits.torque, in poses from everywhere"
    yield from or_fine(heavy(), Check("weight", ok=True, found=fine))


def _supply(spec: ArmSpec) -> Iterator[Check]:
    """Each servo hangs on the highest voltage that some servo of the arm is made for and it bears; others behind a
    converter, and then the arm file's voltages span several rails.
    """
    (low, high), motors = spec.supply, [joint.servo.motor for joint in spec.joints]
    rails = [max(m.nominal_voltage for m in motors if m.nominal_voltage <= motor.voltage_range[1]) for motor in motors]
    span = len(set(rails)) > 1

    def odd() -> Iterator[Check]:
        for joint, motor, rail in zip(spec.joints, motors, rails, strict=True):
            least, most = motor.tolerated_voltage
            if low <= rail <= high and (span or (low >= least and high <= most)):
                continue
            yield Check(
                "supply",
                ok=None,
                found=f"{low:g} to {high:g} V, {joint.name}: {joint.servo.name} bears {least:.3g} to {most:.3g} V",
                wanted=f"a window around {rail:g} V that all servos on it bear",
                advice=f"correct [supply] voltage in {spec.path.name}: outside it the arm is not started",
            )

    yield from or_fine(odd(), Check("supply", ok=True, found=f"{low:g} to {high:g} V, what the servos are made for"))


def _heat(spec: ArmSpec) -> Iterator[Check]:
    def hot() -> Iterator[Check]:
        for joint in spec.joints:
            factory = joint.servo.register("temperature_limit").initial
            if factory is not None and joint.limits.temperature > factory:
                yield Check(
                    "heat",
                    ok=None,
                    found=f"{joint.name}: {joint.limits.temperature:g} °C",
                    wanted=f"at most {factory} °C, where a {joint.servo.name} lets go by itself",
                    advice=f"lower limits.temperature in {spec.path.name}: a flight is to end before its servo does",
                )

    yield from or_fine(hot(), Check("heat", ok=True, found="limits below those of the servos"))


def _zero(spec: ArmSpec) -> Iterator[Check]:
    """What setting up lets pass and flights do not: an encoder that wraps inside its joint's range."""
    try:
        load_arm(spec.path)
    except ArmSpecError as error:
        yield Check(
            "zero",
            ok=False,
            found=str(error),
            wanted="encoders that wrap outside the limits",
            advice="do what it says; an arm that has no zero yet gets one by 'robot-setup zero'",
        )
    else:
        yield Check("zero", ok=True, found="no encoder wraps inside its joint's range")
