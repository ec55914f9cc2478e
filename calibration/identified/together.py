"""Whether a calibration and a policy can be flown together in the identified arm, and as what."""

from __future__ import annotations

from calibration.errors import CalibrationError
from calibration.identified.world import DRIVEN_BY, TASKS
from robot_runtime.calibrated.file import Calibration
from robot_runtime.policy.load import Policy
from robot_runtime.spec import ArmSpec
from sim.tasks.goals import goal_of


class NotTogetherError(CalibrationError):
    """A calibration and a policy that cannot be flown together in the identified arm.

    Example scenarios:
        - The calibration is of another arm, has no observation map, or lacks joints that the policy drives.
        - The calibration was fitted before files said which arms their data allow.
        - The policy comes from no task that there is here, or senses or acts otherwise than its task.
    """


def task_of(policy: Policy, task: str | None) -> str:
    """What it was trained for: as somebody says, or as it says itself."""
    return task or str(policy.contract.provenance.get("task", ""))


def require_together(calibration: Calibration, policy: Policy, spec: ArmSpec, task: str) -> None:
    """Refuse what cannot be flown in the identified arm.

    Raises:
        NotTogetherError: calibration, policy and task do not go together.
    """
    identity = calibration.identity
    if (identity.spec, identity.mjcf_digest) != (spec.name, spec.mjcf_digest):
        raise NotTogetherError(
            f"the calibration is of {identity.spec} ({identity.mjcf_digest[:12]}), the policy is for {spec.name} "
            f"({spec.mjcf_digest[:12]}); give the calibration of this arm, or calibrate it again"
        )
    if "observation" not in calibration.maps:
        raise NotTogetherError("this calibration has no observation map; calibrate again")
    if calibration.physics and not calibration.alike:
        raise NotTogetherError(
            "this calibration does not say which arms its data allow: it was fitted before files said so; fit it "
            "again, from the same recording"
        )
    if task not in TASKS:
        raise NotTogetherError(
            f"the policy says it is of task '{task}'; there are {', '.join(TASKS)}: without a task nothing says what "
            "better is. Name it with --task"
        )
    target, asked = policy.contract.target, goal_of(task, spec).quantity
    if target is None or target.kind != asked:
        raise NotTogetherError(
            f"task {task} asks for a {asked}; the policy takes {target.kind if target else 'no target'}"
        )
    meaning = policy.contract.action.meaning
    if meaning not in DRIVEN_BY:
        raise NotTogetherError(
            f"the policy's actions are of meaning '{meaning}'; the identified arm is a task of robot-train, which is "
            f"acted in by {', '.join(DRIVEN_BY)}, with its own scales and limits: no forecast and no refining of this "
            "policy. robot-run flies it with this calibration all the same, without --port on the arm's twin"
        )
    kind = DRIVEN_BY[meaning]
    if kind not in calibration.maps:
        raise NotTogetherError(
            f"a policy that says {meaning} goes through the {kind} map, which this calibration lacks; it has "
            f"{', '.join(calibration.maps)}"
        )
    known = set(calibration.maps["observation"].joints) & set(calibration.maps[kind].joints)
    if lacking := [j for j in policy.contract.action.joints if j not in known]:
        raise NotTogetherError(f"the maps of this calibration lack {', '.join(lacking)}, which the policy drives")
