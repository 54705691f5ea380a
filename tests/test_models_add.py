"""`recolor models add` and `remove`, against a server here that cuts, lies and stalls."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import requests
from model_server import (
    fails,
    gives,
    network,
    redirects,
    reply,
    serving,
    stalls,
    trickles,
)

from conftest import draw, names, pixels
from recolor_cli import Recolorizer
from recolor_cli.errors import ModelError
from recolor_cli.model import download
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.onnx_fields import has_external_data
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import (
    PROFILES,
    added_folder,
    available_models,
    find_model,
    part_path,
)
from recolor_cli.system.file_lock import open_locked

FORMS = {  # input, channels of the output
    "eccv16": ((1, 1, 256, 256), 2),
    "siggraph17": ((1, 1, 256, 256), 2),
    "ddcolor": ((1, 3, 256, 256), 2),
    "ddcolor-artistic": ((1, 3, "height", "width"), 2),
    "deoldify": ((1, 3, 256, 256), 3),
    "deoldify-artistic": ((1, 3, 512, 512), 3),
    "deoldify-stable": ((1, 3, "height", "width"), 3),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Return the folder of models, which is empty, with short pauses in downloads."""
    monkeypatch.setenv("RECOLOR_MODELS", str(tmp_path / "models"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "PAUSES", (0.0,) * 3)
    monkeypatch.setattr(download, "STALL_TIMEOUT", 0.3)
    return tmp_path / "models"


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def data(tmp_path) -> bytes:
    """Return a file of DDColor's form."""
    return network(tmp_path / "net.onnx", *FORMS["ddcolor"])


def listed(recolor, name: str) -> dict:
    out, _ = recolor("models", "--json")
    (found,) = [m for m in map(json.loads, out.splitlines()) if m["name"] == name]
    return found


@pytest.mark.parametrize("name", PROFILES)
def test_each_known_network_is_added_and_colors(recolor, tmp_path, server, folder, poster, name):
    factor = 100 if "ddcolor" in name else 0.5  # of gray in 0..1, and of L* or 0..255
    data = network(tmp_path / "net.onnx", *FORMS[name], factor)
    digest = hashlib.sha256(data).hexdigest()
    address = server.address("/net.onnx", gives(data))
    out, err = recolor("models", "add", name, address, "--sha256", digest)
    profile = ForeignProfile.load(PROFILES[name])
    assert out.decode().strip() == str(folder / f"{name}.onnx")
    for words in (profile.license, profile.citation, address, "0.2 MB", f"-m {name}"):
        assert words in err
    assert names(folder) == [
        ".checksums.json", f"{name}.json", f"{name}.onnx", f"{name}.toml",
    ]  # fmt: skip
    recolor(poster, "-m", name, "-o", tmp_path / "new.png", "--device", "cpu")
    assert np.ptp(pixels(tmp_path / "new.png").astype(int), axis=-1).max() > 5
    assert Recolorizer(name, device="cpu").recolor(draw()).shape == draw().shape


def test_all_known_networks_may_be_used_commercially_and_are_described():
    for path in PROFILES.values():
        profile = ForeignProfile.load(path)
        assert profile.license in ("MIT", "BSD-2-Clause", "Apache-2.0")
        assert profile.source.startswith("https://")
        assert profile.source.endswith(".onnx")
        assert profile.citation
        assert profile.file == f"{path.stem}.onnx"


def test_the_page_lists_the_known_networks():
    page = (Path(__file__).parents[1] / "docs/models.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in page.splitlines()]
    licenses = {row[1]: row[3] for row in rows if len(row) == 7}
    assert {name: licenses[name] for name in PROFILES} == {
        name: ForeignProfile.load(path).license for name, path in PROFILES.items()
    }


def test_license_and_source_are_shown_before_the_first_byte(server, data, folder, capfd):
    seen = []

    def answer(handler):
        seen.append(capfd.readouterr().err)
        gives(data)(handler)

    from recolor_cli.cli import main

    address = server.address("/net.onnx", answer)
    assert main(["models", "add", "ddcolor", address]) == 0
    assert "Apache-2.0" in seen[0]
    assert address in seen[0]


def test_what_was_added_is_listed(recolor, server, data, tmp_path):
    address = server.address("/net.onnx", gives(data))
    _, err = recolor("models", "add", "ddcolor", address)
    assert "no SHA-256 is published; that of this file is recorded" in err
    found = listed(recolor, "ddcolor")
    assert found["source"] == address
    assert found["verified"] == "recorded"
    assert found["added"] is True
    assert found["sha256"] == hashlib.sha256(data).hexdigest()
    assert found["size"] == 256  # of the file, not the larger one of the profile
    assert found["license"] == "Apache-2.0"
    assert found["input"] == "gray"
    assert listed(recolor, "poster")["added"] is False
    out, _ = recolor("models")
    assert f"ddcolor  recorded  {address}" in out.decode().splitlines()
    out, _ = recolor("doctor")
    assert "ddcolor" in out.decode().split("added ones")[1].splitlines()[0]


def test_what_was_removed_is_gone_and_its_checksum_is_remembered(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data))
    recolor("models", "add", "ddcolor", address)
    _, err = recolor("models", "add", "ddcolor", address, exit_code=2)
    assert "recolor models remove ddcolor" in err
    recolor("models", "remove", "ddcolor")
    assert names(folder) == [".checksums.json"]
    assert "ddcolor" not in available_models()
    with pytest.raises(ModelError) as caught:
        find_model("ddcolor")
    assert caught.value.hint == "add it: recolor models add ddcolor"
    _, err = recolor("models", "add", "ddcolor", address)
    assert "same as at the first download" in err
    recolor("models", "remove", "ddcolor")
    server.address("/net.onnx", gives(data + b"\x32\x00"))  # an empty field of text
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "another SHA-256 than it had at the first download" in err
    digest = err.split("--sha256 ")[1].split(";")[0]
    count = len(server.requests)
    recolor("models", "add", "ddcolor", address, "--sha256", digest)
    assert len(server.requests) == count  # what had come was kept
    assert listed(recolor, "ddcolor")["verified"] == "given"


def test_an_empty_name_is_told(recolor):
    _, err = recolor("models", "remove", "", exit_code=2)
    assert "the model's name is empty" in err


@pytest.mark.parametrize("name", ["poster", "nothing"])
def test_only_what_was_added_is_removed(recolor, name):
    _, err = recolor("models", "remove", name, exit_code=2)
    assert name in err
    assert find_model("poster").is_file()


def test_a_path_is_no_name_of_a_model_to_remove(recolor, tmp_path, folder):
    own = [tmp_path / f"own/net{ending}" for ending in (".onnx", ".toml", ".json")]
    own[0].parent.mkdir()
    for path in own:
        path.write_text("{}")
    folder.mkdir(exist_ok=True)
    for name in (str(tmp_path / "own/net"), os.path.relpath(tmp_path / "own/net", folder)):
        _, err = recolor("models", "remove", name, exit_code=2)
        assert "no model" in err
    assert all(path.exists() for path in own)


def test_an_address_that_is_none_is_told(recolor, folder):
    _, err = recolor("models", "add", "ddcolor", "https://example..com/net.onnx", exit_code=4)
    assert "is no address" in err


def test_a_cut_is_mended_in_the_same_run(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 50_000]))
    _, err = recolor("models", "add", "ddcolor", address)
    assert err.count("trying again") == 2
    assert [wanted for _, wanted in server.requests] == ["", "bytes=70000-", "bytes=120000-"]
    assert (folder / "ddcolor.onnx").read_bytes() == data


