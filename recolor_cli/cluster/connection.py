"""Connect this process to a Ray cluster, or start one on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from recolor_cli.cluster.address import RUNNING, THIS_MACHINE, host_and_port
from recolor_cli.errors import RecolorError
from recolor_cli.system.capture import capture_output
from recolor_cli.system.device import cpu_count

_SECONDS_TO_ANSWER = 5  # of the head. Ray itself tries for minutes, and then ends the process
_OBJECTS = 100 * 2**20  # bytes for Ray's objects on this machine. Outcomes are small

# Of a cluster that this process starts.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report the run to its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # actors without a card see none, and no warning
    "RAY_worker_niceness": "0",  # Ray's 15 is for a cluster, not for one's own machine
}
_NO_NODE_HERE = (  # what several versions of Ray say
    "No node info found matching attributes",
    "cannot find a local Raylet",
    "node_ip_address.json",
)
_START_ADVICE = "start a node there with `ray start --head`, or leave the address out"


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster while the block runs.

    Parameters
    ----------
    address : str
        Of a running cluster, HOST:PORT or ``auto``; ``local`` starts one on this machine, which
        ends with the block.

    Raises
    ------
    ImportError
        If ray is missing.
    RecolorError
        If there is no cluster, or this machine or its versions do not belong to it.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if address not in (THIS_MACHINE, RUNNING):
        _check_answers(address)
    try:
        # Ray prints what it does, also to stdout, which is for data.
        with capture_output():
            if address == THIS_MACHINE:
                ray.init(
                    "local",
                    num_cpus=cpu_count(),
                    include_dashboard=False,
                    object_store_memory=_OBJECTS,
                    log_to_driver=False,
                    configure_logging=False,
                )
            else:
                ray.init(address, log_to_driver=False, configure_logging=False)
            _silence()
    except (Exception, SystemExit) as error:
        raise _explain(address, error) from error
    try:
        yield
    finally:
        with capture_output():
            ray.shutdown()


def _silence() -> None:
    """Keep Ray from printing the deaths of workers, which are reported by picture here."""
    import ray._private.worker as driver

    # Ray has no setting for this: its thread calls the function by its name in the module.
    driver.print_to_stdstream = lambda data, ignore_prefix: None


def _check_answers(address: str) -> None:
    try:
        socket.create_connection(host_and_port(address), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecolorError(f"no cluster answers at {address}: {reason}", _START_ADVICE) from error


def _explain(address: str, error: BaseException) -> RecolorError:
    """Translate an error of Ray's for the user."""
    text = " ".join(str(error).split())
    if "Version mismatch" in text:
        versions = text.partition("Version mismatch:")[2].strip()
        return RecolorError(
            f"this machine and the cluster differ: {versions}",
            "install the same versions of Ray and Python on all machines",
        )
    if "Could not find any running Ray instance" in text:
        return RecolorError("no cluster runs on this machine", _START_ADVICE)
    if address == THIS_MACHINE:
        return RecolorError(
            f"Ray did not start on this machine: {text or type(error).__name__}",
            "it is busy or short of memory; try again, or leave --cluster out",
        )
    if any(words in text for words in _NO_NODE_HERE):
        return RecolorError(
            f"this machine is no node of the cluster at {address}",
            f"join it first: ray start --num-cpus 0 --address {address}",
        )
    return RecolorError(
        f"the cluster at {address} cannot be used: {text or type(error).__name__}",
        "see what `ray status` says",
    )
