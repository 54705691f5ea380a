// Colors of places: the markers on the picture, and the editor of the selected one.

import { api } from "./api.js";
import { clipChroma, hexOfAb, isShown, labOfRgb, parseColor, rgbOfHex, rgbOfLab } from "./color.js";

const find = (id) => document.getElementById(id);
const REACH = 112; // ab units from the middle of the plane to its edge
const [LEAST_SHARE, MOST_SHARE] = [0.002, 0.15]; // radius of a hint, of the picture's long side
const USUAL_SHARE = 2.5 / 256;

export class Hints {
  // `app`: history, view, key(), say(text).
  constructor(app) {
    this.app = app;
    this.selected = null; // id of a hint
    this.nextId = 1;
    this.lightness = 50;
    this.places = new Map(); // what the server said of places
    this.#listen();
  }

  get list() {
    return this.app.history.now.hints;
  }

  get current() {
    return this.list.find((hint) => hint.id === this.selected) ?? null;
  }

  reset() {
    this.selected = null;
    this.places.clear();
  }

  // Wishes that were saved, with what the page needs for each hint.
  adopt(wishes) {
    const hints = (wishes?.hints ?? []).map((hint) => ({
      ...hint,
      id: this.nextId++,
      radius: hint.radius ?? this.#usualRadius(),
    }));
    return { ...wishes, hints };
  }

