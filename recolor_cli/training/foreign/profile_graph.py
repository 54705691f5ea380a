"""A profile as a graph: what has to stand around a network made elsewhere in a model file.

Written in torch, traced to ONNX and joined to the network. `ForeignProfile.prepare_input` and
`convert_output`, in numpy, are the oracle that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import compose, version_converter
from torch import Tensor, nn

from recolor_cli.errors import ModelError
from recolor_cli.model.foreign_profile import LEAST_PROBABILITY, ForeignProfile, OutputKind
from recolor_cli.model.manifest import Manifest
from recolor_cli.training.export import IR_VERSION, OPSET, trace
from recolor_cli.training.torch_color import ab_of, level_of
from recolor_cli.training.train import AnnealedNetwork, as_exported

_THEIRS = "theirs/"  # before the names in the network, which then are none of ours
_OPSETS = (9, 20)  # that torch can trace to; 9 is the first with Where


class Encoder(nn.Module):
    """L* in, what the network reads out.

    Parameters
    ----------
    profile : ForeignProfile
    half : bool
        The network reads half precision.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, profile: ForeignProfile, half: bool) -> None:
        super().__init__()
        self.profile = profile
        self.half_precision = half
        self.register_buffer("offset", _by_channel(profile.offset, profile.channels))
        self.register_buffer("scale", _by_channel(profile.scale, profile.channels))

    def forward(self, lightness: Tensor) -> Tensor:
        """Return (N, C, H, W), or (N, H, W, C), for L* (N, 1, H, W), 0..100."""
        plane = level_of(lightness) if self.profile.gray_input else lightness
        tensor = (plane - self.offset) / self.scale
        if self.profile.channels_last:
            tensor = tensor.permute(0, 2, 3, 1)
        return tensor.half() if self.half_precision else tensor


class Decoder(nn.Module):
    """What the network answers in, ab or logits over the bins out.

    Parameters
    ----------
    profile : ForeignProfile
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, profile: ForeignProfile) -> None:
        super().__init__()
        self.profile = profile
        channels = 1 if profile.is_distribution else profile.output_channels
        self.register_buffer("offset", _by_channel(profile.answer_offset, channels))
        self.register_buffer("scale", _by_channel(profile.answer_scale, channels))

    def forward(self, answer: Tensor) -> Tensor:
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
        return ab_of(answer.clamp(0, 1))


def describe(theirs: Any, output: str, profile: ForeignProfile, manifest: Manifest) -> Any:
    """Return the model file of a network made elsewhere, but for the manifest in it.

    Parameters
    ----------
    theirs : onnx.ModelProto
        The network, of one input; it is changed.
    output : str
        Which of its outputs is the answer.
    profile : ForeignProfile
        That fits the network.
    manifest : Manifest
        Of the model file.

    Returns
    -------
    onnx.ModelProto
        The contract's inputs and outputs. It takes any number of pictures if the network does, and
        any height and width of the manifest's stride if the profile has one.

    Raises
    ------
    ModelError
        If the network is in a form that cannot be joined to anything.
    """
    own_input = input_of(theirs)
    name, tensor_type = own_input.name, own_input.type.tensor_type
    count = "N" if not tensor_type.shape.dim[0].dim_value else 1

    _keep_only(theirs.graph.input, [name])  # old files list their weights as inputs, too
    _keep_only(theirs.graph.output, [output])
    del theirs.graph.value_info[:]  # its names of sizes need not mean what ours mean
    domains = {entry.domain: entry.version for entry in theirs.opset_import}
    opset = domains.get("", domains.get("ai.onnx", OPSET))
    version = max(IR_VERSION, theirs.ir_version)

    half = tensor_type.elem_type == onnx.TensorProto.FLOAT16
    encoder = _encoder(Encoder(profile, half), count, opset)
    decoder = _decoder(as_exported(Decoder(profile), manifest), profile, opset)
    try:
        for model in (theirs, encoder, decoder):
            model.ir_version = version
        _add_prefix(theirs.graph)  # functions keep their names: ours have none
        model = compose.merge_models(encoder, theirs, io_map=[("encoded", _THEIRS + name)])
        return compose.merge_models(model, decoder, io_map=[(_THEIRS + output, "answer")])
    except (ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{profile.file} cannot be joined to its profile: {error}",
            "export it again, with a recent version of its framework",
        ) from error


def input_of(model: Any) -> Any:
    """Return the input of a network of one; old files list their weights as inputs, too."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(node for node in model.graph.input if node.name not in constants)


def graphs_in(graph: Any) -> Iterator[Any]:
    """Return a graph, and those of the branches and loops in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):  # g is an empty one where there is none
                yield from graphs_in(inner)


def _add_prefix(graph: Any) -> None:
    """Set `_THEIRS` before all names in a graph."""
    # Told beforehand: onnx gets to the weights only after the branches and loops that read them.
    weights = [tensor.name for inner in graphs_in(graph) for tensor in inner.initializer]
    names = {name: _THEIRS + name for name in weights}
    compose.add_prefix_graph(graph, _THEIRS, inplace=True, name_map=names)


def _encoder(encoder: Encoder, count: str | int, opset: int) -> Any:
    side = encoder.profile.size
    free = {0: "N"} if count == "N" else {}
    if encoder.profile.stride:
        free |= {2: "H", 3: "W"}
    lightness = torch.full((2 if free.get(0) else 1, 1, side, side), 50.0)
    return _traced(
        encoder, encoder.profile, {"lightness": lightness}, ["encoded"], {"lightness": free}, opset
    )


def _decoder(decoder: nn.Module, profile: ForeignProfile, opset: int) -> Any:
    side = 8
    shape = (2, profile.output_channels, side, side)
    if profile.channels_last:
        shape = (2, side, side, profile.output_channels)
    inputs = {"answer": torch.full(shape, 0.5)}
    outputs = ["ab"]
    if isinstance(decoder, AnnealedNetwork):
        inputs["temperature"] = torch.tensor(0.38)
        outputs.append("logits")
    height, width = profile.spatial_axes
    free = {"answer": {0: "N", height: "h", width: "w"}}
    free |= {name: {0: "N", 2: "h", 3: "w"} for name in outputs}
    return _traced(decoder, profile, inputs, outputs, free, opset)


def _traced(
    module: nn.Module,
    profile: ForeignProfile,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    free: dict[str, dict[int, str]],
    opset: int,
) -> Any:
    """Return a module in ONNX of the network's own opset, with names that are in no other part."""
    low, high = _OPSETS
    model = trace(module.eval(), inputs, outputs, free, min(max(opset, low), high))
    try:
        if not low <= opset <= high:
            model = version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{profile.file} is of ONNX opset {opset}, in which its profile cannot be written: "
            f"{error}",
            f"export it with an opset of {low} to {high}",
        ) from error
    return compose.add_prefix(
        model, f"{type(module).__name__}/", rename_inputs=False, rename_outputs=False
    )


def _keep_only(nodes: Any, names: Sequence[str]) -> None:
    kept = [node for node in nodes if node.name in names]
    del nodes[:]
    nodes.extend(kept)


def _by_channel(value: float | tuple[float, ...], channels: int) -> Tensor:
    """Return it so that it spreads over (N, channels, H, W)."""
    values = np.broadcast_to(np.asarray(value, np.float32), (channels,))
    return torch.from_numpy(values.copy())[:, None, None]