def test_a_cut_that_lasts_is_told_and_the_next_run_goes_on(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 0, 0, 0]))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "ended after 70,000 of the 200,269 promised bytes" in err
    assert "it goes on from there" in err
    assert "recolor models add ddcolor /path/to/file.onnx" in err
    assert "ddcolor" not in available_models()
    _, err = recolor("models")
    assert "70,000 bytes of an unfinished download; the command that began it goes on" in err
    recolor("models", "add", "ddcolor", address)
    assert server.requests[-1] == ("/net.onnx", "bytes=70000-")
    assert (folder / "ddcolor.onnx").read_bytes() == data


def test_an_unfinished_download_is_removed(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 0, 0, 0]))
    recolor("models", "add", "ddcolor", address, exit_code=4)
    recolor("models", "remove", "ddcolor")
    assert names(folder) == []


def test_a_file_that_changed_meanwhile_begins_anew(recolor, server, tmp_path, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 0, 0, 0]))
    recolor("models", "add", "ddcolor", address, exit_code=4)
    newer = network(tmp_path / "newer.onnx", *FORMS["ddcolor"], factor=2)
    server.address("/net.onnx", gives(newer, tag='"2"'))
    recolor("models", "add", "ddcolor", address)
    assert (folder / "ddcolor.onnx").read_bytes() == newer


