// The mask: painted over the preview, sent to the server after each stroke.

import { api } from "./api.js";

const find = (id) => document.getElementById(id);

export class Mask {
  // `app`: history, view, say(text).
  constructor(app) {
    this.app = app;
    this.levels = new Map(); // by key: levels of the pixels, for undo
    this.shownKey = "";
    this.canvas = document.createElement("canvas"); // white recolors, black keeps
    this.#listen();
  }

  get isActive() {
    return document.querySelector("input[name=tool]:checked").value === "mask";
  }

  open(size) {
    this.levels.clear();
    for (const canvas of [this.canvas, find("mask-overlay")]) {
      canvas.width = size.width;
      canvas.height = size.height;
    }
    this.shownKey = null;
    this.show();
  }

  // Show the mask of the wishes as they are now.
  show() {
    find("mask-overlay").hidden = !this.isActive;
    find("mask-section").hidden = !this.isActive;
    const key = this.app.history.now.mask;
    find("mask-clear").disabled = key === "";
    if (key === this.shownKey) return;
    this.shownKey = key;
    if (key && !this.levels.has(key)) {
      this.#load(key);
      return;
    }
    const context = this.#context();
    const { width, height } = this.canvas;
    if (!key) {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
    } else {
      const image = context.createImageData(width, height);
      this.levels.get(key).forEach((level, number) => {
        image.data.set([level, level, level, 255], 4 * number);
      });
      context.putImageData(image, 0, 0);
    }
    this.#drawOverlay();
  }

  // Show a mask that was painted before this picture was opened.
  async #load(key) {
    try {
      const bitmap = await api.mask(key);
      if (key !== this.shownKey) return;
      this.#context().drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
      this.levels.set(key, this.#read());
      this.#drawOverlay();
    } catch (error) {
      this.app.say(error.message, true);
    }
  }

  // The levels of the pixels: 255 recolors, 0 keeps.
  #read() {
    const { width, height } = this.canvas;
    const { data } = this.#context().getImageData(0, 0, width, height);
    return new Uint8Array(width * height).map((_, number) => data[4 * number]);
  }

  stroke(kind, pixel) {
    if (kind === "hover") this.#showRing(pixel);
    else if (kind === "cancel") this.#restore();
    else if (kind === "end") this.#send();
    else {
      this.#showRing(pixel);
      this.#line(kind === "begin" ? pixel : this.last, pixel);
      this.last = pixel;
    }
  }

  dab(x, y) {
    this.#line({ x, y }, { x, y });
    this.#send();
  }

  #context() {
    return this.canvas.getContext("2d", { willReadFrequently: true });
  }

  // Radius of the brush in pixels of the picture.
  #radius() {
    return this.app.view.longSide * 0.0025 * Number(find("brush-size").value);
  }

  #line(from, to) {
    const context = this.#context();
    const scale = this.canvas.width / this.app.view.size.width;
    const keeps = document.querySelector("input[name=brush]:checked").value === "keep";
    context.strokeStyle = keeps ? "#000" : "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = 2 * this.#radius() * scale;
    context.beginPath();
    context.moveTo(from.x * scale, from.y * scale);
    context.lineTo(to.x * scale + 0.01, to.y * scale);
    context.stroke();
    this.#drawOverlay();
  }

  #restore() {
    this.shownKey = null;
    this.show();
  }

  async #send() {
    const levels = this.#read();
    if (levels.every((level) => level === 255)) {
      this.app.history.make({ mask: "" });
      return;
    }
    if (levels.every((level) => level === 0)) {
      this.app.say("A mask that keeps everything leaves nothing to recolor", true);
      this.#restore();
      return;
    }
    const picture = this.app.key();
    const blob = await new Promise((done) => this.canvas.toBlob(done, "image/png"));
    try {
      const { key } = await api.send("/studio/guides", blob, "mask.png");
      if (picture !== this.app.key()) return;
      this.levels.set(key, levels);
      this.shownKey = key;
      this.app.history.make({ mask: key });
    } catch (error) {
      this.app.say(error.message, true);
      this.#restore();
    }
  }

  // What keeps its color is hatched, in black and white that show on every color.
  #drawOverlay() {
    const overlay = find("mask-overlay");
    const context = overlay.getContext("2d");
    const { width, height } = overlay;
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, width, height);
    const { data } = this.#context().getImageData(0, 0, width, height);
    const image = context.createImageData(width, height);
    for (let number = 0; number < width * height; number += 1) {
      const [x, y] = [number % width, Math.floor(number / width)];
      const stripe = (x + y) % 12 < 6 ? 255 : 0;
      image.data.set([stripe, stripe, stripe, 0.55 * (255 - data[4 * number])], 4 * number);
    }
    context.putImageData(image, 0, 0);
  }

  #showRing({ x, y }) {
    const ring = find("brush");
    ring.hidden = !this.isActive;
    const { size, scale } = this.app.view;
    ring.style.left = `${(100 * x) / size.width}%`;
    ring.style.top = `${(100 * y) / size.height}%`;
    ring.style.width = ring.style.height = `${2 * this.#radius() * scale}px`;
  }

  #listen() {
    find("brush-size").addEventListener("input", () => {
      find("brush-value").textContent = find("brush-size").value;
    });
    find("mask-clear").addEventListener("click", () => this.app.history.make({ mask: "" }));
    find("mask-invert").addEventListener("click", () => {
      const context = this.#context();
      context.globalCompositeOperation = "difference";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, this.canvas.width, this.canvas.height);
      context.globalCompositeOperation = "source-over";
      this.#drawOverlay();
      this.#send();
    });
    find("stage").addEventListener("pointerleave", () => {
      find("brush").hidden = true;
    });
  }
}
