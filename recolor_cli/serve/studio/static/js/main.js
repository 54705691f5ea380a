// The studio: one picture is open, and what is shown follows from the wishes for it.

import { api } from "./api.js";
import { listenToDrops } from "./drops.js";
import { Hints } from "./hints.js";
import { History, NOTHING, sent } from "./history.js";
import { Mask } from "./mask.js";
import { Palettes } from "./palette.js";
import { Saver } from "./saver.js";
import { Shelf } from "./shelf.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);
const DETAIL_DELAY = 250; // ms without a change until the part that is seen is made sharp
const VARIANTS = 4;

let picture = null; // what the server says of the open picture
let opening = null; // ends the opening of another one
let lastMade = ""; // wishes of the preview that is shown
let isDraft = false; // whether hints are spread in it less exactly, in less time
let lastVariants = "";
let isWorking = false;
let detailTimer = 0;
const drafts = new Map(); // wishes of pictures that were left, by key
const saved = new Map(); // wishes as they were opened or saved, by key, as text
const unsaved = new Set(); // keys of pictures with other wishes

const history = new History(() => show());
const view = new View({
  click: (x, y) => {
    if (x === null || mask.isActive) hints.select(null);
    else hints.add(x, y);
  },
  isPainting: () => mask.isActive,
  stroke: (kind, pixel) => mask.stroke(kind, pixel),
  moved: () => {
    if (!picture) return;
    hints.show();
    planDetail();
  },
});
const app = { history, view, key: () => picture?.key ?? "", say };
const hints = new Hints(app);
const mask = new Mask(app);
const palettes = new Palettes({ ...app, pickPicture: () => shelf.pick() });
const shelf = new Shelf({
  ...app,
  open: (listed) => {
    say(""); // it was about the picture before
    open(listed);
  },
});

const saver = new Saver({
  ...app,
  saved: (key, wishes) => {
    saved.set(key, JSON.stringify(wishes));
    unsaved.delete(key);
    show();
    return shelf.refresh();
  },
});

function say(text, isError = false) {
  const status = find("status");
  status.textContent = text;
  status.classList.toggle("error", isError);
  status.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => status.classList.remove("shown"), isError ? 9000 : 3000);
}

async function open(listed) {
  if (picture && listed.key === picture.key) return;
  opening?.abort();
  opening = new AbortController();
  const { signal } = opening;
  keepDraft();
  find("busy").hidden = false;
  find("welcome").hidden = true;
  shelf.mark(listed.key);
  try {
    const described = await api.open(listed.key, signal);
    const before = await api.before(listed.key);
    if (signal.aborted) return;
    picture = described;
    lastMade = lastVariants = "";
    view.open({ width: described.width, height: described.height });
    view.hideDetail();
    view.draw("before", before);
    view.draw("after", before);
    hints.reset();
    palettes.reset();
    const draft = drafts.get(described.key);
    if (draft) Object.assign(history, draft);
    else {
      history.clear({ ...NOTHING, ...hints.adopt(described.choices) });
      saved.set(described.key, JSON.stringify(sent(history.now)));
    }
    mask.open(described.preview);
    const facts = [`${described.width} × ${described.height}`];
    if (described.damage) facts.push("damaged");
    find("name").textContent = described.name;
    find("facts").textContent = facts.join(" · ");
    document.title = `${described.name} – recolor studio`;
    show();
    if (described.choices_error) say(described.choices_error, true);
  } catch (error) {
    if (signal.aborted) return;
    close();
    say(`${listed.name}: ${error.message}`, true);
  } finally {
    if (!signal.aborted) find("busy").hidden = true;
  }
}

function keepDraft() {
  if (!picture) return;
  const { past, future, now } = history;
  if (past.length || future.length) drafts.set(picture.key, { past, future, now, begun: null });
}

function close() {
  picture = null;
  view.close();
  find("welcome").hidden = false;
  find("name").textContent = "No picture";
  find("facts").textContent = "";
  find("variants").replaceChildren();
  show();
}

