"""A network on a GPU that this process holds for its worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recolor_cli.batch.messages import Distribute, HostedModel, Predict, WorkerConfig
from recolor_cli.system.device import Device, parse_device, why_no_driver

if TYPE_CHECKING:
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.model.request_batcher import BatchedNetwork

_BATCH = 16  # pictures in one run of the network


@dataclass(frozen=True, slots=True)
class GpuHost:
    """A network that answers the questions of worker processes.

    Parameters
    ----------
    network : OnnxColorNetwork
    batched : BatchedNetwork
        The same one; collects the questions of several processes.
    """

    network: OnnxColorNetwork
    batched: BatchedNetwork

    @property
    def model(self) -> HostedModel:
        """Facts that the processes need."""
        return HostedModel(self.network.manifest, self.network.device)

    def answer(self, question: Predict | Distribute) -> object:
        """Run the network; raises as `OnnxColorNetwork.predict` and `distribution`."""
        if isinstance(question, Predict):
            return self.batched.predict(question.lightness, question.temperature)
        return self.network.distribution(question.lightness)


def open_gpu_host(config: WorkerConfig) -> tuple[GpuHost | None, str]:
    """Load the network if it runs on a GPU.

    Returns
    -------
    GpuHost or None
    str
        Why the network is not on a GPU, if CUDA was tried; else empty.

    Raises
    ------
    ModelError, DeviceError
        As `OnnxColorNetwork.load` and `require_distribution`.
    """
    if parse_device(config.device)[0] is Device.CPU or why_no_driver():
        return None, ""
    # onnxruntime is loaded into this process only where there may be a GPU.
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.model.request_batcher import BatchedNetwork

    network = OnnxColorNetwork.load(config.model, config.device)
    if network.device == Device.CPU:
        return None, network.cpu_reason
    if config.needs_distribution:
        network.require_distribution()
    return GpuHost(network, BatchedNetwork(network, _BATCH)), ""
