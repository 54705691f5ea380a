"""Join a foreign network with its profile into one ONNX graph, with the inputs and outputs of ours.

The conversions of the profile are torch modules here, traced to ONNX. In numpy,
`ForeignProfile.prepare_input` and `ForeignProfile.convert_output` compute the same; the graph is
compared with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import compose, version_converter
from torch import Tensor, nn

from recolor_cli.color.lab import cv2_gray_steps
from recolor_cli.color.srgb import LUMA
from recolor_cli.errors import ModelError
from recolor_cli.model.foreign_profile import LEAST_PROBABILITY, ForeignProfile, OutputKind
from recolor_cli.model.manifest import Manifest
from recolor_cli.training.model_wrapper import AnnealedNetwork
from recolor_cli.training.torch_color import lightness_to_gray, rgb_to_ab
from recolor_cli.training.tracing import IR_VERSION, OPSET, trace

_PREFIX = "theirs/"  # of the names in the foreign network, so that they differ from ours
_OPSETS = (9, 20)  # the first and the last that torch can trace to; 9 is the first with Where


class InputAdapter(nn.Module):
    """Convert L* to the input of the network, in half precision if it reads that."""

    offset: Tensor
    scale: Tensor
    edges: Tensor
    grays: Tensor

    def __init__(self, profile: ForeignProfile, half: bool) -> None:
        super().__init__()
        self.profile = profile
        self.half_precision = half
        self.register_buffer("offset", _by_channel(profile.offset, profile.channels))
        self.register_buffer("scale", _by_channel(profile.scale, profile.channels))
        edges, grays = cv2_gray_steps()
        self.register_buffer("edges", torch.from_numpy(np.pad(edges, 1, constant_values=(-1, 101))))
        self.register_buffer("grays", torch.from_numpy(grays))

    def forward(self, lightness: Tensor) -> tuple[Tensor, ...]:
        """Return the network's input, (N, C, H, W) or (N, H, W, C), for L* (N, 1, H, W), 0..100.

        If the profile has `keep_luma`, the luma (N, 1, H, W), 0..1, follows.
        """
        gray = lightness_to_gray(lightness)
        read = self._as_opencv(gray, lightness) if self.profile.opencv_gray else gray
        plane = read * self.profile.white if self.profile.gray_input else lightness
        tensor = (plane - self.offset) / self.scale
        if self.profile.channels_last:
            tensor = tensor.permute(0, 2, 3, 1)
        encoded = tensor.half() if self.half_precision else tensor
        return (encoded, gray) if self.profile.keep_luma else (encoded,)

    def _as_opencv(self, gray: Tensor, lightness: Tensor) -> Tensor:
        """Return what OpenCV makes of these grays, 0..1, given with their L*, 0..100."""
        last = len(self.grays) - 1
        number = (gray * last).floor().clamp(0, last).long()
        # Grays that differ by rounding only must not differ by a step: the edges decide.
        number = number + (lightness >= self.edges[number + 1]).long()
        number = number - (lightness < self.edges[number]).long()
        return self.grays[number]


class OutputAdapter(nn.Module):
    """Convert the output of the network to ab, or to logits over the bins."""

    offset: Tensor
    scale: Tensor
    luma: Tensor

    def __init__(self, profile: ForeignProfile) -> None:
        super().__init__()
        self.profile = profile
        channels = 1 if profile.is_distribution else profile.output_channels
        self.register_buffer("offset", _by_channel(profile.answer_offset, channels))
        self.register_buffer("scale", _by_channel(profile.answer_scale, channels))
        self.register_buffer("luma", _by_channel(LUMA, 3))

    def forward(self, answer: Tensor, luma: Tensor | None = None) -> Tensor:
        """Return ab (N, 2, h, w), CIELAB units, or logits (N, Q, h, w), of (N, C, h, w)."""
        answer = answer.float()
        if self.profile.channels_last:
            answer = answer.permute(0, 3, 1, 2)
        if self.profile.answer is OutputKind.LOGITS:
            return answer
        if self.profile.answer is OutputKind.PROBABILITIES:
            return torch.log(answer.clamp(min=LEAST_PROBABILITY))
        answer = answer * self.scale + self.offset
        if self.profile.answer is OutputKind.AB:
            return answer
        rgb = (answer / self.profile.white).clamp(0, 1)
        if luma is not None:
            rgb = (rgb + luma - (rgb * self.luma).sum(dim=1, keepdim=True)).clamp(0, 1)
        return rgb_to_ab(rgb)


def add_profile(theirs: Any, output: str, profile: ForeignProfile, manifest: Manifest) -> Any:
    """Return a foreign network with the inputs and outputs of a model file, without a manifest.

    Parameters
    ----------
    theirs : onnx.ModelProto
        The network, which has one input; it is changed.
    output : str
        The output that holds the color.

    Returns
    -------
    onnx.ModelProto
        It takes any number of pictures if the network does, and any multiples of the stride as
        height and width if the profile has a stride.

    Raises
    ------
    ModelError
        If the network cannot be joined to other graphs.
    """
    own_input = input_of(theirs)
    name, tensor_type = own_input.name, own_input.type.tensor_type
    count = "N" if not tensor_type.shape.dim[0].dim_value else 1

    _keep_only(theirs.graph.input, name)  # old files list their weights as inputs, too
    _keep_only(theirs.graph.output, output)
    del theirs.graph.value_info[:]  # its named sizes may clash with ours
    domains = {entry.domain: entry.version for entry in theirs.opset_import}
    opset = domains.get("", domains.get("ai.onnx", OPSET))
    version = max(IR_VERSION, theirs.ir_version)

    half = tensor_type.elem_type == onnx.TensorProto.FLOAT16
    before = _trace_input(InputAdapter(profile, half), count, opset)
    adapter: nn.Module = OutputAdapter(profile)
    if profile.is_distribution:
        adapter = AnnealedNetwork(adapter, manifest)
    after = _trace_output(adapter, profile, opset)
    try:
        for model in (theirs, before, after):
            model.ir_version = version
        _add_prefix(theirs.graph)  # functions keep their names, because our graphs have none
        model = compose.merge_models(before, theirs, io_map=[("encoded", _PREFIX + name)])
        joints = [(_PREFIX + output, "answer")]
        if profile.keep_luma:
            joints.append(("luma", "luma"))
        return compose.merge_models(model, after, io_map=joints)
    except (ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{profile.file} cannot be joined to its profile: {error}",
            "export it again, with a recent version of its framework",
        ) from error


def input_of(model: Any) -> Any:
    """Return the only input of a network. Old files list their weights as inputs, too."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(node for node in model.graph.input if node.name not in constants)


