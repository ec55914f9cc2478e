"""Draft: what several sources together say of a contract, key by key, and from whom each key is.

Sources are asked in order and an earlier one wins, key by key: a `policy.toml` completes what an exporter wrote into
the network, and corrects it where both say something. `observation`, `target` and `start` count as one key each,
`action` key by key. What nobody says is missing, and a missing thing is an error with the lines to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robot_runtime.policy.contract import KINDS, Action, Contract, Target, Term
from robot_runtime.policy.errors import ContractError, IncompleteContractError

REQUIRED = {
    "rate": "rate = ?                   # Hz, how often the policy acts",
    "start": 'start = ?                  # "home", another pose of the arm, or { joint = angle in rad, ... }',
    "action.meaning": 'meaning = ?                # "torque", "position", "position_delta", "velocity" or "duty"',
    "action.joints": "joints = ?                 # names, in the order of the output",
    "action.scale": "scale = ?                  # value = clip(output) * scale + offset; a number, or one a joint",
    "action.offset": "offset = ?",
    "observation": "[[observation]]            # one table a term, in order\n"
    f"kind = ?                   # {', '.join(KINDS)}",
}
"""What a contract must say: nothing here has a default, for a wrong one would move an arm. With the line to write."""

TARGET_LINES = '[target]\nkind = ?                   # "tip_position", "joint_position" or "custom"\nsize = ?'


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

    @classmethod
    def of(cls, source: str, values: Mapping[str, Any]) -> Draft:
        """A draft of one source."""
        return cls(dict(values), dict.fromkeys(values, source))


def merge(drafts: Sequence[Draft]) -> Draft:
    """All drafts as one; the earlier of two wins."""
    merged = Draft()
    for draft in reversed(drafts):
        merged.values |= draft.values
        merged.origin |= draft.origin
        merged.offers |= draft.offers
        merged.refused |= draft.refused
        merged.remarks += draft.remarks
    return merged


def build(draft: Draft, where: str) -> Contract:
    """The contract that a draft describes; `where` begins every message.

    Raises:
        IncompleteContractError: something is missing; all of it is listed, with the lines to write.
        ContractError: its parts contradict each other.
    """
    values = draft.values
    _require(draft, where)
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
    except ContractError as error:
        raise ContractError(f"{where}: {error}{_origin(draft, str(error))}") from error


def _sized(term: Term, sizes: Mapping[str, int]) -> Term:
    """The term with the size that follows from action or target, where it did not say one (0)."""
    return term if term.size else replace(term, size=sizes.get(term.kind, 0))


def _origin(draft: Draft, message: str) -> str:
    """From whom the key is that a message begins with."""
    path = message.split(":", 1)[0].split(".")
    source = draft.origin.get(".".join(path[:2])) or draft.origin.get(path[0])
    return f" (from {source})" if source else ""


def _require(draft: Draft, where: str) -> None:
    missing = [key for key in REQUIRED if key not in draft.values]
    terms: tuple[Term, ...] = draft.values.get("observation", ())
    wants_target = any(t.kind in ("target", "target_error") for t in terms)
    if wants_target and "target" not in draft.values:
        missing.append("target")
    if missing:
        why = "".join(f"\n{draft.refused[key]}" for key in missing if key in draft.refused)
        raise IncompleteContractError(
            f"{where}: nothing says {', '.join(missing)}.{why}\n"
            "Write these lines into a policy.toml beside the network (or --contract FILE), with every ? answered and "
            "every offer checked against the training:\n\n"
            f"{lines_to_write(draft, missing)}"
        )


def lines_to_write(draft: Draft, missing: Sequence[str]) -> str:
    """TOML that would say what is missing: offers of the sources where there are any, else a ? to be answered."""

    def line(key: str) -> str:
        return draft.offers.get(key) or REQUIRED.get(key, TARGET_LINES)

    top = [line(key) for key in missing if key in ("rate", "start")]
    action = [line(key) for key in missing if key.startswith("action.")]
    tables = [line(key) for key in ("target", "observation") if key in missing]
    blocks = ["\n".join(top), "\n".join(["[action]", *action]) if action else "", *tables]
    return "\n\n".join(block for block in blocks if block)