def test_a_download_from_elsewhere_begins_anew(recolor, server, tmp_path, data, folder):
    first = server.address("/net.onnx", gives(data, cuts=[70_000, 0, 0, 0]))
    recolor("models", "add", "ddcolor", first, exit_code=4)
    newer = network(tmp_path / "newer.onnx", *FORMS["ddcolor"], factor=2)
    recolor("models", "add", "ddcolor", server.address("/other.onnx", gives(newer)))
    assert (folder / "ddcolor.onnx").read_bytes() == newer


def test_a_server_that_cannot_resume_is_asked_for_all(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 10], resumes=False))
    recolor("models", "add", "ddcolor", address)
    assert (folder / "ddcolor.onnx").read_bytes() == data


def promises(data: bytes, count: int, **headers: object):
    """Return an answer that tells another length than it has."""
    return lambda handler: reply(handler, 200, {"Content-Length": count, **headers}, data)


HTML = {"Content-Type": "text/html; charset=utf-8"}
GZIP = {"Content-Encoding": "gzip"}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("answer", "words", "advice"),
    [
        (lambda d: promises(d, len(d) + 1000), "promised", "run the same command again"),
        (lambda d: promises(d, len(d) - 1000), "no ONNX file, or only a part", "check the address"),
        (lambda d: promises(PAGE, len(PAGE), **HTML), "web page", "browser"),
        (lambda d: promises(PAGE, len(PAGE)), "web page", "browser"),
        (lambda d: fails(404), "is not there (404)", "it may have moved"),
        (lambda d: fails(403), "may not be read", "browser"),
        (lambda d: fails(503), "the server fails (503)", "try again later"),
        (lambda d: redirects("/net.onnx"), "redirects in a circle", "browser"),
        (lambda d: stalls(d, 70_000), "went silent", "run the same command again"),
        (lambda d: stalls(d, 0), "went silent", "run the same command again"),
        (lambda d: trickles(d, 0.02), "bytes a second", "run the same command again"),
        (lambda d: promises(b"", 5_000_000_000), "more than 4 GB", "right file"),
        (lambda d: gives(b"once upon a time"), "no ONNX file", "check the address"),
        (lambda d: gives(POINTER), "is a pointer of Git LFS", "git lfs pull"),
        (lambda d: promises(d, len(d), **GZIP), "is sent compressed", "with a browser; then"),
        (lambda d: gives(b""), "is empty", "check the address"),
        (lambda d: lambda handler: None, "without an answer", "run the same command again"),
    ],
    ids=[
        "promises more", "promises less", "page", "page without a type", "404", "403", "503",
        "circle", "silence", "silence at once", "slow", "too large", "text", "pointer",
        "compressed", "nothing", "hangs up",
    ],
)  # fmt: skip
def test_a_download_that_fails_says_why_and_what_to_do(
    recolor, server, data, folder, answer, words, advice
):
    address = server.address("/net.onnx", answer(data))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    (hint,) = [line for line in err.splitlines() if line.startswith("  hint: ")]
    assert words in error
    assert address in error
    assert advice in hint
    assert "Apache-2.0" in err
    assert "ddcolor" not in available_models()
    assert not part_path("ddcolor").is_file() or part_path("ddcolor").stat().st_size


def test_a_redirect_is_followed(recolor, server, data, folder):
    server.address("/there.onnx", gives(data))
    recolor("models", "add", "ddcolor", server.address("/net.onnx", redirects("/there.onnx")))
    assert (folder / "ddcolor.onnx").read_bytes() == data


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9/net.onnx", "127.0.0.1 cannot be reached"),
        ("http://nowhere.invalid/net.onnx", "nowhere.invalid cannot be found"),
    ],
)
def test_without_a_network_the_way_around_is_named(recolor, address, words):
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert words in err
    assert "recolor models add ddcolor /path/to/file.onnx" in err


def test_commands_in_hints_can_be_copied(recolor, tmp_path):
    profile = tmp_path / "my profiles" / "theirs.toml"
    profile.parent.mkdir()
    profile.write_text('size = 256\nanswer = "ab"\n')
    _, err = recolor("models", "add", profile, exit_code=2)
    assert f"recolor models add '{profile}' ADDRESS" in err
    _, err = recolor("models", "add", profile, "http://127.0.0.1:9/net.onnx", exit_code=4)
    assert f"recolor models add '{profile}' /path/to/file.onnx" in err