// Show all controls as the wishes are, and ask for what they make of the picture.
function show() {
  const { now, past, future } = history;
  find("undo").disabled = past.length === 0 && history.begun === null;
  find("redo").disabled = future.length === 0;
  for (const id of ["save", "copy"]) find(id).disabled = picture === null;
  if (picture) {
    if (JSON.stringify(sent(now)) === saved.get(picture.key)) unsaved.delete(picture.key);
    else unsaved.add(picture.key);
  }
  hints.show();
  palettes.show();
  if (picture) mask.show();
  const temperature = now.temperature ?? picture?.temperature ?? 0.38;
  find("temperature").value = Math.log10(temperature);
  find("temperature-value").textContent = temperature.toFixed(2);
  find("strength").value = now.strength;
  find("strength-value").textContent = `${Math.round(100 * now.strength)} %`;
  find("only-gray").checked = now.only_gray;
  find("reset").disabled = JSON.stringify(now) === JSON.stringify(NOTHING);
  for (const input of find("variants").querySelectorAll("input")) {
    input.checked = Number(input.value) === now.pick;
  }
  work();
}

// Make the newest preview; what was wished meanwhile is made after it, and nothing between.
async function work() {
  if (isWorking || !picture) return;
  isWorking = true;
  try {
    for (;;) {
      const { key } = picture;
      const wishes = sent(history.now);
      const made = JSON.stringify([key, wishes]);
      if (made === lastMade) break;
      const started = performance.now();
      const draft = wishes.hints.length > 0;
      const bitmap = await api.preview(key, wishes, draft);
      lastMade = made;
      isDraft = draft;
      if (picture?.key === key) {
        view.hideDetail();
        view.draw("after", bitmap);
        find("stage").dataset.exact = String(!draft);
        find("stage").dataset.ms = Math.round(performance.now() - started);
        find("stage").dataset.made = String(Number(find("stage").dataset.made ?? 0) + 1);
      }
      if (!picture) break;
    }
  } catch (error) {
    lastMade = "";
    say(error.message, true);
  } finally {
    isWorking = false;
  }
  planDetail();
}

function planDetail() {
  clearTimeout(detailTimer);
  detailTimer = setTimeout(makeDetail, DETAIL_DELAY);
}

async function makeDetail() {
  if (!picture || isWorking || history.begun !== null) return;
  const { key } = picture;
  const wishes = sent(history.now);
  try {
    if (isDraft) await makeExact(key, wishes);
    await makeVariants(key, history.now);
    if (picture?.key !== key) return;
    const seen = view.seen();
    const { width, height } = picture.preview;
    const shown = Math.max((seen.box[2] - seen.box[0]) * width, (seen.box[3] - seen.box[1]) * height);
    if (seen.box[0] >= seen.box[2] || seen.box[1] >= seen.box[3]) return;
    if (seen.side < 1.1 * shown) return;
    const place = JSON.stringify(seen);
    const bitmap = await api.detail(key, { wishes, ...seen });
    const isStill = picture?.key === key && JSON.stringify([key, wishes]) === lastMade;
    if (isStill && JSON.stringify(view.seen()) === place) {
      view.drawDetail(bitmap, seen.box);
      find("stage").dataset.detail = place;
    }
  } catch (error) {
    say(error.message, true);
  }
}

// Replace a draft by what Save makes, unless something was changed meanwhile.
async function makeExact(key, wishes) {
  const bitmap = await api.preview(key, wishes, false);
  if (JSON.stringify([key, wishes]) !== lastMade || isWorking) return;
  view.draw("after", bitmap);
  isDraft = false;
  find("stage").dataset.exact = "true";
}

async function makeVariants(key, now) {
  const wanted = { ...sent(now), hints: [], mask: "", pick: 1 };
  const made = JSON.stringify([key, wanted]);
  if (made === lastVariants) return;
  const sheet = await api.variants(key, wanted);
  if (picture?.key !== key) return;
  lastVariants = made;
  const width = sheet.width / VARIANTS;
  const labels = Array.from({ length: VARIANTS }, (_, index) => {
    const label = document.createElement("label");
    label.className = "variant";
    label.title = index === 0 ? "The network's own colors" : `Variant ${index + 1}`;
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "variant";
    input.value = index + 1;
    input.checked = index + 1 === history.now.pick;
    input.setAttribute("aria-label", label.title);
    input.addEventListener("change", () => history.make({ pick: index + 1 }));
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = sheet.height;
    canvas.getContext("2d").drawImage(sheet, -index * width, 0);
    label.append(input, canvas);
    return label;
  });
  const focused = document.activeElement?.closest(".variant")?.querySelector("input").value;
  find("variants").replaceChildren(...labels);
  if (focused) labels[focused - 1].querySelector("input").focus({ preventScroll: true });
}

