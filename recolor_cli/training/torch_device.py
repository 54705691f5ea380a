"""Choose the device that torch trains on, and tell whether it computes in bfloat16."""

from __future__ import annotations

import torch

from recolor_cli.errors import DeviceError
from recolor_cli.system.device import Device, parse_device


def select_torch_device(name: str) -> torch.device:
    """Return the device called ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises
    ------
    UsageError
        If there is no such name.
    DeviceError
        If torch does not see that CUDA device.
    """
    kind, number = parse_device(name)
    if kind is Device.CPU or (kind is Device.AUTO and not torch.cuda.is_available()):
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise DeviceError(
            f"torch sees {torch.cuda.device_count()} CUDA devices",
            "use --device cpu, or install torch for CUDA",
        )
    return torch.device("cuda", number)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether the hardware has bfloat16: newer CUDA devices and some CPUs.

    Emulated bfloat16 is slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        capabilities = torch.cpu.get_capabilities()
    except AttributeError:  # an older torch
        return False
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the order of values in memory that is the faster one on a device.

    Channels last takes 0.80 to 1.00 of the time on a CPU in float32, measured on the included
    networks (models/poster.md). In bfloat16 it was slower there.
    """
    if device.type == "cpu" and computes_in_bfloat16(device):
        return torch.contiguous_format
    return torch.channels_last
