"""Samples and batches."""

import tarfile
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from conftest import draw, encoded, with_changes
from recolor_cli.color.lab import rgb_to_lab_cv2, rgb_to_lightness
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import InputError, NoInputsError, UsageError
from recolor_cli.evaluation.pictures import FileSpan, Picture, load_pictures
from recolor_cli.recolorizer import network_input
from recolor_cli.training.data import PAD_LIGHTNESS, batches, make_sample
from recolor_cli.training.picture_order import PictureOrder
from recolor_cli.types import ImageSize


def test_a_sample_is_the_picture_taken_apart(config):
    rgb = np.full((64, 64, 3), (200, 80, 60), np.uint8)
    whole = with_changes(config, long_side=[32, 32])
    lightness, ab, inside = make_sample(Picture("x", encoded(rgb, "PNG")), whole, 4, 0)
    assert lightness.shape == (1, 32, 32)
    assert ab.shape == (8, 8, 2)
    assert inside.all()
    np.testing.assert_allclose(lightness, rgb_to_lightness(rgb)[0, 0], atol=0.1)
    np.testing.assert_allclose(
        ab, np.broadcast_to(rgb_to_lab_cv2(rgb)[0, 0, 1:], ab.shape), atol=0.5
    )


@pytest.mark.parametrize("size", [(90, 60), (60, 91), (12, 80), (64, 64)])
def test_a_whole_picture_lies_as_in_a_run(shipped_config, size):
    config = with_changes(shipped_config, whole_pictures=True)
    picture = Picture("x", encoded(draw(*size), "PNG"))
    box = Letterbox.fit(ImageSize(*size), config.run_size, 32)
    expected = network_input(picture.rgb(), box, PAD_LIGHTNESS)[0]
    found = [make_sample(picture, config, 4, number) for number in range(6)]
    for lightness, color, inside in found:
        assert lightness.shape == (1, box.canvas.height, box.canvas.width)
        assert color.shape == (*inside.shape, 2)
        mirrored = expected.copy()
        mirrored[:, *box.inside] = expected[:, *box.inside][..., ::-1]
        assert min(np.abs(lightness - e).mean() for e in (expected, mirrored)) < 0.5
        area = box.inner.height * box.inner.width / 16
        assert area * 0.4 < inside.sum() <= area  # without the pixels that the rim crosses
    assert len({lightness.tobytes() for lightness, _, _ in found}) == 2  # mirrored or not


def test_whole_pictures_of_one_shape_are_a_batch(shipped_config, folder):
    config = with_changes(shipped_config, whole_pictures=True, batch_size=7)
    Image.fromarray(draw(20, 64)).save(folder / "wide.png")
    with closing(batches(load_pictures([str(folder)]), config, 4, 0)) as stream:
        shapes = [batch.lightness.shape for batch in next(stream)]
    assert sorted(shapes) == [(1, 1, 32, 64), (6, 1, 64, 64)]


def test_a_small_picture_is_padded_and_the_padding_is_known(config):
    rgb = np.full((64, 16, 3), 220, np.uint8)  # 32 x 8 of 32 x 32
    whole = with_changes(config, long_side=[32, 32])
    lightness, _, inside = make_sample(Picture("x", encoded(rgb, "PNG")), whole, 4, 0)
    padded = np.abs(lightness[0] - PAD_LIGHTNESS) < 1e-3
    assert padded.sum() == 32 * 24
    assert 8 <= inside.sum() <= 16  # one or two columns of eight, as the crop happens to lie
    assert (np.abs(lightness[0][~padded] - rgb_to_lightness(rgb)[0, 0]) < 0.1).all()


def test_an_aged_sample_has_a_worn_lightness_and_the_same_color(config):
    picture = Picture("x", encoded(draw(), "PNG"))
    for number in range(5):
        clean = make_sample(picture, config, 4, number)
        worn = make_sample(picture, with_changes(config, aged=1.0), 4, number)
        padded = clean[0] == PAD_LIGHTNESS
        np.testing.assert_array_equal(worn[0][padded], PAD_LIGHTNESS)
        np.testing.assert_array_equal(worn[1], clean[1])
        np.testing.assert_array_equal(worn[2], clean[2])
    assert not np.array_equal(worn[0], clean[0])


