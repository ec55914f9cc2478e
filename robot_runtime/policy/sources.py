"""Where a contract comes from: one draft from everything that speaks about a network.

In order, an earlier one winning key by key: the file given by hand, or else `NAME.toml` (or `policy.toml`) beside
`NAME.onnx`; the contract in the network's own metadata; mjlab's metadata; Isaac Lab's IO descriptor beside it.
"""

from __future__ import annotations

from pathlib import Path

from robot_runtime.policy.contract_json import METADATA_KEY, draft_from_json, draft_from_toml
from robot_runtime.policy.draft import Draft, merge
from robot_runtime.policy.errors import ContractError
from robot_runtime.policy.isaac_lab import draft_from_isaac_lab
from robot_runtime.policy.mjlab import draft_from_mjlab


def draft_of(network: Path, metadata: dict[str, str], contract_path: Path | None = None) -> Draft:
    """Everything that is said of the network, complete or not.

    Raises:
        ContractError: a source cannot be read, or it is not clear to which network it belongs.
    """
    drafts = [_read(path) for path in ([contract_path] if contract_path else _beside(network))]
    if METADATA_KEY in metadata:
        drafts.append(draft_from_json(metadata[METADATA_KEY], f"{network}, metadata '{METADATA_KEY}'"))
    mjlab = draft_from_mjlab(metadata, str(network))
    if mjlab:
        drafts.append(mjlab)
    if contract_path is None or contract_path.suffix not in (".yaml", ".yml"):
        drafts += [draft_from_isaac_lab(path) for path in _descriptor(network)]
    return merge(drafts)


def _read(path: Path) -> Draft:
    if path.suffix == ".toml":
        return draft_from_toml(path)
    if path.suffix in (".yaml", ".yml"):
        return draft_from_isaac_lab(path)
    if path.suffix == ".json":
        try:
            return draft_from_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"{path}: cannot be read: {error}") from error
    raise ContractError(f"{path}: expected a .toml, .json or .yaml file")


def _beside(network: Path) -> list[Path]:
    """The TOML that belongs to the network: its namesake, or a policy.toml that can belong to nothing else."""
    own, shared = network.with_suffix(".toml"), network.parent / "policy.toml"
    if own.is_file():
        return [own]
    if not shared.is_file():
        return []
    _require_alone(network, shared, own.name)
    return [shared]


def _descriptor(network: Path) -> list[Path]:
    """Isaac Lab's descriptor that belongs to the network, if there is one."""
    for name in (f"{network.stem}.yaml", f"{network.stem}_IO_descriptors.yaml"):
        if (network.parent / name).is_file():
            return [network.parent / name]
    found = sorted(network.parent.glob("*IO_descriptors.yaml"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ContractError(f"{network}: which of {names} belongs to it? Rename it {network.stem}_IO_descriptors.yaml")
    if found:
        _require_alone(network, found[0], f"{network.stem}_IO_descriptors.yaml")
    return found


def _require_alone(network: Path, shared: Path, better: str) -> None:
    others = sorted(path.name for path in network.parent.glob("*.onnx") if path.name != network.name)
    if others:
        raise ContractError(
            f"{shared}: it may belong to {network.name} or to {', '.join(others)}; rename it {better}, or say which "
            "file it is by --contract"
        )
