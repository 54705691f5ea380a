import os
import sys

from recolor_cli.system.capture import capture_output


def test_captured_output_comes_back(capfd):
    with capture_output() as lines:
        print("one")  # noqa: T201
        sys.stdout.flush()
        os.write(2, b"two\n")
    assert lines == ["one", "two"]
    assert capfd.readouterr() == ("", "")
