import pytest

from recolor_cli.errors import UsageError
from recolor_cli.system.device import Device, parse_device


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("auto", (Device.AUTO, 0)),
        ("cpu", (Device.CPU, 0)),
        ("cuda", (Device.CUDA, 0)),
        ("cuda:3", (Device.CUDA, 3)),
        ("CPU", (Device.CPU, 0)),
    ],
)
def test_devices(name, device):
    assert parse_device(name) == device


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_other_devices_are_refused(name):
    with pytest.raises(UsageError, match="no device"):
        parse_device(name)
