"""What a recording carries of an arm is enough to load it again, or it says that it is not."""

from __future__ import annotations

import shutil
import struct
from itertools import combinations
from pathlib import Path

import pytest

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.flight.contents import attach_arm
from robot_runtime.flight.mjcf_files import mjcf_files
from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.flight.recorder import Recorder
from robot_runtime.session import layout_of
from robot_runtime.spec import load_arm

ARM = load_arm("xl330-pendulum").path


def tetrahedron() -> bytes:
    """As binary STL."""
    corners = ((0.0, 0.0, 0.0), (0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01))
    faces = b"".join(
        struct.pack("<12fH", 0, 0, 0, *a, *b, *c, 0)
        for (a, b, c) in ((x, z, y) if k % 2 else (x, y, z) for k, (x, y, z) in enumerate(combinations(corners, 3)))
    )
    return bytes(80) + struct.pack("<I", 4) + faces


def arm_with(folder: Path, mjcf: str, compiler: str, mesh: str) -> Path:
    """The pendulum with its MJCF elsewhere, and a mesh in that."""
    (folder / "arm.toml").parent.mkdir(parents=True)
    (folder / "arm.toml").write_text(ARM.read_text().replace('mjcf = "arm.xml"', f'mjcf = "{mjcf}"'))
    model = (folder / mjcf).resolve()
    model.parent.mkdir(parents=True, exist_ok=True)
    text = ARM.with_name("arm.xml").read_text()
    text = text.replace('<compiler angle="radian"', f'<compiler {compiler} angle="radian"')
    text = text.replace("<worldbody>", f'<asset><mesh name="part" file="{Path(mesh).name}"/></asset><worldbody>')
    model.write_text(text)
    stl = model.parent / mesh
    stl.parent.mkdir(parents=True, exist_ok=True)
    stl.write_bytes(tetrahedron())
    return folder


def recorded(folder: Path, file: Path) -> Flight:
    spec = load_arm(folder)
    with Recorder(file, layout_of(spec, None)) as recorder:
        attach_arm(recorder, spec)
    return read_flight(file)


@pytest.mark.parametrize(
    ("mjcf", "compiler", "mesh"),
    [
        ("arm.xml", "", "part.stl"),
        ("arm.xml", 'meshdir="meshes"', "meshes/part.stl"),
        ("model/arm.xml", 'assetdir="../parts"', "../parts/part.stl"),
        ("../models/arm.xml", 'meshdir="meshes"', "meshes/part.stl"),
    ],
)
def test_an_arm_with_meshes_is_carried_whole(tmp_path: Path, mjcf: str, compiler: str, mesh: str) -> None:
    folder = arm_with(tmp_path / "arms" / "mine", mjcf, compiler, mesh)
    Kinematics(load_arm(folder))  # the mesh is one
    flight = recorded(folder, tmp_path / "a.mcap")
    shutil.rmtree(tmp_path / "arms")
    flight.extract(tmp_path / "out")
    again = load_arm(tmp_path / "out" / "arm")
    Kinematics(again)
    assert again.digest == flight.metadata["arm"]["digest"]


def test_an_arm_that_cannot_be_carried_is_said(tmp_path: Path) -> None:
    folder = arm_with(tmp_path / "arms" / "mine", "../../models/arm.xml", "", "part.stl")
    flight = recorded(folder, tmp_path / "a.mcap")
    texts = [event.text for event in flight.events]
    assert len(texts) == 2
    assert all("robot-replay and clips will not work" in text for text in texts)
    assert list(flight.attachments) == ["arm/arm.toml"]


def test_included_models_count_and_what_is_not_there_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<mujoco><include file="sub/b.xml"/><asset><mesh file="gone.stl"/></asset></mujoco>'
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.xml").write_text(
        '<mujocoinclude><include file="a.xml"/><asset><texture fileup="up.png"/></asset></mujocoinclude>'
    )
    (tmp_path / "up.png").write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in mjcf_files(tmp_path / "a.xml")] == [
        "a.xml", "sub/b.xml", "up.png",
    ]  # fmt: skip
