from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.flight import rendering
from robot_runtime.flight.animated_png import animated_png
from robot_runtime.flight.clip import ClipError, film
from robot_runtime.spec import load_arm


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    return found


def unfilter(data: bytes, width: int, height: int) -> np.ndarray:
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + 3 * width)
    if (lines[:, 0] == 2).all():
        return np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, 3)


def played(data: bytes) -> list[np.ndarray]:
    """Every picture as a browser shows it."""
    found = chunks(data)
    clear = np.frombuffer(next(body for kind, body in found if kind == b"tRNS"), ">u2")
    width, height = struct.unpack_from(">II", found[0][1])
    shown = np.zeros((height, width, 3), np.uint8)
    pictures: list[np.ndarray] = []
    for (kind, control), (_, body) in pairwise(found):
        if kind == b"fcTL":
            _, across, down, x, y = struct.unpack_from(">IIIII", control)
            part = unfilter(body[0 if not pictures else 4 :], across, down)
            place = shown[y : y + down, x : x + across]
            np.copyto(place, part, where=(part != clear).any(axis=2, keepdims=True))
            pictures.append(shown.copy())
    return pictures


def test_pictures_come_back_and_only_what_moved_is_kept() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    first[0, 0] = 255, 0, 255  # what stands for `as it was` may stand in a picture, too: a shade off
    second = first.copy()
    second[5:9, 10:12] = 255 - second[5:9, 10:12]
    data = animated_png([first, second, second], 0.1)
    found = chunks(data)
    assert [kind for kind, _ in found] == [
        b"IHDR", b"acTL", b"tRNS", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"fcTL", b"fdAT", b"IEND",
    ]  # fmt: skip
    controls = [body for kind, body in found if kind == b"fcTL"]
    assert [struct.unpack_from(">I", control)[0] for control in controls] == [0, 1, 3]
    assert struct.unpack_from(">IIII", controls[1], 4) == (2, 4, 10, 5)
    assert struct.unpack_from(">HHBB", controls[0], 20) == (100, 1000, 0, 1)
    first[0, 0, 2] = second[0, 0, 2] = 254
    for shown, wanted in zip(played(data), (first, second, second), strict=True):
        assert np.array_equal(shown, wanted)


def rendered(poses: np.ndarray, **settings: Any) -> list[np.ndarray]:
    arm = load_arm("open-manipulator-x")
    try:
        return played(film(arm.mjcf, arm.joint_names, poses, 0.1, **settings))
    except ClipError as error:
        pytest.skip(str(error))


def test_the_arm_is_whole_in_every_picture_however_far_it_reaches() -> None:
    home, up, out = np.zeros(5), np.array([0.0, 0.0, -1.4, 0.0, 0.0]), np.array([1.2, 1.2, -1.0, 0.0, 0.0])
    pictures = rendered(np.array([home, up, out]))
    moved = np.zeros(pictures[0].shape[:2], dtype=bool)
    for one, other in pairwise(pictures):
        moved |= (one != other).any(axis=2)
    assert moved.mean() > 0.02
    assert not np.concatenate([moved[0], moved[-1], moved[:, 0], moved[:, -1]]).any()


def test_ghosts_stand_side_by_side_each_over_the_same_arm() -> None:
    arm, away = np.zeros(5), np.array([0.8, 0.0, 0.0, 0.0, 0.0])
    red, blue = (1.0, 0.0, 0.0, 0.6), (0.0, 0.0, 1.0, 0.6)
    (shown,) = rendered(np.array([[arm, away, away]]), ghosts=(red, blue), size=(120, 90))
    assert shown.shape == (90, 240, 3)
    left, right = shown[:, :120].astype(int), shown[:, 120:].astype(int)
    redder = (left[..., 0] - left[..., 2]) - (right[..., 0] - right[..., 2])
    differs = (left != right).any(axis=2)
    assert 0.01 < differs.mean() < 0.5  # the ghosts, and nothing else
    assert (redder[differs] > 0).mean() > 0.95


def test_no_graphics_and_no_model_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "none.xml").write_text("<mujoco><nonsense/></mujoco>")
    with pytest.raises(ClipError, match="model cannot be used"):
        film(tmp_path / "none.xml", ("pan",), np.zeros((1, 1)), 0.1)
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    arm = load_arm("xl330-pendulum")
    with pytest.raises(ClipError, match="no clip: .*(graphics|render)"):
        film(arm.mjcf, arm.joint_names, np.zeros((1, 1)), 0.1)


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"no clip: .*pip install 'robot-runtime\[clip\]'"):
        rendering.Studio(str(load_arm("xl330-pendulum").mjcf), ["pendulum"], (8, 8))
