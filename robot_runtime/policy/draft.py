"""Draft: what several sources together say of a contract, key by key, and from whom each key is.

Sources are asked in order and an earlier one wins, key by key: a `policy.toml` completes what an exporter wrote into
the network, and corrects it where both say something. `observation`, `target` and `start` count as one key each,
`action` key by key. What nobody says is missing, and a missing thing is an error with the lines to write. All that is
missing or wrong is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robot_runtime.policy.contract import KINDS, Action, Contract, Target, Term
from robot_runtime.policy.errors import ContractError, ContradictionError, IncompleteContractError
from robot_runtime.toml_lines import TomlLines

REQUIRED = {
    "rate": "rate = ?                   # Hz, how often the policy acts",
    "start": 'start = ?                  # "home", another pose of the arm, or { joint = angle in rad, ... }',
    "action.meaning": 'meaning = ?                # "torque", "position", "position_delta", "velocity" or "duty"',
    "action.joints": 'joints = ?                 # ["name", ...], in the order of the output',
    "action.scale": "scale = ?                  # value = clip(output) * scale + offset; a number, or one a joint",
    "action.offset": "offset = ?                 # in rad, rad/s, N·m or duty, as the value is",
    "observation": "",  # OBSERVATION_LINES
}
"""What a contract must say: nothing here has a default, for a wrong one would move an arm. With the line to write."""

ARM_LINE = "arm = ?                    # name of the arm, or leave the line out and give --arm"

OPTIONAL_TOP = "# stacked = true           # only where history is the whole observation k times, not term by term"

OPTIONAL_ACTION = """\
# clip = [-1.0, 1.0]       # of the raw output, where the training clipped it
# low = ?                  # lower end of the value, where the training had any; a number, or one a joint
# high = ?                 # upper end, the same
# stiffness = ?            # N·m/rad: where torque carries positions, as a simulator's position actuator does
# damping = ?              # N·m·s/rad, goes with it
# delta_from = "command"   # of a position_delta: from the last goal, or "measured\""""

OBSERVATION_LINES = f"""\
[[observation]]            # one such table a term, in order; y = clip((x - offset) * scale)
kind = ?                   # {", ".join(KINDS[:4])},
                           # {", ".join(KINDS[4:])}
joints = ?                 # of a joint_position, joint_velocity or joint_torque; other kinds have no such line
# scale = 1.0              # a number, or one an entry: [1.0, 0.5, ...]
# offset = 0.0             # the same; of a constant, what it is
# clip = [-5.0, 5.0]
# history = 1              # samples, oldest first
# period = ?               # s, of a phase; other kinds have no such line"""

TARGET_LINES = """\
[target]
kind = ?                   # "tip_position" (x, y, z in m), "joint_position" (rad) or "custom"
# joints = ?               # of a joint_position: ["name", ...]
# size = ?                 # of a custom one: how many numbers
# low = ?                  # lower ends of the range of the training: a list, one number an entry
# high = ?                 # upper ends, the same
# default = ?              # a list, used when nobody gives a target"""


@dataclass
class Draft:
    """Values by dotted key ("rate", "action.scale", "observation", ...), and the source of each."""

    values: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    offers: dict[str, str] = field(default_factory=dict)
    """Lines that this source would write for a key that it does not know for certain."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why this source has no value for a key that it does speak about."""
    remarks: list[str] = field(default_factory=list)
    """What a person should know of this source: rounded numbers, things left out."""
    wrong: list[tuple[str, str]] = field(default_factory=list)
    """Keys whose value cannot be, and the whole message: where, and what is expected."""
    lines: dict[str, TomlLines] = field(default_factory=dict)
    """Of sources that have lines: where each key stands."""

    @classmethod
    def of(cls, source: str, values: Mapping[str, Any]) -> Draft:
        """A draft of one source."""
        return cls(dict(values), dict.fromkeys(values, source))

    def told(self, key: str, problem: str, where: str) -> str:
        """The message about a key: by file and line of who said it, else `where`."""
        path = key.split(".")
        source = self.origin.get(".".join(path[:2])) or self.origin.get(path[0], where)
        if source in self.lines:
            line = self.lines[source].line(tuple(int(part) - 1 if part.isdigit() else part for part in path))
            source += f":{line}" if line else ""
        return f"{source}: {key}: {problem}"


