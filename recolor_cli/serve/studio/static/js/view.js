// The picture on the stage: before and after, zoom and pan, the cross of the keyboard.

const MAX_ZOOM = 16; // screen pixels for one of the picture
const CLICK_REACH = 6; // CSS px that a click may move
const find = (id) => document.getElementById(id);

export class View {
  // `actions`: click(x, y), isPainting(), stroke(kind, x, y), moved(), all in pixels of the picture.
  constructor(actions) {
    this.actions = actions;
    this.stage = find("stage");
    this.sheet = find("sheet");
    this.size = null; // of the picture
    this.scale = 1; // CSS px for a pixel of the picture
    this.left = 0;
    this.top = 0;
    this.isFit = true;
    this.at = 0; // share of the stage left of the divider, which shows the picture as it was
    this.cross = null;
    this.pointers = new Map();
    this.#listen();
    new ResizeObserver(() => this.#resized()).observe(this.stage);
  }

  // Of the picture, in its pixels.
  get longSide() {
    return Math.max(this.size.width, this.size.height);
  }

  open(size) {
    this.size = size;
    this.isFit = true;
    this.cross = null;
    find("cross").hidden = true;
    for (const id of ["sheet", "divider"]) find(id).hidden = false;
    this.fit();
  }

  close() {
    this.size = null;
    for (const id of ["sheet", "divider", "tag-before"]) find(id).hidden = true;
  }

  // Draw a picture of any size onto a canvas of the sheet.
  draw(id, bitmap) {
    const canvas = find(id);
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
    canvas.hidden = false;
  }

  // Draw a detail, before above after, on its place.
  drawDetail(bitmap, [left, top, right, bottom]) {
    const height = bitmap.height / 2;
    ["before-detail", "after-detail"].forEach((id, number) => {
      const canvas = find(id);
      canvas.width = bitmap.width;
      canvas.height = height;
      canvas.getContext("2d").drawImage(bitmap, 0, -number * height);
      canvas.style.left = `${100 * left}%`;
      canvas.style.top = `${100 * top}%`;
      canvas.style.width = `${100 * (right - left)}%`;
      canvas.style.height = `${100 * (bottom - top)}%`;
      canvas.hidden = false;
    });
  }

  hideDetail() {
    for (const id of ["before-detail", "after-detail"]) find(id).hidden = true;
  }

  // The part of the picture that is seen, in shares of its sides, and its longest side on screen.
  seen() {
    const { clientWidth, clientHeight } = this.stage;
    const [width, height] = [this.size.width * this.scale, this.size.height * this.scale];
    const left = Math.max(0, -this.left / width);
    const top = Math.max(0, -this.top / height);
    const right = Math.min(1, (clientWidth - this.left) / width);
    const bottom = Math.min(1, (clientHeight - this.top) / height);
    const side = Math.max((right - left) * width, (bottom - top) * height);
    return { box: [left, top, right, bottom], side: Math.ceil(side * devicePixelRatio) };
  }

  fit() {
    if (!this.size) return;
    const margin = this.stage.clientWidth < 600 ? 8 : 28;
    const { width, height } = this.size;
    this.scale = Math.min(
      (this.stage.clientWidth - 2 * margin) / width,
      (this.stage.clientHeight - 2 * margin) / height,
      MAX_ZOOM,
    );
    this.scale = Math.max(this.scale, 1e-3);
    this.left = (this.stage.clientWidth - width * this.scale) / 2;
    this.top = (this.stage.clientHeight - height * this.scale) / 2;
    this.isFit = true;
    this.#place();
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    if (!this.size) return;
    const fitted = Math.min(
      this.stage.clientWidth / this.size.width,
      this.stage.clientHeight / this.size.height,
    );
    const least = Math.min(fitted / 2, 1);
    const scale = Math.min(Math.max(this.scale * factor, least), MAX_ZOOM);
    const change = scale / this.scale;
    this.left = x - (x - this.left) * change;
    this.top = y - (y - this.top) * change;
    this.scale = scale;
    this.isFit = false;
    this.#place();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.isFit = false;
    this.#place();
  }

  compare(at) {
    this.at = Math.min(Math.max(at, 0), 1);
    this.#place();
  }

  // Pixels of the picture at a place of the window; null beside the picture.
  pixelAt(clientX, clientY) {
    const box = this.sheet.getBoundingClientRect();
    const x = ((clientX - box.left) / box.width) * this.size.width;
    const y = ((clientY - box.top) / box.height) * this.size.height;
    return { x, y, isInside: x >= 0 && y >= 0 && x < this.size.width && y < this.size.height };
  }

  // What the canvas of the result shows at a pixel of the picture: [red, green, blue].
  colorAt(x, y) {
    const canvas = find("after");
    const place = [(x / this.size.width) * canvas.width, (y / this.size.height) * canvas.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    return [...context.getImageData(...place.map(Math.floor), 1, 1).data].slice(0, 3);
  }

  moveCross(dx, dy) {
    const { width, height } = this.size;
    const seen = this.seen().box;
    this.cross ??= {
      x: ((seen[0] + seen[2]) / 2) * width,
      y: ((seen[1] + seen[3]) / 2) * height,
    };
    this.cross.x = Math.min(Math.max(this.cross.x + dx, 0), width - 1);
    this.cross.y = Math.min(Math.max(this.cross.y + dy, 0), height - 1);
    const mark = find("cross");
    mark.hidden = false;
    mark.style.left = `${(100 * this.cross.x) / width}%`;
    mark.style.top = `${(100 * this.cross.y) / height}%`;
  }

  #resized() {
    if (!this.size) return;
    if (this.isFit) this.fit();
    else this.#place();
  }

  #place() {
    if (!this.size) return;
    const { clientWidth, clientHeight } = this.stage;
    const [width, height] = [this.size.width * this.scale, this.size.height * this.scale];
    // At least a quarter of the stage's shorter side stays covered.
    const rest = Math.min(clientWidth, clientHeight, width, height) / 4;
    this.left = Math.min(Math.max(this.left, rest - width), clientWidth - rest);
    this.top = Math.min(Math.max(this.top, rest - height), clientHeight - rest);
    const { style } = this.sheet;
    style.width = `${width}px`;
    style.height = `${height}px`;
    style.transform = `translate(${this.left}px, ${this.top}px)`;
    // The divider runs over the part of the picture that is seen.
    const start = Math.max(this.left, 0);
    const end = Math.min(this.left + width, clientWidth);
    const line = start + this.at * (end - start);
    const share = Math.min(Math.max((line - this.left) / width, 0), 1);
    find("after-layer").style.clipPath = `inset(0 0 0 ${100 * share}%)`;
    find("divider").style.transform = `translateX(${line}px)`;
    const percent = Math.round(100 * this.at);
    const knob = find("knob");
    knob.setAttribute("aria-valuenow", percent);
    const texts = { 0: "all new color", 100: "all as it was" };
    knob.setAttribute("aria-valuetext", texts[percent] ?? `${percent} % as it was`);
    find("tag-before").hidden = this.at < 0.12;
    find("tag-before").style.left = `${start + 10}px`;
    find("zoom-value").textContent = `${Math.round(100 * this.scale * devicePixelRatio)} %`;
    this.sheet.classList.toggle("pixels", this.scale * devicePixelRatio >= 3);
    this.actions.moved();
  }

