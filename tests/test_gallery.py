import json
import os
import re
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from conftest import draw, encoded, open_chromium
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.sidecar_names import thumbnail_folder
from recolor_cli.errors import InputError, OutputError, UsageError
from recolor_cli.gallery import page as page_module
from recolor_cli.gallery.page import Gallery, RunFacts
from recolor_cli.image.compare import thumbnails

ODD_NAMES = [
    'it\'s "quoted" & <b>bold.png',
    "100% #1 ?x=1&y.png",
    "</script><script>alert(1)<!--.png".replace("/", "\u2215"),
    "javascript:alert(1).png",
    "caf\u00e9 \u65e5\u672c\u8a9e.png",
    os.fsdecode(b"no utf-8 \xff.png"),
    "x" * 200 + ".png",
]
BEFORE, AFTER = encoded(draw(90, 60, 1), "PNG"), encoded(draw(90, 60, 2), "PNG")


def entries_of(page: Path) -> list[dict]:
    script = re.search(r'id="entries">\n(.*?)</script>', page.read_text(), re.DOTALL)
    return [json.loads(line) for line in script[1].splitlines() if line.strip()]


def add(gallery, folder: Path, name: str, status=Status.WRITTEN, seconds=0.0):
    source, result = folder / "in" / name, folder / "out" / name
    for path, data in ((source, BEFORE), (result, AFTER)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    job, pair = Job(str(source), str(result)), thumbnails(BEFORE, AFTER)
    gallery.add(Outcome(job, status, seconds={"color": seconds}, thumbnails=pair), "poster")


def write(folder: Path, names) -> Path:
    page = folder / "out" / "gallery.html"
    with Gallery(page) as gallery:
        for number, name in enumerate(names):
            add(gallery, folder, name, seconds=0.1 * (number + 1))
        gallery.finish(RunFacts(9.0, "1", "today", "poster", "cpu", interrupted=False))
    return page


def test_every_name_leads_to_its_file(tmp_path):
    page = write(tmp_path, ODD_NAMES)
    found = entries_of(page)
    assert len(found) == len(ODD_NAMES)
    for entry, name in zip(found, ODD_NAMES, strict=True):
        for key in ("source", "result", "before", "after"):
            assert not re.match(r"[a-z]+:|//", entry[key])
            assert os.path.isfile(os.fsencode(page.parent) + b"/" + unquote_to_bytes(entry[key]))
        assert entry["name"] == os.fsencode(name).decode("utf-8", "replace")
    assert page.read_text().count("</script>") == 3  # no name ends a script


def test_a_page_replaces_its_earlier_one_with_its_thumbnails(tmp_path):
    page = write(tmp_path, ["a.png", "b.png"])
    folder = thumbnail_folder(page)
    (folder / "mine.jpg").write_bytes(b"")
    assert len(list(folder.iterdir())) == 5
    write(tmp_path, ["b.png", "c.png"])
    assert [entry["name"] for entry in entries_of(page)] == ["b.png", "c.png"]
    assert len(list(folder.iterdir())) == 5
    assert (folder / "mine.jpg").exists()
    assert not list(page.parent.glob(".recolor-*"))


def test_other_pages_and_folders_that_cannot_be_written_are_refused(tmp_path):
    page = tmp_path / "gallery.html"
    page.write_text("<h1>my own page</h1>")
    with pytest.raises(UsageError, match="is another page"):
        Gallery(page)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"), Gallery(tmp_path / "file/gallery.html"):
        pass


def test_after_an_error_there_is_no_page_and_nothing_left(tmp_path):
    page = tmp_path / "gallery.html"
    with pytest.raises(OSError, match="elsewhere"), Gallery(page):
        raise OSError("elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_flat(tmp_path):
    import tracemalloc

    pair = thumbnails(BEFORE, AFTER)

    def written(source, destination):
        return Outcome(Job(source, destination), Status.WRITTEN, thumbnails=pair)

    with Gallery(tmp_path / "gallery.html") as gallery:
        gallery._write_thumbnails = lambda job, thumbnails: {"before": "b", "after": "a"}
        gallery.add(written("x.png", "y.png"), "poster")
        tracemalloc.start()
        for number in range(2000):
            gallery.add(written(f"{number}.png", f"out/{number}.png"), "poster")
        # What threads of other tests may do meanwhile is not the gallery's.
        ours = [tracemalloc.Filter(True, path) for path in (page_module.__file__, __file__)]
        held = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
        tracemalloc.stop()
    assert len(entries_of(tmp_path / "gallery.html")) == 2001
    assert sum(statistic.size for statistic in held) < 300_000


# The rest is seen by a real browser.


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("browser"), "1200,900") as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a & b #1")
    path = folder / "out" / "gallery.html"
    with Gallery(path) as gallery:
        for number, name in enumerate(ODD_NAMES):
            add(gallery, folder, name, seconds=0.1 + number)
        error = InputError("it is <cut> off", "scan it")
        gallery.add(Outcome(Job("broken.jpg"), Status.FAILED, error), "poster")
        add(gallery, folder, "a-done.png", status=Status.SKIPPED)
        gallery.finish(RunFacts(9.0, "1", "today", "poster", "cpu", interrupted=False))
    return path


def look_at(browser, address):
    """Open a page, and return the cards and the requests that were made."""
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(address)
    wait(lambda: browser.execute_script("return document.body.dataset.drawn"))
    return browser.find_elements("css selector", ".card")


def wait(condition, seconds=10):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def requests(browser):
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def at(stage):
    script = "return getComputedStyle(arguments[0]).getPropertyValue('--at')"
    return float(stage.parent.execute_script(script, stage).rstrip("%"))


def test_pictures_are_seen_and_nothing_else_is_asked_for(browser, page):
    cards = look_at(browser, page.as_uri())
    assert len(cards) == len(ODD_NAMES) + 2
    for card in cards:
        browser.execute_script("arguments[0].scrollIntoView()", card)
        wait(
            lambda card=card: browser.execute_script(
                "return [...arguments[0].querySelectorAll('img')]"
                ".every(image => image.complete && image.naturalWidth > 0)",
                card,
            )
        )
    names = [card.find_element("css selector", ".name").text for card in cards]
    assert ODD_NAMES[0] in names
    assert "it is <cut> off" in cards[len(ODD_NAMES)].text
    assert "scan it" in cards[len(ODD_NAMES)].text
    assert "done in an earlier run" in cards[-1].text
    assert "poster" in cards[0].text
    assert "100 ms" in cards[0].text
    summary = browser.find_element("id", "summary").text
    assert "7 recolored, 1 done before, 1 failed" in summary
    asked = set(requests(browser))
    assert all(url.startswith((page.parent.as_uri(), "data:")) for url in asked), asked
    assert sum("-thumbnails/" in url for url in asked) == 2 * (len(ODD_NAMES) + 1)
    assert browser.get_log("browser") == []  # no error, no warning


def test_the_slider_moves_by_pointer_touch_and_keys(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput
    from selenium.webdriver.common.keys import Keys

    stage = look_at(browser, page.as_uri())[0].find_element("css selector", ".stage")
    assert at(stage) == 50
    width = stage.size["width"]
    drag = ActionChains(browser).move_to_element(stage).click_and_hold()
    drag.move_by_offset(int(width * 0.25), 5).release().perform()
    assert abs(at(stage) - 75) < 2
    touch = ActionBuilder(browser, mouse=PointerInput("touch", "finger"))
    touch.pointer_action.move_to(stage, int(width * -0.3), 0).pointer_down()
    touch.pointer_action.move_to(stage, int(width * -0.4), 0).pointer_up()
    touch.perform()
    assert abs(at(stage) - 10) < 2
    after = stage.find_element("css selector", ".after").value_of_css_property("clip-path")
    assert after.startswith("inset(0px 0px 0px")
    slider = stage.find_element("css selector", "input[type=range]")
    before = at(stage)
    slider.send_keys(Keys.ARROW_RIGHT)
    assert at(stage) == before + 1
    slider.send_keys(Keys.END)
    assert at(stage) == 100
    slider.send_keys(Keys.HOME, Keys.ARROW_UP)
    assert at(stage) == 1
    assert "1 % before" in slider.get_attribute("aria-valuetext")


def test_everything_can_be_reached_by_keys(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    look_at(browser, page.as_uri())

    def press(*keys):
        ActionChains(browser).send_keys(*keys).perform()
        return browser.switch_to.active_element

    reached = [press(Keys.TAB) for _ in range(10)]
    kinds = [element.get_attribute("id") or element.text or "slider" for element in reached]
    assert kinds == [
        *("sort", "direction", "find", "failures", "all"),
        *("slider", "enlarge", "before", "after", "slider"),
    ]
    reached[6].send_keys(Keys.ENTER)  # enlarge
    large = browser.find_element("id", "large")
    title = large.find_element("css selector", ".title")
    assert title.text == ODD_NAMES[0]
    assert press(Keys.ARROW_LEFT).get_attribute("value") == "49"
    wait(
        lambda: browser.execute_script(
            "return [...arguments[0].querySelectorAll('img')].every(i => i.naturalWidth === 60)",
            large,
        )
    )  # the files themselves
    press(Keys.PAGE_DOWN)
    assert title.text == ODD_NAMES[1]
    for key, number in (("n", 2), ("N", 3), ("P", 2), ("p", 1)):  # capitals with Caps Lock
        press(key)
        assert title.text == ODD_NAMES[number]
    press(Keys.ESCAPE)
    assert not large.is_displayed()
    assert "100%" in browser.switch_to.active_element.get_attribute("aria-label")


def test_sorting_finding_and_failures(browser, page):
    from selenium.webdriver.support.ui import Select

    look_at(browser, page.as_uri())

    def names():
        return [e.text for e in browser.find_elements("css selector", ".card .name")]

    sort = Select(browser.find_element("id", "sort"))
    sort.select_by_value("seconds")
    browser.find_element("id", "direction").click()
    assert names()[0].startswith("xxx")  # took longest
    sort.select_by_value("status")
    assert names()[0] == "broken.jpg"
    sort.select_by_value("name")
    assert names().index("a-done.png") < names().index("javascript:alert(1).png")
    browser.find_element("id", "find").send_keys("CAF\u00c9")
    assert names() == ["caf\u00e9 \u65e5\u672c\u8a9e.png"]
    browser.find_element("id", "find").clear()
    browser.execute_script("find('find').dispatchEvent(new Event('input'))")
    failures = browser.find_element("id", "failures")
    failures.click()
    assert failures.get_attribute("aria-pressed") == "true"
    assert names() == ["broken.jpg"]


def test_it_fits_a_phone_and_works_from_a_server(browser, page):
    handler = partial(SimpleHTTPRequestHandler, directory=str(page.parent.parent))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        cards = look_at(browser, f"{root}/out/gallery.html")
        wide = "return document.documentElement.scrollWidth"
        assert browser.execute_script(wide) == 360
        assert cards[0].size["width"] > 300
        seen = "return document.querySelector('.card img').naturalWidth > 0"
        wait(lambda: browser.execute_script(seen))
        assert all(url.startswith((root, "data:")) for url in requests(browser))
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        server.shutdown()
        server.server_close()


def test_what_a_killed_run_left_is_removed(tmp_path):
    folder = tmp_path / "out" / "gallery-thumbnails"
    folder.mkdir(parents=True)
    left = [folder / ".recolor-0123456789abcdef.tmp", folder.parent / ".recolor-0f.tmp"]
    for path in left:
        path.write_bytes(b"half")
    write(tmp_path, [])
    assert not any(path.exists() for path in left)
