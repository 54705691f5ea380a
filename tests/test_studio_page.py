"""The studio's page in a real browser: every control by mouse and by keyboard."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import draw, encoded, open_chromium

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
NAMES = ["a it's #1.jpg", "b.png", "c done.png"]
TOKEN = "0123456789abcdef"
PATIENCE = 90  # seconds; the machine may be busy


def scene(seed):
    """Return a gray picture with areas that a hint can fill."""
    gray = np.asarray(draw(420, 300, seed)).mean(axis=2)
    gray = 0.3 * gray + 90
    gray[250:400, 40:160] = 60
    gray[40:160, 170:270] = 200
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posters & more")
    for number, name in enumerate(NAMES):
        Image.fromarray(scene(number)).save(folder / name)
    Image.fromarray(draw(420, 300, 9)).save(folder / "c done-recolored.png")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "recolor_cli", "serve", str(folder), "--port", "0"]
    command += ["--device", "cpu", "-j", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    preferences = {"download.default_directory": str(tmp_path_factory.mktemp("downloads"))}
    folder = tmp_path_factory.mktemp("browser")
    with open_chromium(folder, "1280,900", preferences) as chromium:
        chromium.set_script_timeout(PATIENCE)
        yield chromium


@pytest.fixture
def guarded(folder, tmp_path):
    """A server that asks for a token."""
    (tmp_path / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "recolor_cli", "serve", str(folder), "--port", "0"]
    command += ["--device", "cpu", "-j", "1", "--token-file", str(tmp_path / "token")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(60) == 0


def wait(condition, what="it did not happen"):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


class Page:
    """The page, and what a person does with it."""

    def __init__(self, browser, address):
        self.browser = browser
        self.address = address
        browser.get("about:blank")
        browser.get_log("performance")
        # What the page before says at its end may be told later, and is not said by this one.
        self.begun = 1000 * time.time()  # ms, as in the log
        browser.get(address)
        wait(lambda: self.js("return document.body.dataset.ready"))
        self.settle()

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    @property
    def made(self):
        return int(self.js("return document.getElementById('stage').dataset.made || 0"))

    def settle(self):
        wait(lambda: self.made, "no preview was made")
        wait(lambda: len(self.all(".variant")) == 4, "no variants were shown")

    def changes(self, action):
        """Do something that changes the picture, and wait until that is seen."""
        before, pixels = self.made, self.pixels()
        action()
        wait(lambda: self.made > before, "no new preview was made")
        wait(lambda: self.pixels() != pixels, f"the picture looks the same: {self.state()}")

    def state(self):
        places = [marker.get_attribute("aria-label") for marker in self.all(".marker")]
        return f"{self.made} previews, {places}, {self.status()}"

    def pixels(self):
        return self.js("return document.getElementById('after').toDataURL('image/png')")

    def color_at(self, x, y):
        """Return the shown color at a place, in shares of the sides."""
        return self.js(
            "const c = document.getElementById('after');"
            "return [...c.getContext('2d').getImageData(arguments[0] * c.width,"
            " arguments[1] * c.height, 1, 1).data].slice(0, 3)",
            x,
            y,
        )

    def click_at(self, x, y):
        from selenium.webdriver.common.action_chains import ActionChains

        sheet = self.find("#sheet")
        size = sheet.size
        offset = round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])
        ActionChains(self.browser).move_to_element_with_offset(sheet, *offset).click().perform()

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def chord(self, modifier, key, *more):
        from selenium.webdriver.common.action_chains import ActionChains

        keys = ActionChains(self.browser).key_down(modifier)
        for other in more:
            keys = keys.key_down(other)
        keys = keys.send_keys(key)
        for other in more:
            keys = keys.key_up(other)
        keys.key_up(modifier).perform()

    def slide(self, selector, value, event="change"):
        self.js(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
            "arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}))",
            self.find(selector),
            value,
            event,
        )

    # In one step, because the page may replace an element that was found.
    def focus(self, selector):
        self.js("document.querySelector(arguments[0]).focus()", selector)

    def value(self, selector):
        return self.js("return document.querySelector(arguments[0]).value", selector)

    def hold(self, pattern, most=99):
        """Keep back answers, as those of a server that is busy."""
        self.js(HOLD, pattern, most)

    def let_go(self):
        """Give the page the answers that were kept back, and time to use them."""
        wait(lambda: self.js("return window.held"), "it was not asked")
        self.js("window.letGo(); return new Promise((done) => setTimeout(done, 300))")

    def hints(self):
        return len(self.all(".marker"))

    def name(self):
        return self.find("#name").text

    def status(self):
        return self.js("return document.getElementById('status').textContent")

    def assert_clean(self, *refused):
        """No error and no warning was logged, and no other server was asked.

        Chromium itself logs answers that refuse something; `refused` are their numbers.
        """
        log = [
            line["message"]
            for line in self.browser.get_log("browser")
            if line["timestamp"] >= self.begun
        ]
        assert [line for line in log if not any(f"status of {n}" in line for n in refused)] == []
        for line in self.browser.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked = message["params"]["request"]["url"]
                assert asked.startswith((self.address, "data:", "blob:", "about:")), asked


@pytest.fixture
def page(browser, server):
    return Page(browser, server)


def test_a_browser_logs_in_with_the_token(guarded, browser):
    from selenium.webdriver.common.keys import Keys

    def send(text):
        browser.find_element("css selector", "[name=token]").send_keys(text, Keys.ENTER)

    browser.get(guarded)
    send("not the token")
    alerts = wait(lambda: browser.find_elements("css selector", "[role=alert]"))
    assert alerts[0].text == "This is not its token."
    send(TOKEN)
    wait(lambda: browser.execute_script("return document.body.dataset.ready"))


def test_hints_by_mouse(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    assert page.name() == NAMES[0]
    page.click_at(0.3, 0.75)
    wait(lambda: page.hints() == 1)
    swatches = wait(lambda: page.all(".suggestion"))
    assert 1 <= len(swatches) <= 5
    assert page.value(".suggestion input:checked") == page.value("#hex")
    if len(swatches) > 1:
        page.changes(swatches[-1].click)

    # Another color, by its number: the dark box becomes green, as far as its lightness has it.
    box = page.find("#hex")
    box.click()
    page.chord(Keys.CONTROL, "a")
    page.changes(lambda: page.press("#00a000", Keys.ENTER))
    wait(lambda: np.argmax(page.color_at(0.3, 0.75)) == 1, "it is not green")
    assert "lightness" in page.find("#hex-note").text
    page.changes(lambda: page.slide("#a", 40))
    wait(lambda: np.argmax(page.color_at(0.3, 0.75)) == 0, "it is not red")
    plane = page.find("#plane")
    page.changes(
        lambda: (
            ActionChains(page.browser).move_to_element_with_offset(plane, 3, 30).click().perform()
        )
    )
    page.changes(lambda: page.slide("#radius", 100))  # beyond the box
    assert int(page.find("#radius-value").text.split()[0]) > 50

    marker = page.find(".marker")
    place = page.find("#hint-place").text
    drag = ActionChains(page.browser).move_to_element(marker).click_and_hold()
    page.changes(lambda: drag.move_by_offset(60, -150).release().perform())
    assert page.find("#hint-place").text != place
    page.changes(page.find("#undo").click)
    wait(lambda: page.find("#hint-place").text == place)
    page.changes(page.find("#redo").click)
    page.changes(page.find("#delete-hint").click)
    assert page.hints() == 0
    page.changes(page.find("#undo").click)
    assert page.hints() == 1
    page.assert_clean()


def test_hints_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.focus("#stage")
    page.press(Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert not page.js("return document.getElementById('cross').hidden")
    page.press(Keys.ENTER)
    wait(lambda: page.hints() == 1)
    wait(lambda: page.browser.switch_to.active_element.get_attribute("class") == "marker")
    place = page.find("#hint-place").text
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    wait(lambda: page.find("#hint-place").text != place)
    page.press(Keys.ENTER)  # on to the likely colors
    wait(lambda: page.browser.switch_to.active_element.get_attribute("name") == "suggestion")
    page.focus("#plane")
    page.changes(lambda: page.press(*(5 * [Keys.ARROW_LEFT])))
    page.focus(".marker")
    page.changes(lambda: page.press(Keys.DELETE))
    assert page.hints() == 0
    page.changes(lambda: page.chord(Keys.CONTROL, "z"))
    assert page.hints() == 1
    page.changes(lambda: page.chord(Keys.CONTROL, "z", Keys.SHIFT))
    assert page.hints() == 0
    page.assert_clean()


def test_palettes_variants_and_adjustments(page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    page.changes(page.find("input[name=palette][value='name:technicolor']").click)
    page.changes(lambda: page.slide("#palette-strength", 0.3))
    assert page.find("#palette-strength-value").text == "30 %"
    chosen = page.find("input[name=palette]:checked")
    page.changes(lambda: chosen.send_keys(Keys.ARROW_UP))  # by keyboard
    assert "noir" in page.value("input[name=palette]:checked")

    page.js("document.getElementById('pick-color').value = '#2040c0'")
    page.changes(page.find("#pick-add").click)
    page.js("document.getElementById('pick-color').value = '#f0c040'")
    page.changes(page.find("#pick-add").click)
    assert len(page.all("#picked button")) == 2
    page.changes(page.all("#picked button")[0].click)
    assert len(page.all("#picked button")) == 1

    (tmp_path / "own.gpl").write_text("GIMP Palette\n#\n20 160 60 green\n200 220 80 lime\n")
    page.changes(lambda: page.find("#palette-file").send_keys(str(tmp_path / "own.gpl")))
    assert page.value("input[name=palette]:checked").startswith("file:")
    (tmp_path / "broken.gpl").write_text("GIMP Palette\n#\nx y z\n")
    page.find("#palette-file").send_keys(str(tmp_path / "broken.gpl"))
    wait(lambda: "broken" in page.status())

    page.find("#palette-picture").click()
    assert page.find("#pick-note").is_displayed()
    done = page.find(f"#pictures button[title='{NAMES[2]}']")
    page.changes(done.click)
    assert page.name() == NAMES[0]  # it stays open
    assert page.value("input[name=palette]:checked").startswith("picture:")
    page.changes(page.find("input[name=palette][value=':']").click)

    wait(lambda: len(page.all(".variant")) == 4)
    page.changes(lambda: page.js("document.querySelectorAll('.variant input')[1].click()"))
    page.focus(".variant input:checked")
    page.changes(lambda: page.press(Keys.ARROW_RIGHT))
    assert page.value(".variant input:checked") == "3"

    page.changes(lambda: page.slide("#temperature", -1.2))
    page.focus("#strength")
    page.changes(lambda: page.press(Keys.HOME))  # no color at all
    assert len(set(page.color_at(0.3, 0.3))) == 1
    page.changes(page.find("#reset").click)
    assert page.value(".variant input:checked") == "1"
    page.find("#only-gray").click()
    wait(lambda: page.made and not page.js("return document.getElementById('undo').disabled"))
    page.assert_clean(400)


def test_the_mask(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.press("m")
    assert page.find("#mask-section").is_displayed()
    before = page.js(
        "return document.getElementById('before').getContext('2d').getImageData(75, 320, 1, 1)"
        ".data[2]"
    )
    page.slide("#brush-size", 40)
    sheet = page.find("#sheet")
    stroke = ActionChains(page.browser).move_to_element_with_offset(sheet, -80, 130)
    stroke = stroke.click_and_hold().move_by_offset(20, 20).move_by_offset(10, 0).release()
    page.changes(stroke.perform)
    red, green, blue = page.color_at(0.31, 0.8)
    assert max(red, green, blue) - min(red, green, blue) <= 4, before
    page.changes(page.find("#mask-invert").click)
    page.changes(lambda: page.chord(Keys.CONTROL, "z"))
    page.find("input[name=brush][value=recolor]").click()
    page.focus("#stage")
    page.press(Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    page.find("input[name=brush][value=keep]").click()
    page.focus("#stage")
    page.changes(lambda: page.press(Keys.ENTER))  # a dab by keyboard
    page.changes(page.find("#mask-clear").click)
    page.press("c")
    assert not page.find("#mask-section").is_displayed()
    page.assert_clean()


def test_looking_zooming_and_other_pictures(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def clip():
        return page.find("#after-layer").value_of_css_property("clip-path")

    knob = page.find("#knob")
    assert knob.get_attribute("aria-valuenow") == "0"
    ActionChains(page.browser).move_to_element(knob).click_and_hold().move_by_offset(
        150, 0
    ).release().perform()
    assert int(knob.get_attribute("aria-valuenow")) > 20
    assert "%" in clip()
    page.focus("#knob")
    page.press(Keys.END)
    assert knob.get_attribute("aria-valuetext") == "all as it was"
    page.press(Keys.HOME, Keys.ARROW_RIGHT)
    assert knob.get_attribute("aria-valuenow") == "2"
    page.press("b")
    assert knob.get_attribute("aria-valuenow") == "100"

    def width():
        return page.find("#sheet").size["width"]

    fitted = width()
    page.find("#zoom-in").click()
    assert width() > fitted
    page.press("+", "+", "+", "+", "+")
    zoomed = width()
    assert zoomed > 2 * fitted
    wait(lambda: page.js("return document.getElementById('stage').dataset.detail"))  # it is sharp
    place = page.find("#sheet").location
    stage = page.find("#stage")
    ActionChains(page.browser).move_to_element(stage).click_and_hold().move_by_offset(
        60, 40
    ).release().perform()
    moved = page.find("#sheet").location
    assert (moved["x"] - place["x"], moved["y"] - place["y"]) != (0, 0)
    assert page.hints() == 0  # a drag puts no hint
    ActionChains(page.browser).scroll_from_origin(
        __import__(
            "selenium.webdriver.common.actions.wheel_input", fromlist=["ScrollOrigin"]
        ).ScrollOrigin.from_element(stage),
        0,
        -200,
    ).perform()
    assert width() > zoomed
    page.press("0")
    assert width() == fitted

    assert page.find("#shelf-count").text == "1 of 3 done"
    page.press(Keys.PAGE_DOWN)
    wait(lambda: page.name() == NAMES[1])
    page.find("#next").click()
    wait(lambda: page.name() == NAMES[2])
    assert page.find("#next").get_attribute("disabled")
    page.press(Keys.PAGE_UP)
    wait(lambda: page.name() == NAMES[1])
    stops = page.js(
        "return [...document.querySelectorAll('#pictures button')].map((e) => e.tabIndex)"
    )
    assert stops == [-1, 0, -1]  # Tab passes the list in one step
    page.focus(f"#pictures button[title='{NAMES[1]}']")
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    wait(lambda: page.name() == NAMES[2])
    page.assert_clean()


def test_save_and_the_copied_command_make_the_same_file(page, folder, tmp_path):
    from selenium.webdriver.common.keys import Keys

    page.click_at(0.3, 0.75)
    wait(lambda: page.hints() == 1)
    page.settle()
    page.changes(page.find("input[name=palette][value='name:1950s']").click)
    page.find("#save").click()
    result = folder / "a it's #1-recolored.jpg"
    wait(lambda: "Saved" in page.status())
    saved = result.read_bytes()
    wait(lambda: page.find("#shelf-count").text == "2 of 3 done")
    page.find("#copy").click()
    wait(lambda: page.find("#command-dialog").is_displayed())
    command = page.value("#command-text")
    wait(lambda: page.find("#command-copy").text in ("Copied", "Press Ctrl+C"))
    page.press(Keys.ESCAPE)
    result.unlink()
    program = tmp_path / "recolor"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recolor_cli "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(["sh", "-c", command], env=environment, check=True, cwd="/")
    assert result.read_bytes() == saved

    # A result that this page did not make is not replaced without a question.
    page.find(f"#pictures button[title='{NAMES[2]}']").click()
    wait(lambda: page.name() == NAMES[2])
    mine = (folder / "c done-recolored.png").read_bytes()
    page.chord(Keys.CONTROL, "s")
    wait(lambda: page.find("#replace-dialog").is_displayed())
    page.find("#replace-no").click()
    assert (folder / "c done-recolored.png").read_bytes() == mine
    page.chord(Keys.CONTROL, "s")
    wait(lambda: page.find("#replace-dialog").is_displayed())
    page.find("#replace-yes").click()
    wait(lambda: (folder / "c done-recolored.png").read_bytes() != mine)
    page.assert_clean(409)


def test_saved_choices_are_there_again(page, folder, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains

    def open_done():
        page.find(f"#pictures button[title='{NAMES[2]}']").click()
        wait(lambda: page.name() == NAMES[2])

    def mask():
        return page.js("return document.getElementById('mask-overlay').toDataURL()")

    open_done()
    page.click_at(0.3, 0.75)
    wait(lambda: page.hints() == 1)
    (tmp_path / "own.gpl").write_text("GIMP Palette\n#\n20 160 60 green\n200 220 80 lime\n")
    page.changes(lambda: page.find("#palette-file").send_keys(str(tmp_path / "own.gpl")))
    page.changes(lambda: page.slide("#strength", 1.5))
    page.press("m")
    sheet = page.find("#sheet")
    stroke = ActionChains(page.browser).move_to_element_with_offset(sheet, -80, -130)
    page.changes(stroke.click_and_hold().move_by_offset(50, 20).release().perform)
    painted = mask()
    page.find("#save").click()
    wait(lambda: page.find("#replace-dialog").is_displayed())
    page.find("#replace-yes").click()
    wait(lambda: "Saved" in page.status())
    page.press("c")
    place = page.find(".marker").get_attribute("aria-label")
    wait(lambda: page.js("return document.getElementById('stage').dataset.exact === 'true'"))
    pixels = page.pixels()

    page = Page(page.browser, page.address)
    open_done()
    wait(lambda: page.hints() == 1)
    assert page.find(".marker").get_attribute("aria-label") == place
    assert page.find("#strength-value").text == "150 %"
    assert page.value("input[name=palette]:checked").startswith("file:")
    wait(lambda: page.pixels() == pixels, "it looks otherwise")
    page.press("m")
    wait(lambda: mask() == painted, "the mask looks otherwise")
    page.press("c")
    assert page.find("#undo").get_attribute("disabled")
    page.changes(page.find("#reset").click)
    assert page.hints() == 0

    (folder / "c done-recolored.png-studio.json").write_text("{")
    page = Page(page.browser, page.address)
    open_done()
    wait(lambda: "c done-recolored.png-studio.json: " in page.status())
    assert page.hints() == 0
    page.assert_clean(409)


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (char) => char.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], arguments[1], { type: "image/png" }));
for (const kind of arguments[2]) {
  const event = kind === "paste"
    ? new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true })
    : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("stage").dispatchEvent(event);
}
"""


