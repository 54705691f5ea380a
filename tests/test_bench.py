import json
import math
from contextlib import closing

import numpy as np
import pytest

from conftest import SpyNetwork, draw, encoded
from recolor_cli.batch.done import MissingOutputs
from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import WorkerConfig
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.evaluation import bench as room
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.decode import decode
from recolor_cli.model.manifest import find_model


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(room, "_ROUNDS", 1)
    monkeypatch.setattr(room, "_STARTS", 1)
    monkeypatch.setattr(room, "_RUN_SECONDS", 0.01)


def test_pictures_have_the_size_asked_for_and_differ(tmp_path):
    paths = room.make_pictures(encoded(draw(90, 60)), 0.05, 2, tmp_path)
    pictures = [decode(path.read_bytes()).rgb for path in paths]
    for rgb in pictures:
        assert rgb.shape[0] * rgb.shape[1] == pytest.approx(50_000, rel=0.03)
        assert rgb.shape[0] / rgb.shape[1] == pytest.approx(1.5, rel=0.05)
    assert (pictures[0] != pictures[1]).mean() > 0.5


def setup(model="fruitnet"):
    return WorkerConfig(model, "cpu", 2, None, RecolorOptions(), OutputOptions(overwrite=True))


def test_throughput_counts_pictures_and_names_stages(tmp_path):
    paths = room.make_pictures(encoded(draw()), 0.02, 3, tmp_path)
    (found,) = room.measure_throughput(paths, "0.02 MP", {"fruitnet": setup()})
    assert found.ratio == pytest.approx(found.full / found.codec)
    assert found.ratio > 0
    assert found.codec > 0
    assert found.full > 0
    assert 0 < found.share < 1
    assert {"decode", "network", "color", "encode"} < set(found.stages)
    assert all(path.exists() for path in paths)


def test_a_slow_network_is_told_from_a_fast_one(manifest):
    class Slow(SpyNetwork):
        def predict(self, lightness, temperature):
            for _ in range(40):
                np.sort(np.random.default_rng(0).random(100_000))
            return super().predict(lightness, temperature)

    networks = {"fast": SpyNetwork(manifest), "slow": Slow(manifest)}
    found = {(n.model, n.batch): n for n in room.measure_networks(networks, [1, 2], 1)}
    assert found["fast", 1].ratio == 1
    assert found["slow", 1].ratio < 0.5
    assert found["slow", 1].rate > 0
    assert networks["fast"].seen[-1][0].shape == (2, 1, 64, 64)


def test_the_first_network_is_the_measure_also_when_rounds_are_few(manifest, monkeypatch):
    rates = iter([1.0, 1.0, 8.0, 2.0, 10.0, 5.0])  # of the warming round, and of two more
    monkeypatch.setattr(room, "_rounds", lambda: range(3))
    monkeypatch.setattr(room, "_rate", lambda *_: next(rates))
    networks = dict.fromkeys(("a", "b"), SpyNetwork(manifest))
    found = room.measure_networks(networks, [1], 1)
    assert [(n.model, n.rate) for n in found] == [("a", 9.0), ("b", 3.5)]
    assert [n.ratio for n in found] == [1, pytest.approx(3.5 / 9)]


def test_without_a_model_pictures_stay_as_they_are(tmp_path):
    (path,) = room.make_pictures(encoded(draw()), 0.02, 1, tmp_path)
    result = tmp_path / "result.png"
    with closing(ProcessWorkers(setup(), preamble=room._NO_COLOR)) as workers:
        outcome = workers.submit(Job(str(path), str(result)), MissingOutputs(True)).result()
    assert outcome.error is None
    assert (decode(result.read_bytes()).rgb == decode(path.read_bytes()).rgb).all()


def test_a_picture_that_fails_is_an_error(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"once upon a time")
    with pytest.raises(InputError, match=r"broken\.jpg: "):
        room.measure_throughput([tmp_path / "broken.jpg"], "x", {"fruitnet": setup()})


def test_a_process_that_fails_is_an_error(tmp_path):
    with pytest.raises(RecolorError, match="a process failed"):
        room.measure_start(tmp_path / "gone.jpg", "x", "fruitnet", "fruitnet", "cpu")


def test_the_command(recolor, poster):
    out, _ = recolor("bench", poster, "-m", "fruitnet", "--device", "cpu", "--json", "-q", "-b", 1)
    found = json.loads(out)
    assert found["device"] == "cpu"
    (throughput,), (network,), (start,) = found["throughput"], found["networks"], found["starts"]
    assert throughput["pictures"] == "as they are"
    assert network["rate"] > 0
    assert 0.3 < start["ratio"] < 30
    assert 20 < start["peak"] < 1000 or math.isnan(start["peak"])
    table, _ = recolor("bench", "--megapixels", 0.02, "-m", "fruitnet", "--device", "cpu", "-b", 1)
    assert b"0.02 MP" in table
    assert b"of a bare script" in table


def test_models_of_one_name_are_told_apart(recolor, poster, tmp_path):
    model = find_model("fruitnet")
    copy = tmp_path / model.name
    copy.write_bytes(model.read_bytes())
    models = ("-m", model, "-m", copy, "-m", copy)
    out, _ = recolor("bench", poster, *models, "--device", "cpu", "--json", "-q", "-b", 1)
    assert [n["model"] for n in json.loads(out)["networks"]] == [str(model), str(copy)]