def graphs_in(graph: Any) -> Iterator[Any]:
    """Yield a graph and the graphs of the branches and loops in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):  # g is empty where it is not set
                yield from graphs_in(inner)


def _add_prefix(graph: Any) -> None:
    """Put `_PREFIX` before all names in a graph."""
    # onnx renames the branches and loops before the weights that they read. So it gets the new
    # names of the weights.
    weights = [tensor.name for inner in graphs_in(graph) for tensor in inner.initializer]
    names = {name: _PREFIX + name for name in weights}
    compose.add_prefix_graph(graph, _PREFIX, inplace=True, name_map=names)


def _trace_input(adapter: InputAdapter, count: str | int, opset: int) -> Any:
    profile = adapter.profile
    free = {0: "N"} if count == "N" else {}
    if profile.stride:
        free |= {2: "H", 3: "W"}
    lightness = torch.full((2 if free.get(0) else 1, 1, profile.size, profile.size), 50.0)
    outputs = ["encoded", "luma"] if profile.keep_luma else ["encoded"]
    return _trace(adapter, profile, {"lightness": lightness}, outputs, {"lightness": free}, opset)


def _trace_output(adapter: nn.Module, profile: ForeignProfile, opset: int) -> Any:
    side = 8  # px, of the example
    shape = (2, profile.output_channels, side, side)
    if profile.channels_last:
        shape = (2, side, side, profile.output_channels)
    inputs = {"answer": torch.full(shape, 0.5)}
    outputs = ["ab"]
    if profile.keep_luma:
        inputs["luma"] = torch.full((2, 1, side, side), 0.5)
    if isinstance(adapter, AnnealedNetwork):
        inputs["temperature"] = torch.tensor(0.38)
        outputs.append("logits")
    height, width = profile.spatial_axes
    free = {"answer": {0: "N", height: "h", width: "w"}}
    free |= {name: {0: "N", 2: "h", 3: "w"} for name in outputs}
    if profile.keep_luma:
        free["luma"] = {0: "N", 2: "h", 3: "w"}
    return _trace(adapter, profile, inputs, outputs, free, opset)


def _trace(
    module: nn.Module,
    profile: ForeignProfile,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    free: dict[str, dict[int, str]],
    opset: int,
) -> Any:
    """Return a module as ONNX of the network's opset; its class is the prefix of all names."""
    low, high = _OPSETS
    model = trace(module.eval(), inputs, outputs, free, min(max(opset, low), high))
    try:
        if not low <= opset <= high:
            model = version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{profile.file} has ONNX opset {opset}, to which its profile cannot be converted: "
            f"{error}",
            f"export it with an opset of {low} to {high}",
        ) from error
    return compose.add_prefix(
        model, f"{type(module).__name__}/", rename_inputs=False, rename_outputs=False
    )


def _keep_only(nodes: Any, name: str) -> None:
    kept = [node for node in nodes if node.name == name]
    del nodes[:]
    nodes.extend(kept)


def _by_channel(value: float | tuple[float, ...], channels: int) -> Tensor:
    """Return a tensor (channels, 1, 1), which broadcasts over (N, channels, H, W)."""
    values = np.broadcast_to(np.asarray(value, np.float32), (channels,))
    return torch.from_numpy(values.copy())[:, None, None]
