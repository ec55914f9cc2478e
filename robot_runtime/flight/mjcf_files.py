"""Which files an MJCF needs besides itself: what it includes, meshes, textures, height fields."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

_FOLDERS = ("meshdir", "texturedir", "assetdir")
"""Attributes of `compiler` that say where to look, from the folder of the model."""


def mjcf_files(model: Path) -> tuple[Path, ...]:
    """The model itself first, then every file that it names and that exists."""
    here = model.parent
    folders, named = [here], []
    for element in itertools.chain.from_iterable(map(_elements, _parts(model))):
        folders += [here / element.attrib[key] for key in _FOLDERS if key in element.attrib]
        named += [value for key, value in element.attrib.items() if key.startswith("file")]
    found = [folder / name for name in named for folder in folders]
    return tuple(dict.fromkeys([model, *(path for path in found if path.is_file())]))


def _parts(model: Path) -> Iterator[Path]:
    """The model and what it includes, each once."""
    known, waiting = set(), [model]
    while waiting:
        part = waiting.pop()
        if part in known or not part.is_file():
            continue
        known.add(part)
        yield part
        waiting += [model.parent / e.attrib.get("file", "") for e in _elements(part) if e.tag == "include"]


def _elements(part: Path) -> Iterator[ElementTree.Element]:
    try:
        yield from ElementTree.parse(part).getroot().iter()  # noqa: S314 (MuJoCo has parsed it already)
    except ElementTree.ParseError:
        return  # whoever loads the model says what is wrong with it
