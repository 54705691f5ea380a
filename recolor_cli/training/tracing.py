"""Convert a torch module to ONNX."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from recolor_cli.system.capture import capture_output

OPSET = 18
IR_VERSION = 10  # older versions of onnxruntime refuse a newer one


def trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
    opset: int = OPSET,
) -> Any:
    """Return a module, in its current mode, as an onnx.ModelProto.

    `inputs` maps the names of the inputs to examples. `free` maps names of inputs and outputs to
    the axes whose size may differ from the example's, and names those axes.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        capture_output(),  # torch prints what it cannot convert
    ):
        warnings.simplefilter("ignore")  # torch's own deprecations
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            Path(folder) / "network.onnx",
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset,
            # Otherwise torch folds the batch norms into the weights, which are then no longer
            # rounded. onnxruntime folds them when it loads the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            dynamo=False,
        )
        return onnx.load(Path(folder) / "network.onnx")