def test_samples_depend_on_their_number_alone(config):
    picture = Picture("x", encoded(draw(), "PNG"))
    first, again, other = (make_sample(picture, config, 4, n)[0] for n in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_batches_go_on_where_a_run_stopped(config, folder):
    pictures = load_pictures([str(folder)])
    stream, later = batches(pictures, config, 4, 0), batches(pictures, config, 4, 2)
    next(stream), next(stream)
    (batch,), (same,) = next(stream), next(later)
    np.testing.assert_array_equal(batch.lightness, same.lightness)
    stream.close(), later.close()


def test_batches_tell_photographs_by_their_names(shipped_config, folder):
    pictures = load_pictures([str(folder)])
    config = with_changes(shipped_config, photographs=("0.png", "2.png"))
    with closing(batches(pictures, config, 4, 0)) as stream:
        found = [batch.photograph for _ in range(3) for batch in next(stream)]
    assert np.concatenate(found).sum() == 2  # each once an epoch of six


def test_a_broken_picture_is_named(config):
    with pytest.raises(InputError, match=r"x\.png: .*no picture"):
        make_sample(Picture("x.png", b"bad"), config, 4, 0)


def test_a_damaged_picture_does_not_end_a_run(config):
    jpeg = encoded(draw(96, 128))
    sample = make_sample(Picture("half.jpg", jpeg[: len(jpeg) // 2]), config, 4, 0)
    assert np.isfinite(sample.lightness).all()
    with pytest.raises(InputError, match=r"half.jpg: the picture is damaged"):
        Picture("half.jpg", jpeg[: len(jpeg) // 2]).rgb()


def test_thumbnails_are_no_pictures_of_a_folder_or_a_tar_file(folder, tmp_path):
    wanted = [picture.data for picture in load_pictures([str(folder)])]
    for inner in ("@eaDir", ".thumbnails", "__MACOSX"):
        (folder / inner).mkdir()
        (folder / inner / "a.jpg").write_bytes(encoded(draw()))
    (folder / "._a.jpg").write_bytes(encoded(draw()))
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(folder, ".")
    for source in (folder, tmp_path / "all.tar"):
        assert sorted(p.data for p in load_pictures([str(source)])) == sorted(wanted)


def test_folders_and_tar_files_are_read_alike(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=f"posters/{path.name}")
    from_folder = load_pictures([str(folder)])
    from_tar = load_pictures([str(tmp_path / "sh*.tar")])
    assert [p.data for p in from_folder] == [p.data for p in from_tar]
    assert len(from_folder) == 6


def test_sources_that_hold_nothing_are_errors(tmp_path):
    with pytest.raises(NoInputsError):
        load_pictures([str(tmp_path / "gone")])
    with pytest.raises(NoInputsError):
        load_pictures([str(tmp_path)])
    (tmp_path / "x.tar").write_bytes(b"bad")
    with pytest.raises(InputError, match=r"x\.tar"):
        load_pictures([str(tmp_path / "x.tar")])


def test_pictures_are_read_only_when_they_are_needed(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(folder, arcname="posters")
    found = load_pictures([str(folder), str(tmp_path / "shard.tar")])
    assert all(isinstance(picture.source, FileSpan) for picture in found)
    (tmp_path / "shard.tar").unlink()
    with pytest.raises(InputError, match=r"shard\.tar:posters/.*: cannot be read"):
        found[-1].rgb()


def drawn_names(pictures, config, samples):
    order = PictureOrder(pictures, config)
    return [pictures[order.picture_of(number)].name for number in range(samples)]


def test_an_epoch_shows_each_picture_once_in_an_order_of_its_own(config):
    pictures = [Picture(str(i), b"") for i in range(50)]
    names = drawn_names(pictures, config, 100)
    assert sorted(names[:50]) == sorted(names[50:]) == sorted(p.name for p in pictures)
    assert names[:50] != names[50:]
    assert names == drawn_names(pictures, config, 100)
    assert names != drawn_names(pictures, with_changes(config, seed=9), 100)


def test_groups_get_their_shares_and_show_all_before_one_again(config):
    pictures = [
        Picture(f"{part}/{i}", b"") for part, n in (("a", 7), ("b", 90), ("c", 3)) for i in range(n)
    ]
    shared = with_changes(config, shares={"a/": 1, "b/": 3.0})
    names = drawn_names(pictures, shared, 4 * 97)
    counts = Counter(name[0] for name in names)
    assert counts == {"a": 4 * 24, "b": 4 * 73}  # c belongs to no share
    of_a = [Counter(names)[f"a/{i}"] for i in range(7)]
    assert max(of_a) - min(of_a) <= 1
    half = Counter(name[0] for name in names[:97])
    assert half == {"a": 24, "b": 73}


def test_shares_want_pictures_and_positive_numbers(config):
    with pytest.raises(NoInputsError, match="no picture is left for z/"):
        PictureOrder([Picture("a/1", b"")], with_changes(config, shares={"a/": 1.0, "z/": 1.0}))
    pictures = [Picture(f"{part}/{i}", b"") for part, n in (("a", 36), ("b", 4)) for i in range(n)]
    with pytest.raises(NoInputsError, match="share of b/ is less than one of 40 pictures"):
        PictureOrder(pictures, with_changes(config, shares={"a/": 0.99, "b/": 0.01}))
    with pytest.raises(UsageError, match="shares must be positive"):
        with_changes(config, shares={"a/": 0.0})
    with pytest.raises(UsageError, match=r"shares\.a must be of type float, not 'much'"):
        with_changes(config, shares={"a": "much"})
