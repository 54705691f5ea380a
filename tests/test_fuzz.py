import subprocess
import sys
from pathlib import Path

import fuzz


def test_every_file_that_is_fuzzed_is_sound_before():
    assert {name: fuzz.outcome_of(data) for name, data in fuzz.corpus()} == {
        name: "result" for name, _ in fuzz.corpus()
    }


def test_directories_of_a_tiff_that_lead_back_into_themselves_end():
    _, data = fuzz.changed(1, 282)
    assert fuzz.outcome_of(data) == "clear error"


def test_a_seed_gives_the_same_inputs():
    assert fuzz.changed(7, 11) == fuzz.changed(7, 11)
    assert fuzz.changed(7, 11) != fuzz.changed(8, 11)


def test_what_goes_wrong_is_found(monkeypatch, capsys):
    def crash(data):
        raise RuntimeError("oh")

    monkeypatch.setattr(fuzz, "outcome_of", crash)
    # The limit is for good, and no browser starts within it.
    monkeypatch.setattr(fuzz.resource, "setrlimit", lambda *_: None)
    fuzz.work(1, range(1))
    assert "FOUND RuntimeError: oh" in capsys.readouterr().out


def test_a_thousand_broken_files():
    script = Path(fuzz.__file__)
    process = subprocess.run(
        [sys.executable, str(script), "--inputs", "1000"], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout
    assert "clear error" in process.stdout
    assert "result" in process.stdout
