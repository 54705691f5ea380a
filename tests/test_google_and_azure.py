"""Pictures on Google Cloud Storage and Azure: emulators of both, in processes of their own."""

import os
import shutil
import subprocess
import sys

import pytest
from benchmarks.store_listing import listing_server
from s3_server import Proxy, server_process

from conftest import draw, encoded
from recolor_cli.errors import InputError, OutputError
from recolor_cli.system import stores

fsspec = pytest.importorskip("fsspec")
FILES = ("a.jpg", "1931/b.jpg", "1931/ä c.png")
# The key that all emulators of Azure have.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def google(port, folder):
    return [
        sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1",
        "--port", str(port), "--in-memory",
    ]  # fmt: skip


def azure(port, folder):
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("the emulator of Azure is missing: npm install --global azurite")
    return [
        program, "--blobPort", str(port), "--location", str(folder),
        "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip


def variables(scheme, port, key=KEY):
    url = f"http://127.0.0.1:{port}"
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon"}
    account = f"AccountName=devstoreaccount1;AccountKey={key}"
    text = f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={url}/devstoreaccount1;"
    return {"AZURE_STORAGE_CONNECTION_STRING": text}


def use(monkeypatch, scheme, environment):
    """Let the program, and this test, find a store by its variables."""
    # As the program does, but before the class is loaded.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class(scheme).clear_instance_cache()
    stores.LISTINGS.forget()


@pytest.fixture(scope="module", params=["gs", "az"])
def server(request, tmp_path_factory):
    """Return a scheme and the port of its emulator."""
    scheme, folder = request.param, tmp_path_factory.mktemp(request.param)
    command = google if scheme == "gs" else azure
    if scheme == "gs":
        pytest.importorskip("gcp_storage_emulator")
    with server_process(lambda port: command(port, folder), folder / "log") as port:
        yield scheme, port


@pytest.fixture
def store(server, monkeypatch):
    """Return a scheme, and its file system with an empty bucket."""
    scheme, port = server
    use(monkeypatch, scheme, variables(scheme, port))
    system, _ = stores._open(f"{scheme}://posters")
    if system.exists("posters"):
        system.rm("posters", recursive=True)
    if not system.exists("posters"):
        system.mkdir("posters")
    return scheme, system


def fill(system, root):
    for seed, name in enumerate(FILES):
        image_format = "PNG" if name.endswith("png") else "JPEG"
        system.pipe_file(f"{root}/{name}", encoded(draw(seed=seed), image_format))


def test_a_tree_is_recolored_as_on_a_disk_and_then_skipped(recolor, store, tmp_path):
    scheme, system = store
    fill(system, "posters/in")
    for name in ("notes.txt", ".hidden.jpg", "1931/x.heic"):
        system.pipe_file(f"posters/in/{name}", b"x")
    for name in FILES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(system.cat_file(f"posters/in/{name}"))
    expected, _ = recolor(tmp_path / "in", "-o", tmp_path / "out", "-r", "--compare")
    command = (f"{scheme}://posters/in", "-o", f"{scheme}://posters/new/", "-r", "--compare")
    out, told = recolor(*command)
    assert out.decode().replace(f"{scheme}://posters/new/", f"{tmp_path}/out/") == expected.decode()
    assert "3 written, 1 left out" in told
    made = {path.removeprefix("posters/new/") for path in system.find("posters/new")}
    assert made == {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    for name in made:
        assert system.cat_file(f"posters/new/{name}") == (tmp_path / "out" / name).read_bytes()
    out, told = recolor(*command)
    assert (out, "3 skipped" in told) == (b"", True)
    lines, _ = recolor(f"{scheme}://posters/in/", "-o", tmp_path / "top/")  # not in depth
    assert lines.decode() == f"{tmp_path}/top/a.jpg\n"


def test_a_key_is_taken_as_it_is(recolor, store):
    scheme, system = store
    keys = ["x.jpg", "x.jpg::2.jpg", "q?z.jpg", "h#z.jpg", "p%20q.jpg", "st*r[1].jpg"]
    for seed, key in enumerate(keys):
        system.pipe_file(f"posters/in/{key}", encoded(draw(seed=seed)))
    before = {key: system.cat_file(f"posters/in/{key}") for key in keys}
    assert "6 written" in recolor(f"{scheme}://posters/in/", "-r")[1]
    results = {f"{key.removesuffix('.jpg')}-recolored.jpg" for key in keys}
    found = stores.Listings().of_folder(f"{scheme}://posters/in", recursive=True)
    assert set(found) == results | set(keys)
    assert {key: system.cat_file(f"posters/in/{key}") for key in keys} == before


@pytest.mark.parametrize("server", ["az"], indirect=True)
@pytest.mark.parametrize("key", ["a?x#y.jpg", "a?versionid=1.jpg", "a\nb.jpg"])
def test_a_key_that_the_client_reads_otherwise_is_refused(store, key):
    for use_object in (stores.read, lambda address: stores.write(address, b"x")):
        with pytest.raises(InputError, match="would take another object for it"):
            use_object(f"az://posters/{key}")


def test_an_empty_result_in_a_folder_is_none(store):
    scheme, system = store
    system.pipe_file("posters/new/a.jpg", b"")
    system.pipe_file("posters/new/b.jpg", b"x")
    listings = stores.Listings()
    for _ in range(2):
        written = [listings.is_written(f"{scheme}://posters/new/{name}.jpg") for name in "abc"]
        assert written == [False, True, False]
        listings.ask_for_each()


def test_objects_have_the_type_of_their_name(store, tmp_path):
    scheme, system = store
    stores.write(f"{scheme}://posters/a.webp", b"x")
    (tmp_path / "film").write_bytes(b"x")
    stores.upload(tmp_path / "film", f"{scheme}://posters/a.mp4")
    found = [system.info(f"posters/a.{ending}") for ending in ("webp", "mp4")]
    if scheme == "gs":
        assert [info["contentType"] for info in found] == ["image/webp", "video/mp4"]
    else:
        types = [info["content_settings"]["content_type"] for info in found]
        assert types == ["image/webp", "video/mp4"]


def test_a_missing_object_and_a_missing_bucket_are_told(recolor, store):
    scheme, _ = store
    _, told = recolor(f"{scheme}://posters/none.jpg", exit_code=1)
    assert f"{scheme}://posters/none.jpg: there is no such object" in told
    for name in ("in", "in/"):
        _, told = recolor(f"{scheme}://elsewhere/{name}", exit_code=1)
        assert f"there is no {scheme}://elsewhere" in told
    with pytest.raises(OutputError, match=f"there is no {scheme}://elsewhere"):
        stores.write(f"{scheme}://elsewhere/a.jpg", b"x")


def test_what_a_store_forbids_is_a_refusal(server, monkeypatch):
    scheme, port = server
    proxy = Proxy(port)
    use(monkeypatch, scheme, variables(scheme, proxy.port))
    proxy.ways, proxy.fails = (403,), lambda method, path: True
    with pytest.raises(InputError, match=f"{scheme}://posters refuses access"):
        list(stores.Listings().of_folder(f"{scheme}://posters/in", True))
    with pytest.raises(InputError, match=f"{scheme}://posters refuses access"):
        stores.read(f"{scheme}://posters/a.jpg")
    with pytest.raises(OutputError, match=f"{scheme}://posters refuses access"):
        stores.write(f"{scheme}://posters/a.jpg", b"x")
    proxy.close()


@pytest.mark.parametrize("server", ["az"], indirect=True)  # Google's emulator has no keys
def test_a_wrong_key_is_a_refusal(server, monkeypatch):
    scheme, port = server
    use(monkeypatch, scheme, variables(scheme, port, key="A" + KEY[1:]))
    with pytest.raises(InputError, match="az://posters refuses access"):
        list(stores.Listings().of_folder("az://posters/in", True))
    with pytest.raises(OutputError, match="az://posters refuses access"):
        stores.write("az://posters/a.jpg", b"x")


@pytest.mark.parametrize(("scheme", "count"), [("gs", 2500), ("az", 10_500)])
def test_all_pages_of_a_listing_are_read(monkeypatch, scheme, count):
    pytest.importorskip("gcsfs" if scheme == "gs" else "adlfs")
    with listing_server(("in", "new"), count, scheme) as (environment, _):
        use(monkeypatch, scheme, environment)
        found = list(stores.Listings().of_folder(f"{scheme}://b/in", True))
    assert sorted(found) == [f"{i // 1000:04}/{i:07}.jpg" for i in range(count)]


def test_google_is_not_asked_for_the_kind_of_a_bucket():
    program = (
        "from recolor_cli.system import stores\n"
        "print(type(stores._open('gs://posters')[0]).__module__)"
    )
    environment = os.environ | variables("gs", 9)
    environment.pop("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert (done.stdout, done.stderr) == (b"gcsfs.core\n", b"")