def test_drop_paste_and_choose(page, tmp_path):
    for number, kinds in enumerate((["dragenter", "dragover", "drop"], ["paste"])):
        name = f"caf\u00e9 {number}.png"
        data = encoded(scene(20 + number), "PNG")
        page.js(DROP, base64.b64encode(data).decode(), name, kinds)
        wait(lambda name=name: page.name() == name)
    assert not page.find("#drop").is_displayed()
    (tmp_path / "chosen.png").write_bytes(encoded(scene(30), "PNG"))
    page.changes(lambda: page.find("#add-file").send_keys(str(tmp_path / "chosen.png")))
    wait(lambda: page.name() == "chosen.png")
    # What was sent is downloaded, with the files that its command names.
    page.click_at(0.5, 0.5)
    wait(lambda: page.hints() == 1)
    page.find("#copy").click()
    wait(lambda: page.find("#command-dialog").is_displayed())
    command = page.value("#command-text")
    assert command.startswith("recolor ./chosen.png -o ./chosen-recolored.png --overwrite")
    assert page.find("#command-files a").text == "chosen-recolored.png-studio.json"
    page.find("#command-close").click()
    page.find("#save").click()
    wait(lambda: "Saved" in page.status())
    page.js(DROP, base64.b64encode(b"no picture").decode(), "x.png", ["drop"])
    wait(lambda: "no picture that can be read" in page.status())
    page.assert_clean(422)