def test_a_published_checksum_is_compared(recolor, server, tmp_path, folder):
    data = network(tmp_path / "net.onnx", *FORMS["eccv16"])
    address = server.address("/colorization-eccv-16.onnx", gives(data))
    _, err = recolor("models", "add", address, exit_code=4)  # known by the name of its file
    assert "another SHA-256 than its publisher states" in err
    assert ForeignProfile.load(PROFILES["eccv16"]).sha256 in err
    assert names(folder) == []
    # What the user has exported himself is his own affair.
    _, err = recolor("models", "add", "eccv16", tmp_path / "net.onnx")
    assert "warning: the file is not the one that is published" in err
    assert listed(recolor, "eccv16")["verified"] == "no"


def test_a_full_disk_is_told_before_the_download(recolor, server, data, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    address = server.address("/net.onnx", gives(data))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=1)
    assert "has no room for 0.2 MB" in err
    assert "RECOLOR_MODELS" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_of_a_file_of_unknown_size(recolor, server, data, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    address = server.address("/net.onnx", lambda handler: reply(handler, 200, {}, data))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=1)
    assert "has no room: 0.1 MB are free" in err


def test_a_disk_that_fills_meanwhile_is_told(recolor, server, data, folder):
    folder.mkdir()
    part_path("ddcolor").symlink_to("/dev/full")
    address = server.address("/net.onnx", gives(data))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=1)
    assert "No space left on device" in err
    assert "RECOLOR_MODELS" in err


def test_a_network_is_added_by_one_process_at_a_time(recolor, server, data, tmp_path, folder):
    part = part_path("ddcolor")
    address = server.address("/net.onnx", gives(data))
    with contextlib.closing(open_locked(folder / f"{part.name}.lock", "", "")):
        part.write_bytes(b"of the other one")
        for source in (address, tmp_path / "net.onnx"):
            _, err = recolor("models", "add", "ddcolor", source, exit_code=4)
            assert "another process is writing" in err
            assert part.read_bytes() == b"of the other one"
        _, err = recolor("models", "remove", "ddcolor", exit_code=4)
        assert "another process is writing" in err
        assert part.read_bytes() == b"of the other one"
    recolor("models", "add", "ddcolor", address)
    assert not list(folder.glob("*.lock"))


def test_no_name_costs_the_record_of_checksums(recolor, server, data, tmp_path, folder):
    recolor("models", "add", "ddcolor", server.address("/net.onnx", gives(data)))
    record = (folder / ".checksums.json").read_bytes()
    text = 'file = "net.onnx"\nsize = 256\nchannels = 3\nanswer = "ab"\n'
    (tmp_path / "checksums.toml").write_text(text)
    recolor("models", "add", tmp_path / "checksums.toml")
    assert (folder / ".checksums.json").read_bytes() == record


def test_a_server_that_goes_away_for_a_moment_is_asked_again(recolor, data, folder, monkeypatch):
    pauses = []
    with serving() as first:
        address = first.address("/net.onnx", gives(data, cuts=[70_000]))
        port = first.server_address[1]

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) == 1:
                first.shutdown()
                first.server_close()
            if len(pauses) == 2:
                servers.enter_context(serving(port=port)).address("/net.onnx", gives(data))

        monkeypatch.setattr(download.time, "sleep", pause)
        with contextlib.ExitStack() as servers:
            _, err = recolor("models", "add", "ddcolor", address)
    assert "cannot be reached any more" in err
    assert (folder / "ddcolor.onnx").read_bytes() == data


def test_a_folder_that_cannot_be_made_is_told(recolor, folder, server, data):
    folder.write_bytes(b"a file")
    _, err = recolor(
        "models", "add", "ddcolor", server.address("/net.onnx", gives(data)), exit_code=1
    )
    assert str(folder) in err


def refuse_socks(*args, **options):
    """Fail as requests does where pysocks is not installed."""
    raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")