  #usualRadius() {
    return Math.round(this.app.view.longSide * USUAL_SHARE * 10) / 10;
  }

  // Put a hint at a pixel, in the color that it has now, and offer others.
  async add(x, y) {
    const { history, view } = this.app;
    const place = { x: Math.floor(x), y: Math.floor(y) };
    const [, a, b] = labOfRgb(view.colorAt(place.x, place.y));
    const id = this.nextId++;
    const key = this.app.key();
    const found = await this.#ask(place);
    if (!found || key !== this.app.key()) return;
    const color = found.colors[0]?.color ?? hexOfAb(found.lightness, a, b);
    this.selected = id;
    const radius = this.#usualRadius();
    history.make({ hints: [...this.list, { id, ...place, color, radius }] });
    this.app.say(`Hint ${this.list.length} at ${place.x}, ${place.y}`);
    this.#marker(id)?.focus({ preventScroll: true });
  }

  select(id) {
    this.selected = id;
    this.show();
  }

  remove() {
    const index = this.list.findIndex((hint) => hint.id === this.selected);
    if (index < 0) return;
    this.selected = null;
    this.app.history.make({ hints: this.list.filter((_, number) => number !== index) });
    this.app.say("Hint deleted");
    find("stage").focus({ preventScroll: true });
  }

  change(changes, isDone = true) {
    const hints = this.list.map((hint) =>
      hint.id === this.selected ? { ...hint, ...changes } : hint,
    );
    if (isDone) this.app.history.make({ hints });
    else this.app.history.try({ hints });
  }

  // Show markers and editor as the wishes are now.
  show() {
    if (!this.current) this.selected = null;
    this.#showMarkers();
    const hint = this.current;
    find("hint-none").hidden = hint !== null;
    find("hint-editor").hidden = hint === null;
    const count = this.list.length;
    find("hint-count").textContent =
      count === 0 ? "" : `${count} ${count === 1 ? "hint" : "hints"} in this picture`;
    if (hint) this.#showEditor(hint);
  }

  #marker(id) {
    return find("markers").querySelector(`[data-id="${id}"]`);
  }

  #showMarkers() {
    const { size } = this.app.view;
    if (!size) return;
    const wanted = new Set(this.list.map((hint) => String(hint.id)));
    for (const marker of [...find("markers").children]) {
      if (!wanted.has(marker.dataset.id)) marker.remove();
    }
    this.list.forEach((hint, number) => {
      let marker = this.#marker(hint.id);
      if (!marker) {
        marker = this.#newMarker(hint.id);
        find("markers").append(marker);
      }
      marker.style.left = `${(100 * (hint.x + 0.5)) / size.width}%`;
      marker.style.top = `${(100 * (hint.y + 0.5)) / size.height}%`;
      marker.style.setProperty("--color", hint.color);
      const ring = marker.querySelector(".reach");
      ring.style.width = ring.style.height = `${2 * hint.radius * this.app.view.scale}px`;
      marker.setAttribute("aria-label", `Hint ${number + 1}: ${hint.color} at ${hint.x}, ${hint.y}`);
      marker.setAttribute("aria-pressed", String(hint.id === this.selected));
    });
  }

  #newMarker(id) {
    const marker = document.createElement("button");
    marker.type = "button";
    marker.className = "marker";
    marker.dataset.id = id;
    const reach = document.createElement("span");
    reach.className = "reach";
    marker.append(reach);
    let start = null;
    marker.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      event.preventDefault();
      marker.setPointerCapture(event.pointerId);
      marker.focus({ preventScroll: true });
      start = { x: event.clientX, y: event.clientY, hasMoved: false };
      this.select(id);
    });
    marker.addEventListener("pointermove", (event) => {
      event.stopPropagation();
      if (!start || !marker.hasPointerCapture(event.pointerId)) return;
      start.hasMoved ||= Math.hypot(event.clientX - start.x, event.clientY - start.y) > 3;
      if (start.hasMoved) this.#moveTo(this.app.view.pixelAt(event.clientX, event.clientY), false);
    });
    const end = (event) => {
      event.stopPropagation();
      if (start?.hasMoved) {
        this.app.history.make();
        this.places.clear();
        this.show();
      }
      start = null;
    };
    marker.addEventListener("pointerup", end);
    marker.addEventListener("pointercancel", end);
    marker.addEventListener("focus", () => this.selected !== id && this.select(id));
    marker.addEventListener("keydown", (event) => this.#key(event));
    return marker;
  }

  #moveTo({ x, y }, isDone) {
    const { width, height } = this.app.view.size;
    const within = (value, side) => Math.min(Math.max(Math.floor(value), 0), side - 1);
    this.change({ x: within(x, width), y: within(y, height) }, isDone);
  }

  #key(event) {
    const side = this.app.view.longSide;
    const step = Math.max(1, Math.round(side * (event.shiftKey ? 0.03 : 0.004)));
    const steps = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    if (event.key in steps) {
      const [dx, dy] = steps[event.key];
      const hint = this.current;
      if (hint) this.#moveTo({ x: hint.x + dx, y: hint.y + dy }, true);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.remove();
    } else if (event.key === "Enter" || event.key === " ") {
      this.#enterSuggestions(this.current);
    } else if (event.key === "Escape") {
      this.select(null);
      find("stage").focus({ preventScroll: true });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  async #ask({ x, y }) {
    const place = `${x},${y}`;
    if (!this.places.has(place)) {
      const key = this.app.key();
      this.places.set(
        place,
        api.colors(key, x, y).catch((error) => {
          this.places.delete(place);
          this.app.say(error.message, true);
          return null;
        }),
      );
    }
    return this.places.get(place);
  }

  async #showEditor(hint) {
    find("hint-place").textContent = `at ${hint.x}, ${hint.y}`;
    const [, a, b] = labOfRgb(rgbOfHex(hint.color));
    if (document.activeElement !== find("hex")) find("hex").value = hint.color;
    if (document.activeElement !== find("a")) find("a").value = Math.round(a);
    if (document.activeElement !== find("b")) find("b").value = Math.round(b);
    const side = this.app.view.longSide;
    const share = Math.log(hint.radius / side / LEAST_SHARE) / Math.log(MOST_SHARE / LEAST_SHARE);
    find("radius").value = Math.round(100 * share);
    find("radius-value").textContent = `${Math.round(hint.radius)} px`;
    const found = await this.#ask(hint);
    if (!found || this.current?.id !== hint.id) return;
    this.lightness = found.lightness;
    this.#showSuggestions(found, hint);
    this.#drawPlane(a, b);
    const [shownA, shownB] = clipChroma(found.lightness, a, b);
    const shown = rgbOfLab(found.lightness, shownA, shownB);
    find("shown").style.setProperty("--color", `rgb(${shown.join(" ")})`);
    find("shown").setAttribute("aria-label", "How it looks at this place");
    const light = Math.round(found.lightness);
    find("hex-note").textContent = isShown(found.lightness, a, b)
      ? `here, at lightness ${light}`
      : `the most that lightness ${light} has`;
  }

  // Go on to the likely colors by keyboard, once the server has told them.
  async #enterSuggestions(hint) {
    const found = hint && (await this.#ask(hint));
    const now = this.current; // another object if the hint got another color meanwhile
    if (!found || now?.id !== hint.id || now.x !== hint.x || now.y !== hint.y) return;
    this.#showSuggestions(found, now);
    find("suggestions").querySelector("input")?.focus();
  }

  #showSuggestions(found, hint) {
    const group = find("suggestions");
    const same = group.dataset.place === `${hint.x},${hint.y}`;
    if (!same) {
      group.dataset.place = `${hint.x},${hint.y}`;
      group.replaceChildren(...found.colors.map((color) => this.#suggestion(color)));
    }
    for (const input of group.querySelectorAll("input")) {
      input.checked = input.value === hint.color;
    }
  }

  #suggestion({ color, share }) {
    const label = document.createElement("label");
    label.className = "suggestion";
    label.title = color;
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "suggestion";
    input.value = color;
    const percent = share >= 0.01 ? `${Math.round(100 * share)} %` : "< 1 %";
    input.setAttribute("aria-label", `${color}, ${percent} likely`);
    input.addEventListener("change", () => this.change({ color }));
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.setProperty("--color", color);
    const text = document.createElement("span");
    text.className = "percent";
    text.textContent = percent;
    label.append(input, swatch, text);
    return label;
  }

  // The ab plane at the lightness of the place: what sRGB has there is colored.
  #drawPlane(a, b) {
    const canvas = find("plane");
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    if (this.drawnLightness !== this.lightness) {
      const image = context.createImageData(width, height);
      for (let row = 0; row < height; row += 1) {
        for (let column = 0; column < width; column += 1) {
          const atA = ((2 * column) / (width - 1) - 1) * REACH;
          const atB = (1 - (2 * row) / (height - 1)) * REACH;
          if (!isShown(this.lightness, atA, atB)) continue;
          image.data.set([...rgbOfLab(this.lightness, atA, atB), 255], 4 * (row * width + column));
        }
      }
      this.plane = image;
      this.drawnLightness = this.lightness;
    }
    context.putImageData(this.plane, 0, 0);
    context.fillStyle = "rgb(128 128 128 / 45%)"; // the axes, which cross at gray
    context.fillRect(0, Math.floor(height / 2), width, 1);
    context.fillRect(Math.floor(width / 2), 0, 1, height);
    const x = ((a / REACH + 1) / 2) * (width - 1);
    const y = ((1 - b / REACH) / 2) * (height - 1);
    for (const [style, size] of [
      ["#000", 7],
      ["#fff", 5.5],
    ]) {
      context.beginPath();
      context.arc(x, y, size, 0, 2 * Math.PI);
      context.strokeStyle = style;
      context.lineWidth = 1.5;
      context.stroke();
    }
  }

  #setAb(a, b, isDone) {
    this.change({ color: hexOfAb(this.lightness, a, b) }, isDone);
  }

  #listen() {
    const plane = find("plane");
    const abAt = (event) => {
      const box = plane.getBoundingClientRect();
      return [
        ((2 * (event.clientX - box.left)) / box.width - 1) * REACH,
        (1 - (2 * (event.clientY - box.top)) / box.height) * REACH,
      ];
    };
    plane.addEventListener("pointerdown", (event) => {
      plane.setPointerCapture(event.pointerId);
      this.#setAb(...abAt(event), false);
    });
    plane.addEventListener("pointermove", (event) => {
      if (plane.hasPointerCapture(event.pointerId)) this.#setAb(...abAt(event), false);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      plane.addEventListener(name, () => this.app.history.make());
    }
    plane.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 2;
      const steps = {
        ArrowLeft: [-step, 0],
        ArrowRight: [step, 0],
        ArrowUp: [0, step],
        ArrowDown: [0, -step],
      };
      if (!(event.key in steps) || !this.current) return;
      event.preventDefault();
      event.stopPropagation();
      const [, a, b] = labOfRgb(rgbOfHex(this.current.color));
      this.#setAb(a + steps[event.key][0], b + steps[event.key][1], true);
    });
    find("hex").addEventListener("input", () => {
      const color = parseColor(find("hex").value);
      find("hex").setAttribute("aria-invalid", String(color === null));
      if (color) this.change({ color }, false);
    });
    find("hex").addEventListener("change", () => {
      this.app.history.make();
      find("hex").removeAttribute("aria-invalid");
      if (this.current) find("hex").value = this.current.color;
    });
    for (const id of ["a", "b"]) {
      find(id).addEventListener("change", () => {
        const [a, b] = [Number(find("a").value), Number(find("b").value)];
        if (Number.isFinite(a) && Number.isFinite(b)) this.#setAb(a, b, true);
      });
    }
    const radius = () => {
      const side = this.app.view.longSide;
      const share = LEAST_SHARE * (MOST_SHARE / LEAST_SHARE) ** (Number(find("radius").value) / 100);
      return Math.round(side * share * 10) / 10;
    };
    find("radius").addEventListener("input", () => this.change({ radius: radius() }, false));
    find("radius").addEventListener("change", () => this.app.history.make());
    find("delete-hint").addEventListener("click", () => this.remove());
  }
}
