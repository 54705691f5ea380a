"""The training loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path

import cv2
import torch
from torch import nn

from recolor_cli.evaluation.metrics import Figures
from recolor_cli.evaluation.pictures import Picture, load_pictures
from recolor_cli.system.file_lock import open_locked, remove_locked
from recolor_cli.system.files import write_atomic, write_error
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import batches, select_pictures
from recolor_cli.training.model_wrapper import TorchColorNetwork
from recolor_cli.training.objectives import make_objective
from recolor_cli.training.progress import LOG, ProgressLog, TrainingProgress
from recolor_cli.training.run_state import CHECKPOINT, RunState, open_run
from recolor_cli.training.torch_device import computes_in_bfloat16, select_torch_device
from recolor_cli.training.validation import draw_sample_sheet, load_validation_pictures, measure

_SHEET_PICTURES = 8


def train(
    config: TrainConfig,
    out: Path,
    device: str,
    init: str | None = None,
    report: Callable[[TrainingProgress], None] = lambda progress: None,
    report_every_s: float = 5.0,
    interrupts: AbstractContextManager[threading.Event] | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> bool:
    """Train a network, or resume its training.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        Folder of the run: ``checkpoint.pt``, ``log.jsonl`` and ``samples-*.png``. A run resumes
        from the checkpoint of the same config.
    device : str
        ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
    init : str or None
        Weights that a new run starts from: a checkpoint of another run, a weights file or a model,
        by name or path. Their prior is kept. Of a network with the same trunk and another decoder,
        only the trunk is taken.
    report : callable
        Gets the progress every few seconds and after each validation.
    report_every_s : float
        Seconds between two reports.
    interrupts : context manager of threading.Event, or None
        Entered while steps are taken. Once its event is set, the current step is completed and
        saved, and the training returns. An exception instead could come between the change of the
        weights and the count of the step.
    warn : callable
        Gets a message for each picture that cannot be read, and one if a resumed run finds other
        pictures than it began with, or values of the config have no effect. The samples of a
        picture that cannot be read are left out.

    Returns
    -------
    bool
        Whether the training is finished; False after an interrupt.

    Raises
    ------
    UsageError
        If `out` holds a run of another config, or of other initial weights.
    NoInputsError, InputError
        If there are no pictures, or none of a step can be read.
    OutputError
        If `out` cannot be written, or another run trains in it.
    ModelError
        If initial weights cannot be read, or do not fit the network; if the weights become NaN.
    DeviceError
        If CUDA is requested and torch has none.

    Notes
    -----
    The network runs in bfloat16 where the hardware has it (on one CPU: 1.6 times as fast), and
    channels last except in bfloat16 on a CPU, where that was slower.
    """
    torch_device = select_torch_device(device)
    with _lock(out):
        return _train(config, out, torch_device, init, report, report_every_s, interrupts, warn)


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Make the folder of a run, and keep other runs out of it."""
    path = out / ".lock"
    try:
        lock = open_locked(
            path,
            f"another run trains in {out} at this moment",
            "wait for it, or choose another --out",
        )
    except OSError as error:
        raise write_error(out, error) from error
    try:
        yield
    finally:
        remove_locked(lock, path)
        with suppress(OSError):  # it has files, unless the run could not begin
            out.rmdir()


def _train(
    config: TrainConfig,
    out: Path,
    device: torch.device,
    init: str | None,
    report: Callable[[TrainingProgress], None],
    report_every_s: float,
    interrupts: AbstractContextManager[threading.Event] | None,
    warn: Callable[[str], None],
) -> bool:
    if idle := config.keys_without_effect:
        warn(f"{', '.join(idle)} of the config: without effect on this run")
    bfloat16 = computes_in_bfloat16(device)
    cv2.setNumThreads(1)  # our own threads make the samples
    pictures = select_pictures(load_pictures(config.train), config.only)
    validation = load_validation_pictures(config.validation, config.validation_pictures)
    run = open_run(config, out / CHECKPOINT, init, pictures, device, warn)
    objective = make_objective(run, pictures)
    if run.is_finished:
        return True

    network = run.network.train()
    if not objective.trains_norms:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    log = ProgressLog(out / LOG, run, report, report_every_s)
    with (
        interrupts or nullcontext(threading.Event()) as interrupt,
        closing(
            batches(pictures, config, network.output_stride, run.step, network.space, warn)
        ) as stream,
    ):
        while not (run.is_finished or interrupt.is_set()):
            samples = log.next_samples(stream)
            # Chance depends on the step alone, so that a resumed run equals an uninterrupted one.
            torch.manual_seed((config.seed << 32) + run.step)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                prediction, target = objective.predict(samples)
            loss = objective.loss(prediction.float(), target)
            run.take_step(loss)

            validates = run.is_due(config.validate_every) or run.is_finished
            if validates or run.is_due(config.checkpoint_every):
                run.save()  # first: a validation takes long, and is not asked to end early
            figures = None
            if validation and validates and (run.is_finished or not interrupt.is_set()):
                figures = run.figures = _validate(run, validation, out)
            log.add(loss, figures)
        run.save()
    return run.is_finished


def _validate(run: RunState, pictures: Sequence[Picture], out: Path) -> Figures:
    """Measure the averaged network, and write a sheet of some of its results."""
    network = TorchColorNetwork(run.average.module, run.manifest())
    figures = measure(network, pictures)
    sheet = draw_sample_sheet(network, pictures[:_SHEET_PICTURES])
    write_atomic(out / f"samples-{run.samples:09d}.png", sheet)
    return figures