def merge(drafts: Sequence[Draft]) -> Draft:
    """All drafts as one; the earlier of two wins."""
    merged = Draft()
    for draft in reversed(drafts):
        merged.values |= draft.values
        merged.origin |= draft.origin
        merged.offers |= draft.offers
        merged.refused |= draft.refused
        merged.remarks += draft.remarks
        merged.wrong = draft.wrong + merged.wrong
        merged.lines |= draft.lines
    return merged


def build(draft: Draft, where: str, network: str = "") -> Contract:
    """The contract that a draft describes; `where` and, in words, what the `network` takes are for messages.

    Raises:
        IncompleteContractError: something is missing; all of it is listed, with the lines to write.
        ContractError: something is wrong, or parts contradict each other; all of it is listed.
    """
    require_complete(draft, where, network)
    values = draft.values
    target: Target | None = values.get("target")
    joints = values["action.joints"]
    sizes = {"last_action": len(joints), "target": target.size if target else 0}
    sizes["target_error"] = sizes["target"]
    try:
        return Contract(
            observation=tuple(_sized(term, sizes) for term in values["observation"]),
            action=Action(**{k.removeprefix("action."): v for k, v in values.items() if k.startswith("action.")}),
            target=target,
            **{k: v for k, v in values.items() if "." not in k and k not in ("observation", "target")},
        )
    except ContradictionError as error:
        raise ContractError("\n".join(draft.told(key, problem, where) for key, problem in error.problems)) from error


def require_complete(draft: Draft, where: str, network: str = "", also: Sequence[str] = ()) -> None:
    """Complain about all that is wrong, and all that is missing; `also`: keys that are needed besides the usual ones.

    Raises:
        IncompleteContractError: something is missing.
        ContractError: something is wrong.
    """
    mistaken = {key for key, _ in draft.wrong}
    missing = [k for k in (*also, *REQUIRED) if k not in draft.values and not {k, k.split(".")[0]} & mistaken]
    terms: tuple[Term, ...] = draft.values.get("observation", ())
    wants_target = any(t.kind in ("target", "target_error") for t in terms)
    if wants_target and "target" not in draft.values and "target" not in mistaken:
        missing.append("target")
    wrong = "\n".join(message for _, message in draft.wrong)
    if not missing:
        if wrong:
            raise ContractError(wrong)
        return
    if missing == ["arm"] and not wrong:
        raise IncompleteContractError(
            f"{where}: nothing says for which arm it is; say it with --arm, or by 'arm = \"NAME\"' in its contract"
        )
    why = "".join(f"\n{draft.refused[key]}" for key in missing if key in draft.refused)
    raise IncompleteContractError(
        f"{wrong}{chr(10) if wrong else ''}{where}: nothing says {', '.join(missing)}.{why}\n"
        f"Write these lines into a policy.toml beside the network (or --contract FILE), with every ? answered and "
        f"every offer checked against the training{f' ({network})' if network else ''}:\n\n"
        f"{lines_to_write(draft, missing)}"
    )


def lines_to_write(draft: Draft, missing: Sequence[str]) -> str:
    """TOML that would say what is missing: offers of the sources where there are any, else a ? to be answered."""
    others = {"arm": ARM_LINE, "target": TARGET_LINES, "observation": OBSERVATION_LINES}

    def line(key: str) -> str:
        return draft.offers.get(key) or others.get(key) or REQUIRED[key]

    top = [
        line(key) for key in ("arm", "rate", "start") if key in missing or (key == "arm" and key not in draft.values)
    ]
    if "observation" in missing and "stacked" not in draft.values:
        top.append(OPTIONAL_TOP)
    action = [line(key) for key in missing if key.startswith("action.")]
    if "action.meaning" in missing:
        action.append(OPTIONAL_ACTION)
    tables = [line(key) for key in ("target", "observation") if key in missing]
    if "observation" in missing and "target" not in (*missing, *draft.values):
        tables.append(
            f"# where a term is a target or a target_error:\n# {TARGET_LINES.replace(chr(10), chr(10) + '# ')}"
        )
    blocks = ["\n".join(top), "\n".join(["[action]", *action]) if action else "", *tables]
    return "\n\n".join(block for block in blocks if block)


def _sized(term: Term, sizes: Mapping[str, int]) -> Term:
    """The term with the size that follows from action or target, where it did not say one (0)."""
    return term if term.size else replace(term, size=sizes.get(term.kind, 0))
