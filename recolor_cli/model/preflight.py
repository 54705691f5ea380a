"""Check a model and a device without loading the network, for runs that may have nothing to do."""

from __future__ import annotations

from recolor_cli.errors import DeviceError
from recolor_cli.model.manifest import Manifest, no_distribution
from recolor_cli.model.model_files import find_files, read_properties
from recolor_cli.system.device import NO_CUDA_ADVICE, Device, parse_device, why_no_card


def check_model(model: str, device: str, needs_distribution: bool = False) -> None:
    """Check all that shows without running the network.

    Parameters
    ----------
    model, device : str
        As for `OnnxColorNetwork.load`.
    needs_distribution : bool
        Whether the model must predict a distribution over colors.

    Raises
    ------
    ModelError
        If the model is missing, broken, or predicts one color where a distribution is needed.
    DeviceError
        If CUDA is demanded, and there is no card of that number.
    UsageError
        If there is no such kind of device.
    """
    kind, number = parse_device(device)
    files = find_files(model, 8)
    properties = read_properties(files.graph)
    name, has_distribution = files.path.stem, False
    if files.profile is None:
        manifest = Manifest.from_properties(properties, files.path)
        name, has_distribution = manifest.name, manifest.has_distribution
    if needs_distribution and not has_distribution:
        raise no_distribution(name)
    if kind is Device.CUDA:
        # Loads onnxruntime, which only this question needs.
        from recolor_cli.model.cuda import why_no_cuda

        if reason := why_no_cuda() or why_no_card(number):
            raise DeviceError(reason, NO_CUDA_ADVICE)
