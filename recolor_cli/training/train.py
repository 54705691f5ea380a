"""The training loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import cv2
import torch

from recolor_cli.evaluation.metrics import Figures
from recolor_cli.evaluation.pictures import Picture, load_pictures
from recolor_cli.system.files import write_atomic
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

    Returns
    -------
    bool
        Whether the training is finished; False after an interrupt.

    Raises
    ------
    UsageError
        If `out` holds a run of another config.
    NoInputsError, InputError
        If there are no pictures, or one is broken.
    ModelError
        If initial weights cannot be read, or do not fit the network.
    DeviceError
        If CUDA is requested and torch has none.

    Notes
    -----
    The network runs in bfloat16 where the hardware has it (on one CPU: 1.6 times as fast), and on
    CUDA channels-last; on a CPU that was slower.
    """
    torch_device = select_torch_device(device)
    bfloat16 = computes_in_bfloat16(torch_device)
    cv2.setNumThreads(1)  # our own threads make the samples
    pictures = select_pictures(load_pictures(config.train), config.only)
    validation = load_validation_pictures(config.validation, config.validation_pictures)
    out.mkdir(parents=True, exist_ok=True)
    run = open_run(config, out / CHECKPOINT, init, pictures, torch_device)
    objective = make_objective(run, pictures)
    if run.is_finished:
        return True

    network = run.network.train(objective.trains_norms)
    log = ProgressLog(out / LOG, run, report, report_every_s)
    with (
        interrupts or nullcontext(threading.Event()) as interrupt,
        closing(
            batches(pictures, config, network.output_stride, run.step, network.space)
        ) as stream,
    ):
        while not (run.is_finished or interrupt.is_set()):
            samples = log.next_samples(stream)
            # Chance depends on the step alone, so that a resumed run equals an uninterrupted one.
            torch.manual_seed((config.seed << 32) + run.step)
            with torch.autocast(torch_device.type, torch.bfloat16, enabled=bfloat16):
                prediction, target = objective.predict(samples)
            loss = objective.loss(prediction.float(), target)
            run.take_step(loss)

            figures = None
            if validation and (run.is_due(config.validate_every) or run.is_finished):
                figures = run.figures = _validate(run, validation, out)
            log.add(loss, figures)
            if run.is_due(config.checkpoint_every):
                run.save()
        run.save()
    return run.is_finished


def _validate(run: RunState, pictures: Sequence[Picture], out: Path) -> Figures:
    """Measure the averaged network, and write a sheet of some of its results."""
    network = TorchColorNetwork(run.average.module, run.manifest())
    figures = measure(network, pictures)
    sheet = draw_sample_sheet(network, pictures[:_SHEET_PICTURES])
    write_atomic(out / f"samples-{run.samples:09d}.png", sheet)
    return figures