def test_proxies_are_used_but_not_for_this_machine(recolor, server, data, monkeypatch, folder):
    # A proxy is asked for the whole address.
    server.address("http://models.invalid/net.onnx", gives(data))
    own = server.address("/net.onnx", gives(data))
    monkeypatch.setenv("http_proxy", own.removesuffix("/net.onnx"))
    recolor("models", "add", "ddcolor", "http://models.invalid/net.onnx")
    recolor("models", "remove", "ddcolor")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    recolor("models", "add", "ddcolor", own)
    recolor("models", "remove", "ddcolor")
    _, err = recolor("models", "add", "ddcolor", "http://models.invalid/net.onnx", exit_code=4)
    assert "the proxy in front of models.invalid cannot be used" in err
    monkeypatch.setenv("http_proxy", "http:///nowhere")
    _, err = recolor("models", "add", "ddcolor", "http://models.invalid/net.onnx", exit_code=4)
    assert "the proxy in front of models.invalid cannot be used" in err
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", refuse_socks)
    _, err = recolor("models", "add", "ddcolor", "http://models.invalid/net.onnx", exit_code=4)
    assert "needs the package pysocks" in err
    assert "HTTPS_PROXY" in err


def test_the_systems_and_the_users_certificates_are_trusted(
    recolor, data, monkeypatch, tmp_path, folder
):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=models", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out",
         "own.pem"], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "key.pem")
    with serving(context) as server:
        address = server.address("/net.onnx", gives(data)).replace("http:", "https:")
        _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
        assert "the certificate of 127.0.0.1 is not trusted" in err
        assert "SSL_CERT_FILE" in err
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(tmp_path / "own.pem"))
            recolor("models", "add", "ddcolor", address)
            recolor("models", "remove", "ddcolor")
            if name == "SSL_CERT_FILE":
                monkeypatch.delenv(name)
        server.address("/net.onnx", redirects("http://127.0.0.1:9/net.onnx"))
        _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
        assert "redirects to an address without encryption" in err


def test_certificates_that_are_not_there_are_told(recolor, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/own.pem")
    _, err = recolor("models", "add", "ddcolor", "https://127.0.0.1:9/net.onnx", exit_code=4)
    assert "REQUESTS_CA_BUNDLE" in err


def test_a_login_is_taken_from_netrc(recolor, server, data, monkeypatch, tmp_path):
    def answer(handler):
        wants = handler.headers.get("Authorization") == "Basic bWU6c2VjcmV0"
        (gives(data) if wants else fails(401))(handler)

    address = server.address("/net.onnx", answer)
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "wants a login" in err
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    recolor("models", "add", "ddcolor", address)


def test_a_captive_portal_does_not_cost_what_is_there(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data, cuts=[70_000, 0, 0, 0]))
    recolor("models", "add", "ddcolor", address, exit_code=4)
    server.address("/net.onnx", promises(PAGE, len(PAGE), **HTML))
    _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "web page" in err
    server.address("/net.onnx", gives(data))
    recolor("models", "add", "ddcolor", address)
    assert server.requests[-1] == ("/net.onnx", "bytes=70000-")


def test_an_interrupted_download_goes_on(server, data, folder, recolor):
    address = server.address("/net.onnx", stalls(data, 70_000))
    words = [sys.executable, "-m", "recolor_cli", "models", "add", "ddcolor", address]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        part = part_path("ddcolor")
        until = time.monotonic() + 60
        while not part.is_file() or part.stat().st_size < 70_000:
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"error: interrupted\n  hint: the same command goes on from here\n" in err
    assert b"Traceback" not in err
    server.address("/net.onnx", gives(data))
    recolor("models", "add", "ddcolor", address)
    assert server.requests[-1] == ("/net.onnx", "bytes=70000-")


def test_a_password_in_an_address_is_not_shown_and_not_kept(recolor, server, data, folder):
    address = server.address("/net.onnx", gives(data)).replace("//", "//me:secret@")
    _, err = recolor("models", "add", "ddcolor", address)
    assert "secret" not in err
    assert not [path for path in folder.glob("*.json") if "secret" in path.read_text()]


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((1, 1, 512, 512), 2, "the profile makes"),
        ((1, 3, 384, 384), 2, "the profile makes"),
        ((1, 3, 512, 512), 3, "its profile says ab with 2 channels"),
    ],
)
def test_another_form_than_the_profile_says_is_refused(
    recolor, tmp_path, folder, shape, channels, words
):
    network(tmp_path / "net.onnx", shape, channels)
    _, err = recolor("models", "add", "ddcolor", tmp_path / "net.onnx", exit_code=4)
    assert words in err
    assert ".part" not in err
    assert "recolor profile ddcolor" in err
    assert names(folder) == []