# Keeps back the first answers, so many as it is told, to requests that a pattern finds.
HOLD = """
const [pattern, most, ask] = [new RegExp(arguments[0]), arguments[1], window.fetch];
const gate = new Promise((open) => { window.letGo = open; });
window.held = 0;
window.fetch = async (path, options) => {
  const answer = await ask(path, options);
  if (pattern.test(`${options?.method ?? "GET"} ${path}`) && window.held < most) {
    window.held += 1;
    await gate;
  }
  return answer;
};
"""


def test_answers_that_come_late_are_for_their_own_picture(page, folder):
    from selenium.webdriver.common.keys import Keys

    first = page.name()
    page.hold("/colors")
    page.click_at(0.3, 0.75)
    page.press(Keys.PAGE_DOWN)
    wait(lambda: page.name() != first)
    page.let_go()
    assert page.hints() == 0
    # The picture is closed while its variants are made, because another one is gone.
    (folder / "gone.png").write_bytes(encoded(scene(50), "PNG"))
    page = Page(page.browser, page.address)
    page.hold("/variants")
    page.changes(page.find("input[name=palette][value='name:noir']").click)
    wait(lambda: page.js("return window.held"))
    (folder / "gone.png").unlink()
    page.find("#pictures button[title='gone.png']").click()
    wait(lambda: page.name() == "No picture")
    text = page.status()
    assert text.startswith("gone.png: ")
    page.let_go()
    assert page.status() == text
    page.assert_clean(400, 422)


