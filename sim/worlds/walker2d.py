"""The Walker2d family: one body in parameters, built through MjSpec.

The base is OpenAI Gym's Walker2d (the v4 file): a planar torso on two legs whose feet differ in friction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import mujoco

DENSITY = 1000.0  # kg/m³
TORSO_RADIUS, THIGH_RADIUS, LEG_RADIUS, FOOT_RADIUS = 0.05, 0.05, 0.04, 0.06  # m
GEAR = 100.0  # N·m for a control of 1
FLOOR_FRICTION = 0.7
SLIPPERY_FLOOR_FRICTION = 0.1
"""Contact friction is the larger of the two: on the floor above, a foot of 0.5 would be as good as one of 0.7."""
TIMESTEP = 0.002  # s
STANDING = 0.1
"""m between the ankles and the floor when a body is put down: the same in the whole family."""

_SIDEWAYS = (0.5**0.5, 0.5**0.5, 0.0, 0.0)  # a camera that looks along y, z up
_RIGHT, _LEFT = (0.8, 0.6, 0.4, 1.0), (0.7, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Walker2d:
    """One body: lengths in m, friction coefficients."""

    torso: float = 0.4
    thigh: float = 0.45
    leg: float = 0.5
    foot: float = 0.2
    height: float = 1.25  # of the torso's centre when it stands
    right_foot: float = 0.9  # friction
    left_foot: float = 1.9
    floor: float = FLOOR_FRICTION

    def slippery(self, right_foot: float, left_foot: float) -> Walker2d:
        """The same body with these feet, on a floor slippery enough that they count."""
        return replace(self, right_foot=right_foot, left_foot=left_foot, floor=SLIPPERY_FLOOR_FRICTION)

    def with_legs(self, factor: float) -> Walker2d:
        """The same body with thighs and legs longer or shorter by this factor."""
        thigh, leg = self.thigh * factor, self.leg * factor
        return replace(self, thigh=thigh, leg=leg, height=self.torso / 2 + thigh + leg + STANDING)


BASE = Walker2d()
FAMILY = {
    "base": BASE,
    "short": Walker2d(torso=0.3, thigh=0.35, leg=0.4, foot=0.15, height=1.0),
    "long": Walker2d(torso=0.5, thigh=0.55, leg=0.6, foot=0.25, height=1.5),
    "low_friction": BASE.slippery(0.5, 1.0),
    "friction_80": BASE.slippery(0.72, 1.52),
    "friction_60": BASE.slippery(0.54, 1.14),
    "friction_40": BASE.slippery(0.36, 0.76),
    "friction_20": BASE.slippery(0.18, 0.38),
}
"""The bodies of the transfer study, by name."""


def walker2d_model(body: Walker2d = BASE) -> Any:
    """Compile one body."""
    spec = mujoco.MjSpec()
    spec.modelname = "walker2d"
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_RK4
    default = spec.default
    default.geom.density, default.geom.friction = DENSITY, (FLOOR_FRICTION, 0.1, 0.1)
    default.geom.contype, default.geom.conaffinity, default.geom.condim = 1, 0, 3

    world = spec.worldbody
    world.add_light(pos=(0, 0, 1.3), dir=(0, 0, -1.3))
    floor = world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(40, 40, 40))
    floor.conaffinity, floor.friction, floor.rgba = 1, (body.floor, 0.1, 0.1), (0.8, 0.9, 0.8, 1)

    torso = world.add_body(name="torso", pos=(0, 0, body.height))
    camera = torso.add_camera(name="track", pos=(0, -3, -0.25), quat=_SIDEWAYS)
    camera.mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    torso.add_joint(name="rootx", type=slide, axis=(1, 0, 0), pos=(0, 0, -body.height))
    torso.add_joint(name="rootz", type=slide, axis=(0, 0, 1), pos=(0, 0, -body.height), ref=body.height)
    torso.add_joint(name="rooty", type=hinge, axis=(0, 1, 0))
    _capsule(torso, "torso_geom", (0, 0, -body.torso / 2), (0, 0, body.torso / 2), TORSO_RADIUS, 0.9, _RIGHT)
    _leg(spec, torso, body, "", body.right_foot, _RIGHT)
    _leg(spec, torso, body, "_left", body.left_foot, _LEFT)
    return spec.compile()


def _leg(spec: Any, torso: Any, body: Walker2d, side: str, friction: float, rgba: tuple[float, ...]) -> None:
    """Thigh, leg and foot: each hangs by its upper end, the foot by its heel."""
    thigh = torso.add_body(name=f"thigh{side}", pos=(0, 0, -body.torso / 2))
    _motor(spec, thigh, f"thigh{side}_joint", (-150, 0))
    _capsule(thigh, f"thigh{side}_geom", (0, 0, 0), (0, 0, -body.thigh), THIGH_RADIUS, 0.9, rgba)
    leg = thigh.add_body(name=f"leg{side}", pos=(0, 0, -body.thigh))
    _motor(spec, leg, f"leg{side}_joint", (-150, 0))
    _capsule(leg, f"leg{side}_geom", (0, 0, 0), (0, 0, -body.leg), LEG_RADIUS, 0.9, rgba)
    foot = leg.add_body(name=f"foot{side}", pos=(0, 0, -body.leg))
    _motor(spec, foot, f"foot{side}_joint", (-45, 45))
    _capsule(foot, f"foot{side}_geom", (0, 0, 0), (body.foot, 0, 0), FOOT_RADIUS, friction, rgba)


def _motor(spec: Any, body: Any, name: str, degrees: tuple[float, float]) -> None:
    joint = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=(0, -1, 0))
    joint.range, joint.limited = degrees, mujoco.mjtLimited.mjLIMITED_TRUE
    joint.armature, joint.damping = 0.01, _like(0.1, joint.damping)
    motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.gear = (GEAR, 0, 0, 0, 0, 0)
    motor.ctrlrange, motor.ctrllimited = (-1, 1), mujoco.mjtLimited.mjLIMITED_TRUE


def _like(value: float, old: Any) -> Any:
    """A damping in the shape that this MuJoCo version wants: a number, or polynomial coefficients."""
    return value if not hasattr(old, "__len__") else (value, *([0.0] * (len(old) - 1)))


def _capsule(
    body: Any, name: str, start: Any, end: Any, radius: float, friction: float, rgba: tuple[float, ...]
) -> None:
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=(*start, *end),
        size=(radius, 0, 0),
        friction=(friction, 0.1, 0.1),
        rgba=rgba,
    )
