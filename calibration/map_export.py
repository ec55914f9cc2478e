"""A fitted map as one ONNX, proven to compute what the torch module computes on the inputs it was fitted to and around.

Metadata says what goes in: kind of map, joints, period, taps. The run time needs nothing else to feed it.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from calibration.log import Floats
from models.export import OPSET

METADATA_KEY = "map"
TOLERANCE = 1e-4
"""Times (1 + |y|): the largest difference between ONNX and torch, single precision both; inputs beyond the data too."""
STRETCH = (1.0, 0.1, 2.0, 5.0)
"""Times the inputs of the data: where else they are compared."""


class MapExportError(ValueError):
    """The ONNX does not compute what the map computes; nothing was written."""


def export_map(
    module: nn.Module, path: Path, inputs: Floats, *, kind: str, joints: Sequence[str], **facts: Any
) -> float:
    """Write a map; returns the largest difference, |difference| / (1 + |y|).

    inputs: (samples, numbers), some of what it was fitted to.

    Raises:
        MapExportError: ONNX and torch differ.
    """
    module = module.eval()
    example = torch.zeros(1, inputs.shape[1])
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["history"],
                output_names=["mapped"],
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None  # it is, without a file to write to
    model = program.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps({"kind": kind, "joints": list(joints), **facts})})
    content = model.SerializeToString(deterministic=True)
    worst = _difference(module, content, inputs)
    if not worst <= TOLERANCE:
        raise MapExportError(f"{path.name} was not written: the ONNX is off by {worst:.2g} times (1 + |y|)")
    path.write_bytes(content)
    return worst


def _difference(module: nn.Module, content: bytes, inputs: Floats) -> float:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = 0.0
    for stretch in STRETCH:
        for row in inputs:
            x = (row[np.newaxis] * stretch).astype(np.float32)
            with torch.inference_mode():
                wanted = module(torch.from_numpy(x)).numpy()
            (got,) = session.run(None, {"history": x})
            worst = max(worst, float(np.max(np.abs(got - wanted) / (1.0 + np.abs(wanted)))))
    return worst