def test_an_older_listing_does_not_replace_a_newer_one(page):
    count = len(page.all("#pictures li"))
    page.hold("GET /studio/pictures$", 1)
    for number in (1, 2):
        data = encoded(scene(40 + number), "PNG")
        page.js(DROP, base64.b64encode(data).decode(), f"{number}.png", ["drop"])
        wait(lambda: page.js("return window.held"))
    wait(lambda: len(page.all("#pictures li")) == count + 2)
    page.let_go()
    assert len(page.all("#pictures li")) == count + 2
    page.assert_clean()


def test_a_phone(page):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        wait(lambda: page.js("return innerWidth") == 360)
        assert page.js("return document.documentElement.scrollWidth") == 360
        page.js("window.scrollTo(0, 0)")
        for id_ in ("save", "copy", "undo", "previous", "knob", "zoom-fit"):
            box = page.find(f"#{id_}").rect
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
            assert min(box["width"], box["height"]) >= 36
        touch = ActionBuilder(page.browser, mouse=PointerInput("touch", "finger"))
        touch.pointer_action.move_to(page.find("#sheet"), 10, 40).pointer_down().pointer_up()
        touch.perform()
        wait(lambda: page.hints() == 1)
        seen = page.js(
            "const r = document.getElementById('hint-title').getBoundingClientRect();"
            "return r.top < innerHeight"
        )
        assert seen  # the offered colors are in sight, below the picture
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.assert_clean()