  #listen() {
    const { stage } = this;
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, (event) => this.#up(event));
    }
    stage.addEventListener(
      "wheel",
      (event) => {
        if (!this.size) return;
        event.preventDefault();
        const box = stage.getBoundingClientRect();
        const lines = event.deltaMode === 1 ? 16 : 1;
        const factor = Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 120 : 400));
        this.zoom(factor, event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
    this.#listenToDivider();
  }

  #listenToDivider() {
    const knob = find("knob");
    knob.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      knob.setPointerCapture(event.pointerId);
      knob.focus();
    });
    knob.addEventListener("pointermove", (event) => {
      event.stopPropagation();
      if (!knob.hasPointerCapture(event.pointerId)) return;
      const stage = this.stage.getBoundingClientRect();
      const start = Math.max(this.left, 0);
      const width = this.size.width * this.scale;
      const end = Math.min(this.left + width, this.stage.clientWidth);
      this.compare((event.clientX - stage.left - start) / (end - start));
    });
    knob.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowDown: -0.02, ArrowUp: 0.02 };
      const ends = { Home: 0, End: 1 };
      if (event.key in steps) this.compare(this.at + steps[event.key]);
      else if (event.key in ends) this.compare(ends[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  #down(event) {
    if (!this.size || event.button > 1) return;
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    const place = { x: event.clientX, y: event.clientY };
    const isPan = event.button === 1 || event.altKey || this.isHeld;
    this.pointers.set(event.pointerId, { ...place, start: place, isPan, hasMoved: false });
    if (this.pointers.size > 1) {
      if (this.isPainting) this.actions.stroke("cancel");
      this.isPainting = false;
    } else if (!isPan && this.actions.isPainting()) {
      this.isPainting = true;
      this.actions.stroke("begin", this.pixelAt(event.clientX, event.clientY));
    }
    if (event.pointerType === "mouse") event.preventDefault();
  }

  #move(event) {
    if (!this.size) return;
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      this.actions.stroke("hover", this.pixelAt(event.clientX, event.clientY));
      return;
    }
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    const far = Math.hypot(event.clientX - pointer.start.x, event.clientY - pointer.start.y);
    if (far > CLICK_REACH) pointer.hasMoved = true;
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      const box = this.stage.getBoundingClientRect();
      const middle = [(event.clientX + other.x) / 2 - box.left, (event.clientY + other.y) / 2 - box.top];
      this.zoom(after / Math.max(before, 1), ...middle);
      this.pan(dx / 2, dy / 2);
      other.hasMoved = true;
    } else if (this.isPainting) {
      this.actions.stroke("go on", this.pixelAt(event.clientX, event.clientY));
    } else if (pointer.hasMoved) {
      this.pan(dx, dy);
    }
    if (pointer.hasMoved || this.pointers.size > 1 || this.isPainting) {
      pointer.x = event.clientX;
      pointer.y = event.clientY;
    }
  }

  #up(event) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    const wasAlone = this.pointers.size === 1;
    this.pointers.delete(event.pointerId);
    if (this.isPainting) {
      this.isPainting = false;
      this.actions.stroke(event.type === "pointerup" ? "end" : "cancel");
      return;
    }
    if (event.type !== "pointerup" || pointer.hasMoved || pointer.isPan || !wasAlone) return;
    const pixel = this.pixelAt(event.clientX, event.clientY);
    if (pixel.isInside) this.actions.click(pixel.x, pixel.y);
    else this.actions.click(null, null);
  }
}