def test_a_page_that_a_browser_saved_is_told(recolor, tmp_path, folder):
    (tmp_path / "saved.onnx").write_bytes(PAGE)
    _, err = recolor("models", "add", "ddcolor", tmp_path / "saved.onnx", exit_code=4)
    assert f"{tmp_path / 'saved.onnx'} is a web page, not a file" in err
    assert names(folder) == []


def test_weights_in_other_files_are_refused(recolor, tmp_path, data, folder):
    model = onnx.load(tmp_path / "net.onnx")
    onnx.save(
        model, tmp_path / "split.onnx", save_as_external_data=True, location="weights",
        size_threshold=100,
    )  # fmt: skip
    assert has_external_data(tmp_path / "split.onnx")
    assert not has_external_data(tmp_path / "net.onnx")
    _, err = recolor("models", "add", "ddcolor", tmp_path / "split.onnx", exit_code=4)
    assert "keeps its weights in other files" in err
    assert names(folder) == []


def test_a_file_of_more_than_4_gb_is_refused(recolor, tmp_path, folder):
    with (tmp_path / "net.onnx").open("wb") as file:
        file.truncate(4_000_000_001)
    _, err = recolor("models", "add", "ddcolor", tmp_path / "net.onnx", exit_code=4)
    assert "more than 4 GB" in err


def test_networks_are_known_by_the_names_of_their_files(recolor, tmp_path):
    network(tmp_path / "deoldify_stable.onnx", *FORMS["deoldify-stable"])
    _, err = recolor("models", "add", tmp_path / "deoldify_stable.onnx")
    assert "-m deoldify-stable" in err


def test_a_model_of_ours_needs_no_profile(recolor, tmp_path):
    shutil.copy(find_model("fruitnet"), tmp_path / "mine.onnx")
    (tmp_path / "mine.toml").write_text("learning_rate = 3")  # a training's, say
    recolor("models", "add", tmp_path / "mine.onnx")
    assert listed(recolor, "mine")["license"] == listed(recolor, "fruitnet")["license"]
    _, err = recolor("models", "add", find_model("fruitnet"), exit_code=2)
    assert "comes with recolor" in err


def test_a_network_of_a_profile_of_its_own(recolor, tmp_path, server, data, folder, poster):
    text = 'size = 256 # px\nfile = "net.onnx" # beside it\nchannels = 3\nanswer = "ab"\n'
    (tmp_path / "theirs.toml").write_text(text)
    recolor("models", "add", tmp_path / "theirs.toml")
    assert (folder / "theirs.toml").read_text() == text.replace(
        '"net.onnx" # beside it', '"theirs.onnx"'
    )
    recolor(poster, "-m", "theirs", "-o", tmp_path / "new.png", "--device", "cpu")
    recolor("models", "remove", "theirs")
    (tmp_path / "theirs.toml").write_text('size = 256\nchannels = 3\nanswer = "ab"\n')
    _, err = recolor("models", "add", tmp_path / "theirs.toml", exit_code=2)
    assert "names no file that is there, and no source" in err
    address = server.address("/net.onnx", gives(data))
    recolor("models", "add", tmp_path / "theirs.toml", address)
    assert ForeignProfile.load(folder / "theirs.toml").file == "theirs.onnx"
    recolor("models", "remove", "theirs")
    # A profile beside a network is found.
    (tmp_path / "theirs.onnx").write_bytes(data)
    recolor("models", "add", tmp_path / "theirs.onnx")


@pytest.mark.parametrize(
    "key", ['"file" = "net.onnx"', 'license = """\nfile = 1"""\nfile = "net.onnx"']
)
def test_a_profile_whose_network_cannot_be_renamed_is_refused(recolor, tmp_path, data, folder, key):
    text = f'{key}\nsize = 256\nchannels = 3\nanswer = "ab"\n'
    (tmp_path / "theirs.toml").write_text(text)
    _, err = recolor("models", "add", tmp_path / "theirs.toml", exit_code=4)
    assert "the key file of" in err
    assert not folder.exists()


def test_escape_sequences_of_a_profile_do_not_reach_the_terminal(recolor, tmp_path, data):
    text = 'file = "net.onnx"\nsize = 256\nchannels = 3\nanswer = "ab"\nlicense = "\\u001b[31mX"\n'
    (tmp_path / "theirs.toml").write_text(text)
    recolor("models", "add", tmp_path / "theirs.toml")
    out, _ = recolor("models")
    assert "\ufffd[31mX".encode() in out


