"""Results say how they were made, and a run tells when a result was made otherwise."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL.PngImagePlugin import PngInfo
from test_xmp import BROKEN, SOURCE

from conftest import SpyNetwork, draw, drawn, encoded
from recolor_cli.batch.outcome import Report, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.run import dry_run, run_with_workers
from recolor_cli.batch.run_provenance import describe_colors
from recolor_cli.batch.threads import ThreadWorkers
from recolor_cli.errors import ExitCode
from recolor_cli.guidance.hint_files import load_hints
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.provenance import (
    DIGITAL_SOURCE_TYPE,
    Provenance,
    digest_of_data,
    digest_of_file,
)
from recolor_cli.image.xmp_reader import read_provenance, read_xmp
from recolor_cli.recolorizer import Recolorizer

RUN = Provenance(model="fake", model_digest="aa", version="1.2", options=(("strength", "1"),))
OPTIONS = OutputOptions(provenance=RUN)


def made(path) -> Provenance | None:
    return read_provenance(read_xmp(str(path)))


def do(inputs, manifest, options=OPTIONS, recolor=None):
    """Recolor with a network that answers at once, and return the outcomes."""
    recolorizer = Recolorizer(SpyNetwork(manifest, (24.0, 8.0)), recolor or RecolorOptions())
    workers = ThreadWorkers(recolorizer, options, 1)
    return list(run_with_workers(plan([str(i) for i in inputs], True, options), options, workers))


@pytest.mark.parametrize("size", [0, 1, 5, 1023, 1024, 5000, 100_000])
def test_the_digest_of_a_file_is_that_of_its_bytes(size, tmp_path):
    path, data = tmp_path / "a", os.urandom(size)
    path.write_bytes(data)
    assert digest_of_file(str(path)) == digest_of_data(data)
    assert digest_of_data(data).startswith(f"{size}-")
    if size > 1000:
        assert digest_of_data(data[:500] + b"?" + data[501:]) != digest_of_data(data)


def test_what_is_no_file_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        assert digest_of_file(str(tmp_path / name)) == ""


def test_differences_are_told(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    old = RUN.of_source(str(path), digest_of_data(b"one"))
    new = replace(RUN, version="1.3")
    source = (str(path), str(path))
    assert old.difference(new, *source) == ""
    assert old.difference(new, "-") == ""
    assert old.difference(new, str(tmp_path / "missing"), str(tmp_path / "missing")) == ""
    assert replace(old, source="b.jpg").difference(new, *source) == ""  # it was renamed
    path.write_bytes(b"two")
    assert "made of another a.jpg" in old.difference(new, *source)
    assert replace(old, source="b.png").difference(new, *source) == "made of b.png"
    assert replace(old, source="").difference(new, *source) == "made of standard input"
    path.write_bytes(b"one")
    other = replace(new, model="film", model_digest="bb")
    assert old.difference(other, *source) == "made with the model fake instead of film"
    other = replace(new, model_digest="bb")
    assert old.difference(other, *source) == "made with another file of the model fake"
    other = replace(new, options=(("strength", "2"), ("only-gray", "")))
    assert old.difference(other, *source) == (
        "made without --only-gray, with --strength 1 instead of 2"
    )
    assert other.difference(old) == "made with --only-gray, with --strength 2 instead of 1"
    one, two, three = (
        replace(new, options=(("palette", f"{name} {digest * 16}"),))
        for name, digest in (("1950s", "a"), ("1950s", "b"), ("noir", "c"))
    )
    assert one.difference(two) == "made with another palette 1950s"
    assert one.difference(three) == "made with --palette 1950s instead of noir"
    assert "without --palette 1950s, with" in old.difference(one)


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_results_say_how_they_were_made_and_are_skipped(image_format, tmp_path, manifest):
    source = tmp_path / f"a{image_format.suffix}"
    source.write_bytes(encoded(draw(), image_format.value))
    (outcome,) = do([source], manifest)
    result = Path(outcome.job.destination)
    wanted = replace(RUN, source=source.name, source_digest=digest_of_data(source.read_bytes()))
    if image_format in (ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.AVIF):
        wanted = replace(wanted, options=(*RUN.options, ("quality", "95")))
    holds_none = image_format in (ImageFormat.BMP, ImageFormat.PPM)
    assert made(result) == (None if holds_none else wanted)
    assert not outcome.warnings
    (again,) = do([source], manifest)
    assert again.status is Status.SKIPPED
    options = replace(OPTIONS, provenance=replace(RUN, options=(("strength", "2"),)))
    (changed,) = do([source], manifest, options)
    assert changed.status is (Status.SKIPPED if holds_none else Status.MADE_OTHERWISE)


def test_a_quality_is_an_option_of_lossy_formats(tmp_path, manifest):
    paths = [tmp_path / "a.jpg", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(encoded(draw(), ImageFormat.of_suffix(path.suffix)))
    do(paths, manifest)
    found = do(paths, manifest, replace(OPTIONS, quality=80))
    assert [outcome.status for outcome in found] == [Status.MADE_OTHERWISE, Status.SKIPPED]
    assert "made with --quality 95 instead of 80" in found[0].error.message


def test_a_result_that_was_made_otherwise_is_told_and_stays(poster, manifest):
    (outcome,) = do([poster], manifest)
    result = Path(outcome.job.destination)
    data = result.read_bytes()
    poster.write_bytes(encoded(draw(seed=1)))
    options = replace(OPTIONS, compare=True, confidence=True)
    for found in (
        do([poster], manifest, options),
        list(dry_run(plan([str(poster)], False, options), options)),
    ):
        (outcome,) = found
        assert outcome.status is Status.MADE_OTHERWISE
        assert f"{result} exists, and was made of another poster.jpg" in outcome.error.message
        assert "--overwrite" in outcome.error.hint
        report = Report()
        report.add(outcome)
        assert report.exit_code is ExitCode.SOME_FAILED
        assert str(report) == "1 made otherwise"
    assert result.read_bytes() == data
    assert not poster.with_name("poster-recolored-compare.jpg").exists()
    (outcome,) = do([poster], manifest, replace(options, overwrite=True))
    assert outcome.status is Status.WRITTEN
    (outcome,) = do([poster], manifest, options)
    assert outcome.status is Status.SKIPPED


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".jp2", ".gif"])
def test_drawings_of_an_earlier_result_are_drawn_anew(suffix, tmp_path, manifest):
    source = tmp_path / f"a{suffix}"
    source.write_bytes(encoded(draw(), ImageFormat.of_suffix(suffix)))
    drawings = replace(OPTIONS, compare=True, confidence=True)
    other = replace(OPTIONS, provenance=replace(RUN, options=(("strength", "2"),)), overwrite=True)
    do([source], manifest, drawings)
    paths = [str(tmp_path / f"a-recolored-{label}{suffix}") for label in ("confidence", "compare")]
    assert made(paths[0]) == made(paths[1]) == made(tmp_path / f"a-recolored{suffix}")
    (outcome,) = do([source], manifest, other)
    assert len(outcome.warnings) == 2
    now = replace(drawings, provenance=other.provenance)
    (outcome,) = do([source], manifest, now)
    assert outcome.status is Status.SKIPPED
    assert list(outcome.written) == paths
    (outcome,) = do([source], manifest, now)
    assert not outcome.written


def test_a_sheet_tells_how_many_variants_it_shows(poster, manifest):
    def written(**options):
        (outcome,) = do([poster], manifest, replace(OPTIONS, **options))
        return [Path(path).stem.removeprefix("poster-recolored") for path in outcome.written]

    assert written(variants=3) == ["", "-2", "-3", "-variants"]
    assert written(variants=2) == ["-2", "-variants"]
    assert written(variants=3) == ["-2", "-3", "-variants"]
    assert written(variants=3) == []


def test_sources_of_one_name_and_size_are_told_apart(tmp_path, manifest):
    for folder, seed in (("one", 0), ("two", 1)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "001.tif").write_bytes(encoded(draw(seed=seed), "TIFF"))
    options = replace(OPTIONS, out=str(tmp_path / "out"))
    assert do([tmp_path / "one"], manifest, options)[0].status is Status.WRITTEN
    assert do([tmp_path / "two"], manifest, options)[0].status is Status.MADE_OTHERWISE
    assert do([tmp_path / "one"], manifest, options)[0].status is Status.SKIPPED


def test_results_without_facts_are_skipped(poster, manifest):
    do([poster], manifest, OutputOptions())
    assert made(poster.with_name("poster-recolored.jpg")) is None
    assert do([poster], manifest)[0].status is Status.SKIPPED
    poster.with_name("poster-recolored.jpg").write_bytes(b"\xff\xd8\xff\xe1broken")
    assert do([poster], manifest)[0].status is Status.SKIPPED


def test_without_provenance_nothing_is_compared(poster, manifest):
    do([poster], manifest)
    poster.write_bytes(encoded(draw(seed=1)))
    assert do([poster], manifest, OutputOptions())[0].status is Status.SKIPPED


def test_in_place_the_backup_is_the_source(poster, manifest):
    options = replace(OPTIONS, backup=".orig")
    source = poster.read_bytes()
    assert do([poster], manifest, options)[0].status is Status.WRITTEN
    assert made(poster).source == "poster.jpg"
    assert made(poster).source_digest == digest_of_data(source)
    assert do([poster], manifest, options)[0].status is Status.SKIPPED
    (outcome,) = do([poster], manifest, replace(options, quality=70))
    assert outcome.status is Status.MADE_OTHERWISE
    assert f"move {poster}.orig back" in outcome.error.hint


def test_sidecar_files_say_what_they_are(poster, manifest):
    options = replace(OPTIONS, variants=3, seed=7, confidence=True)
    do([poster], manifest, options, RecolorOptions(steering=Steering(seed=7)))
    stem = poster.with_name("poster-recolored")
    plain = made(f"{stem}.jpg")
    assert dict(plain.options) == {"strength": "1", "quality": "95"}
    third = dict(made(f"{stem}-3.jpg").options)
    assert third == {**dict(plain.options), "pick": "3", "seed": "7"}
    sheet = dict(made(f"{stem}-variants.jpg").options)
    assert sheet == {**dict(plain.options), "variants": "3"}
    assert made(f"{stem}-confidence.jpg") == plain


def test_all_pages_stay_and_the_first_speaks_for_them(tmp_path, manifest):
    import tifffile

    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for seed in range(3):
            tags = [(700, 1, len(SOURCE), SOURCE, True)]
            writer.write(draw(seed=seed), photometric="rgb", extratags=tags)
    do([path], manifest)
    with tifffile.TiffFile(tmp_path / "pages-recolored.tif") as file:
        packets = [page.tags[700].value for page in file.pages]
    assert read_provenance(packets[0]).source == "pages.tif"
    assert packets[1:] == [SOURCE, SOURCE]


def many(count: int) -> bytes:
    """Return XMP with a property of so many bytes."""
    text = b"<dc:description>" + b"x" * count + b"</dc:description>"
    return SOURCE.replace(b"<dc:description>", text + b"<dc:description>", 1)


@pytest.mark.parametrize("size", [63_000, 64_500, 90_000])
def test_large_xmp_leaves_room_in_a_jpeg(size, tmp_path, manifest):
    path = tmp_path / "a.png"
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", many(size).decode())
    path.write_bytes(encoded(draw(), "PNG", pnginfo=info))
    (outcome,) = do([path], manifest, replace(OPTIONS, format=ImageFormat.JPEG))
    assert outcome.status is Status.WRITTEN
    assert not outcome.warnings
    assert made(outcome.job.destination).source == "a.png"
    (page,) = decode_pages(Path(outcome.job.destination).read_bytes())
    assert b"x" * size in page.metadata.xmp


def test_xmp_that_cannot_be_split_stays(tmp_path, manifest):
    path = tmp_path / "a.png"
    info = PngInfo()
    comment = b"<!-- from the archive -->" + b"<!--" + b"x" * 64_550 + b"-->"
    packet = SOURCE.replace(b"<!-- from the archive -->", comment).decode()
    info.add_itxt("XML:com.adobe.xmp", packet)
    path.write_bytes(encoded(draw(), "PNG", pnginfo=info))
    (outcome,) = do([path], manifest, replace(OPTIONS, format=ImageFormat.JPEG))
    assert outcome.status is Status.WRITTEN
    (warning,) = outcome.warnings
    assert "its XMP has no room left" in warning
    assert b"x" * 64_550 in read_xmp(outcome.job.destination)


@pytest.mark.parametrize("packet", [BROKEN["cut off"], BROKEN["not well-formed"]])
def test_broken_xmp_is_kept_with_a_warning(packet, tmp_path, manifest):
    path = tmp_path / "a.webp"
    path.write_bytes(encoded(draw(), "WEBP", xmp=packet))
    (outcome,) = do([path], manifest)
    assert outcome.status is Status.WRITTEN
    (warning,) = outcome.warnings
    assert "its XMP is broken; it is kept" in warning
    assert read_xmp(outcome.job.destination) == packet
    assert do([path], manifest)[0].status is Status.SKIPPED


def test_a_name_that_is_no_text_is_written_as_far_as_it_goes(tmp_path, manifest):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\x01.png"))
    path.write_bytes(encoded(draw(), "PNG"))
    (outcome,) = do([path], manifest)
    assert made(outcome.job.destination).source == "a\ufffd\ufffd.png"
    assert do([path], manifest)[0].status is Status.SKIPPED


def test_standard_input_has_no_name():
    assert RUN.of_source("-", "3-aa").source == ""


def test_options_that_change_pixels_are_described(tmp_path):
    (tmp_path / "strokes.json").write_text('[{"x": 3, "y": 4, "color": "#ff0000"}]')
    hints = ["1,2,#00ff00", str(tmp_path / "strokes.json")]
    steering = Steering(load_palette("#c8102e,#f2c14e"), 0.5, load_hints(hints), pick=2, seed=7)
    options = RecolorOptions(0.5, 1.25, 0.4, True, draw()[..., 0], steering)
    found = dict(describe_colors(options, "masks/sky.png", "#c8102e,#f2c14e", hints))
    assert found.pop("mask").startswith("sky.png ")
    assert found.pop("palette").startswith("#c8102e,#f2c14e ")
    assert found.pop("hint").startswith("1,2,#00ff00; strokes.json ")
    assert found == {
        "strength": "1.25",
        "temperature": "0.5",
        "keep-original": "0.4",
        "only-gray": "",
        "palette-strength": "0.5",
        "pick": "2",
        "seed": "7",
    }
    assert describe_colors(RecolorOptions()) == [("strength", "1")]
    other = replace(options, mask=255 - draw()[..., 0])
    assert (
        dict(describe_colors(other, "masks/sky.png"))["mask"]
        != dict(describe_colors(options, "masks/sky.png"))["mask"]
    )


def test_the_command_tells_what_was_made_otherwise(poster, recolor):
    result = poster.with_name("poster-recolored.jpg")
    recolor(poster, "--device", "cpu")
    assert made(result).model == "poster"
    _, err = recolor(poster)
    assert "exists, skipped" in err
    _, err = recolor(poster, "-q", "--strength", "2", exit_code=1)
    assert f"{result} exists, and was made with --strength 1 instead of 2" in err
    assert "--overwrite redoes it" in err
    out, _ = recolor(poster, "-m", "film", "--json", exit_code=1)
    told = json.loads(out)
    assert told["status"] == "made otherwise"
    assert "made with the model poster instead of film" in told["error"]
    assert "--overwrite" in told["hint"]
    recolor(poster, "--strength", "2", "-n", exit_code=1)
    recolor(poster, "--strength", "2", "--no-provenance")


def test_the_command_leaves_it_out(poster, recolor):
    recolor(poster, "--device", "cpu", "--no-provenance")
    assert read_xmp(str(poster.with_name("poster-recolored.jpg"))) == b""


def test_without_it_a_result_does_not_tell_how_its_source_was_made(poster, manifest):
    do([poster], manifest)
    again = poster.with_name("again.jpg")
    again.write_bytes(poster.with_name("poster-recolored.jpg").read_bytes())
    do([again], manifest, OutputOptions(variants=2))
    for name in ("again-recolored.jpg", "again-recolored-2.jpg"):
        packet = read_xmp(str(poster.with_name(name)))
        assert read_provenance(packet) is None
        assert DIGITAL_SOURCE_TYPE.encode() in packet
        assert b"poster.jpg" not in packet


def test_many_results_that_were_made_otherwise_are_counted(tmp_path, manifest, recolor):
    folder = drawn(tmp_path / "in", 13, 20, 20)
    do([folder], manifest)
    _, err = recolor(folder, exit_code=1)
    assert err.count("made with the model fake instead of poster") == 10
    assert "3 more results exist and were made otherwise" in err
    assert "13 made otherwise" in err
    _, err = recolor(folder, "-v", exit_code=1)
    assert err.count("made with the model fake instead of poster") == 13


def test_the_demo_says_it_too(tmp_path, recolor):
    recolor("demo", "-o", tmp_path, "--device", "cpu")
    assert made(tmp_path / "recolor-demo-recolored.jpg").source == "recolor-demo.jpg"