def test_names_roles_and_contrast(page):
    unnamed = page.js(
        """
        return [...document.querySelectorAll("button, input, textarea, canvas[tabindex]")]
          .filter((e) => e.checkVisibility() && !e.getAttribute("aria-label")
            && !e.textContent.trim() && !e.labels?.length)
          .map((e) => e.outerHTML)
        """
    )
    assert unnamed == []
    assert len(page.js("return [...document.querySelectorAll('[id]')].map((e) => e.id)")) == len(
        set(page.js("return [...document.querySelectorAll('[id]')].map((e) => e.id)"))
    )
    for scheme in ("light", "dark"):
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        for selector in ("#name", ".quiet", "#save", "#facts", ".palette-name", ".tag"):
            ink, paper = page.js(
                """
                const element = document.querySelector(arguments[0]);
                let ground = element;
                const color = (e) => getComputedStyle(e).backgroundColor;
                while (ground && /, 0\\)$|transparent/.test(color(ground))) {
                  ground = ground.parentElement;
                }
                return [getComputedStyle(element).color, color(ground)];
                """,
                selector,
            )
            assert contrast(ink, paper) >= 4.5, (scheme, selector, ink, paper)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, other):
    """Return the contrast of two neutral colors by WCAG."""
    lights = []
    for text in (one, other):
        levels = [float(level) for level in re.findall(r"[\d.]+", text)[:3]]
        assert max(levels) == min(levels), f"{text} has a hue"
        light = levels[0] / 255
        lights.append(light / 12.92 if light <= 0.04045 else ((light + 0.055) / 1.055) ** 2.4)
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_every_file_of_the_page_is_in_the_package():
    static = ROOT / "recolor_cli" / "serve" / "studio" / "static"
    names = {str(path.relative_to(static)) for path in static.rglob("*") if path.is_file()}
    text = "".join((static / name).read_text() for name in names)
    for name in names - {"index.html"}:
        assert Path(name).name in text, name
    page = (static / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script>", page)
    assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", ""))
