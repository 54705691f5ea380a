"""`recolor bench`: how fast the program is here."""

from __future__ import annotations

from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS, device_option, json_option, quiet_option
from recolor_cli.errors import ExitCode, NoInputsError


@click.command(context_settings=SETTINGS)
@click.argument("pictures", nargs=-1, metavar="[PICTURE...]")
@click.option(
    "-m",
    "--model",
    "models_",
    envvar="RECOLOR_MODEL",
    multiple=True,
    help="A name, an .onnx file or the .toml profile of somebody else's; repeatable. [poster]",
)
@click.option(
    "--megapixels",
    type=click.FloatRange(0.01, 1000),
    multiple=True,
    help="Sizes that pictures are made in; repeatable. [0.5, 1.5, 6 and 24]",
)
@click.option(
    "-b",
    "--batch",
    "batches",
    type=click.IntRange(1, 256),
    multiple=True,
    help="Pictures in a run of the network alone; repeatable. [1 and 4]",
)
@click.option("-j", "--jobs", type=click.IntRange(1, 256), help="As for run.")
@json_option
@device_option
@quiet_option
def bench(
    pictures: tuple[str, ...],
    models_: tuple[str, ...],
    megapixels: tuple[float, ...],
    batches: tuple[int, ...],
    jobs: int | None,
    as_json: bool,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Time the program beside itself without recoloring, and its start beside a bare script.

    With PICTUREs, on these as they are; else on JPEGs made of the one that comes along. It
    takes about a minute a model on two CPUs; ratios first, for other programs may be running.
    """
    import tempfile

    from recolor_cli.batch.messages import WorkerConfig
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.batch.plan import plan
    from recolor_cli.batch.sizing import pictures_at_a_time
    from recolor_cli.batch.threads import share_cpus
    from recolor_cli.evaluation import bench as room
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.system.device import Device, cpu_count
    from recolor_cli.terminal.console import Console

    console = Console(quiet)
    names = tuple(dict.fromkeys(models_)) or ("poster",)  # named twice is timed once
    stems = [Path(name).stem if Path(name).suffix else name for name in names]
    keys = [
        stem if stems.count(stem) == 1 else name for name, stem in zip(names, stems, strict=True)
    ]
    output = OutputOptions(overwrite=True)
    setups = {
        key: WorkerConfig(name, device, jobs, None, RecolorOptions(), output)
        for key, name in zip(keys, names, strict=True)
    }
    threads = share_cpus(jobs or cpu_count())
    networks = {
        key: OnnxColorNetwork.load(name, device, threads)
        for key, name in zip(keys, names, strict=True)
    }
    used = networks[keys[0]].device
    count = pictures_at_a_time(setups[keys[0]], on_gpu=used != Device.CPU)
    result = room.Benchmark(used, count)
    with tempfile.TemporaryDirectory() as folder:
        sets: dict[str, list[Path]] = {}
        if pictures:
            planned = plan(pictures, True, OutputOptions(out=folder))
            sets["as they are"] = [Path(job.source) for job in planned if not job.error]
            if not sets["as they are"]:
                raise NoInputsError("no picture can be read", "name others")
        else:
            demo = (Path(__file__).parent.parent / "demo.jpg").read_bytes()
            for size in megapixels or (0.5, 1.5, 6.0, 24.0):
                count = max(2, min(16, round(24 / size)))
                sets[f"{size:g} MP"] = room.make_pictures(demo, size, count, Path(folder))
        steps = 1 + len(sets) * (1 + len(networks))
        with console.progress(steps, "steps", "timing") as bar:
            result.networks = room.measure_networks(networks, batches or (1, 4), count)
            bar.advance()
            for label, paths in sets.items():
                result.throughput += room.measure_throughput(paths, label, setups)
                bar.advance()
                for name, key in zip(names, networks, strict=True):
                    result.starts.append(room.measure_start(paths[0], label, key, name, device))
                    bar.advance()
    if as_json:
        console.json(result.to_json())
        return ExitCode.OK
    console.data(f"{result.device}, {result.workers} pictures at a time\n")
    stages = list(result.throughput[0].stages)
    console.table(
        (
            "pictures",
            "model",
            "of no recoloring",
            "pictures/s",
            "without",
            "codecs' share",
            *stages,
        ),
        [
            (
                t.pictures,
                t.model,
                f"{t.ratio:.2f}",
                f"{t.full:.1f}",
                f"{t.codec:.1f}",
                f"{t.share:.2f}",
                *(f"{t.stages[stage]:.1f} ms" for stage in stages),
            )
            for t in result.throughput
        ],
    )
    console.data("")
    console.table(
        ("network alone", "in a run", "of the first", "pictures/s"),
        [(n.model, str(n.batch), f"{n.ratio:.2f}", f"{n.rate:.1f}") for n in result.networks],
    )
    console.data("")
    console.table(
        (
            "one picture",
            "model",
            "of a bare script",
            "from start to end",
            "bare",
            "peak",
            "--version",
        ),
        [
            (
                s.pictures,
                s.model,
                f"{s.ratio:.2f}",
                f"{s.seconds:.2f} s",
                f"{s.bare:.2f} s",
                f"{s.peak:.0f} MB",
                f"{s.version:.2f} s",
            )
            for s in result.starts
        ],
    )
    return ExitCode.OK