def test_an_address_without_a_profile_is_kept_until_it_has_one(recolor, server, data, tmp_path):
    address = server.address("/new%20net.onnx", gives(data))
    _, err = recolor("models", "add", address, exit_code=2)
    assert "no model can be called 'new net'" in err
    address = server.address("/theirs.onnx?a=1&b=2", gives(data))
    _, err = recolor("models", "add", address, exit_code=4)
    assert "nothing tells what it reads" in err
    assert f"recolor models add theirs.toml '{address}'" in err
    (tmp_path / "theirs.toml").write_text('size = 256\nchannels = 3\nanswer = "ab"\n')
    count = len(server.requests)
    recolor("models", "add", tmp_path / "theirs.toml", address)
    assert len(server.requests) == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ddcolr"], "did you mean ddcolor?"),
        (["poster"], "there is a model poster already"),
        ([""], "a name or address is empty"),
        (["ddcolor", ""], "a name or address is empty"),
        (["gone.onnx"], "no file gone.onnx"),
        (["ddcolor", "gone.onnx"], "no file gone.onnx"),
        (["ddcolor", "ftp://models.invalid/net.onnx"], "begins with https://"),
        (["ddcolor", "http://[::1/net.onnx"], "is no address"),
        (["https:///net.onnx"], "is no address"),
        (["net.pt"], "is no ONNX file"),
        (["net.onnx", "ddcolor"], "two networks"),
        (["ddcolor", "net.onnx", "--sha256", "12"], "64 hexadecimal digits"),
    ],
)
def test_words_that_mean_nothing(recolor, tmp_path, data, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("net.pt").write_bytes(b"x")
    _, err = recolor("models", "add", *words, exit_code=2)
    assert message in err


def test_a_checksum_of_the_users_is_compared(recolor, tmp_path, data):
    _, err = recolor(
        "models", "add", "ddcolor", tmp_path / "net.onnx", "--sha256", "0" * 64, exit_code=4
    )
    assert "another SHA-256 than you gave" in err


def test_a_copy_that_is_interrupted_leaves_nothing(recolor, tmp_path, data, folder, monkeypatch):
    def load(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(OnnxColorNetwork, "load", load)
    recolor("models", "add", "ddcolor", tmp_path / "net.onnx", exit_code=130)
    assert names(folder) == []


def test_want_of_memory_does_not_cost_the_download(recolor, server, data, monkeypatch):
    def load(*args, **options):
        raise ModelError("there is not enough memory to load it", "use -j 1") from MemoryError()

    address = server.address("/net.onnx", gives(data))
    with monkeypatch.context() as patch:
        patch.setattr(OnnxColorNetwork, "load", load)
        _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "not enough memory" in err
    assert "another export" not in err
    recolor("models", "add", "ddcolor", address)
    assert len(server.requests) == 1


def test_a_disk_that_fails_does_not_cost_the_download(recolor, server, data, monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    address = server.address("/net.onnx", gives(data))
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", fail)
        _, err = recolor("models", "add", "ddcolor", address, exit_code=4)
    assert "cannot be read: Input/output error" in err
    recolor("models", "add", "ddcolor", address)
    assert len(server.requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens but cannot be read")
def test_a_file_that_cannot_be_read_is_told_by_its_own_name(recolor, tmp_path, folder):
    path = tmp_path / "bad.onnx"
    path.symlink_to("/proc/self/mem")
    _, err = recolor("models", "add", "ddcolor", path, exit_code=4)
    assert f"{path} cannot be read: Input/output error" in err
    assert names(folder) == []


def test_a_network_that_changed_on_the_disk_is_told(recolor, tmp_path, data, folder):
    recolor("models", "add", "ddcolor", tmp_path / "net.onnx")
    with (folder / "ddcolor.onnx").open("ab") as file:
        file.write(b"more")
    out, err = recolor("models", exit_code=4)
    assert "when it was added" in err
    assert b"poster" in out


def test_models_lie_in_the_users_folder_for_data(tmp_path, monkeypatch):
    monkeypatch.delenv("RECOLOR_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert added_folder() == tmp_path / "recolor" / "models"


def test_nothing_else_loads_what_downloads(poster):
    code = (
        "import sys\nfrom recolor_cli.cli import main\n"
        f"main([{str(poster)!r}, '-m', 'fruitnet', '--device', 'cpu'])\nmain(['models'])\n"
        "assert not {'requests', 'urllib3', 'truststore'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