async function addFiles(files) {
  const added = [];
  for (const file of files) {
    try {
      const { key } = await api.send("/studio/pictures", file, file.name || "pasted.png");
      added.push(key);
    } catch (error) {
      say(`${file.name}: ${error.message}`, true);
    }
  }
  if (!added.length) return;
  await shelf.refresh();
  // The server keeps the last ones alone, if there are very many.
  const kept = added.find((key) => shelf.list.some((listed) => listed.key === key));
  await open(shelf.list.find((listed) => listed.key === kept));
}

function setTool(tool) {
  document.querySelector(`input[name=tool][value=${tool}]`).checked = true;
  if (picture) mask.show();
  find("hint-section").hidden = tool === "mask";
  find("stage").classList.toggle("painting", tool === "mask");
  find("markers").hidden = tool === "mask";
  find("brush").hidden = true;
}

const SHORTCUTS = {
  PageUp: () => shelf.step(-1),
  PageDown: () => shelf.step(1),
  "+": () => view.zoom(1.25),
  "=": () => view.zoom(1.25),
  "-": () => view.zoom(0.8),
  0: () => view.fit(),
  c: () => setTool("color"),
  m: () => setTool("mask"),
  b: () => view.compare(view.at > 0.5 ? 0 : 1),
  Delete: () => hints.remove(),
};

function shortcut(event) {
  const isText = event.target.matches("input[type=text], input[type=number], textarea");
  if (document.querySelector("dialog[open]")) return;
  const isCommand = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (isCommand && key === "s") saver.save();
  else if (isText) return;
  else if (isCommand && key === "z" && event.shiftKey) history.redo();
  else if (isCommand && key === "z") history.undo();
  else if (isCommand && key === "y") history.redo();
  else if (!isCommand && !event.altKey && key in SHORTCUTS) SHORTCUTS[key]();
  else return;
  event.preventDefault();
}

function stageKey(event) {
  if (!picture || event.target !== find("stage") || event.ctrlKey || event.metaKey) return;
  const step = view.longSide * (event.shiftKey ? 0.05 : 0.01);
  const steps = {
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowUp: [0, -step],
    ArrowDown: [0, step],
  };
  if (event.key in steps) view.moveCross(...steps[event.key]);
  else if (event.key === "Enter") {
    view.moveCross(0, 0);
    if (mask.isActive) mask.dab(view.cross.x, view.cross.y);
    else hints.add(view.cross.x, view.cross.y);
  } else if (event.key === "Escape") hints.select(null);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function listen() {
  const click = (id, action) => find(id).addEventListener("click", action);
  click("undo", () => history.undo());
  click("redo", () => history.redo());
  click("previous", () => shelf.step(-1));
  click("next", () => shelf.step(1));
  click("zoom-in", () => view.zoom(1.25));
  click("zoom-out", () => view.zoom(0.8));
  click("zoom-fit", () => view.fit());
  click("reset", () => history.make({ ...NOTHING }));
  for (const id of ["add", "choose"]) click(id, () => find("add-file").click());
  find("add-file").addEventListener("change", async (event) => {
    await addFiles([...event.target.files]);
    event.target.value = "";
  });
  const slide = (id, changes) => {
    find(id).addEventListener("input", (event) => history.try(changes(Number(event.target.value))));
    find(id).addEventListener("change", () => history.make());
  };
  slide("temperature", (value) => ({ temperature: Math.round(1000 * 10 ** value) / 1000 }));
  slide("strength", (value) => ({ strength: value }));
  find("only-gray").addEventListener("change", (event) => {
    history.make({ only_gray: event.target.checked });
  });
  for (const input of document.querySelectorAll("input[name=tool]")) {
    input.addEventListener("change", () => setTool(input.value));
  }
  window.addEventListener("beforeunload", (event) => {
    if (unsaved.size) event.preventDefault();
  });
  document.addEventListener("keydown", shortcut);
  find("stage").addEventListener("keydown", stageKey);
  find("stage").addEventListener("blur", () => {
    find("cross").hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target === find("stage")) {
      view.isHeld = true;
      event.preventDefault();
    }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") view.isHeld = false;
  });
  listenToDrops(addFiles);
}

async function start() {
  listen();
  show();
  try {
    const about = await api.about();
    palettes.fill(about.palettes);
    if (about.folder) find("shelf-title").textContent = about.folder;
    await shelf.refresh();
    const first = shelf.list.find((listed) => !listed.done) ?? shelf.list[0];
    if (first) await open(first);
  } catch (error) {
    say(error.message, true);
  }
  document.body.dataset.ready = "true";
}

start();
