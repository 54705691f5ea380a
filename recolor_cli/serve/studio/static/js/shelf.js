// The list of pictures: thumbnails that load when they are seen, and what is done.

import { api } from "./api.js";

const find = (id) => document.getElementById(id);

export class Shelf {
  // `app`: open(listed), say(text).
  constructor(app) {
    this.app = app;
    this.list = [];
    this.key = ""; // of the open picture
    this.asked = this.shown = 0; // numbers of the listings that were asked for and shown last
    this.picking = null; // called with the picture that is chosen for its colors
    find("pick-cancel").addEventListener("click", () => this.#picked(null));
    find("pictures").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#choose(button.dataset.key);
    });
    find("pictures").addEventListener("keydown", (event) => this.#key(event));
  }

  async refresh() {
    const number = ++this.asked;
    const list = await api.pictures();
    if (number < this.shown) return; // a newer one was faster
    this.shown = number;
    this.list = list;
    this.#draw();
  }

  mark(key) {
    this.key = key;
    for (const button of find("pictures").querySelectorAll("button")) {
      const isOpen = button.dataset.key === key;
      if (isOpen) {
        button.setAttribute("aria-current", "true");
        button.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else button.removeAttribute("aria-current");
      button.tabIndex = isOpen ? 0 : -1; // one stop for Tab; arrow keys go on from there
    }
    const index = this.#index();
    if (index < 0 && this.list.length) find("pictures").querySelector("button").tabIndex = 0;
    find("previous").disabled = index <= 0;
    find("next").disabled = index < 0 || index >= this.list.length - 1;
  }

  step(by) {
    const listed = this.list[this.#index() + by];
    if (listed && this.#index() >= 0) this.app.open(listed);
  }

  // Let the user choose a picture whose colors are taken; null if that is given up.
  pick() {
    this.#picked(null);
    find("pick-note").hidden = false;
    const first = find("pictures").querySelector("button:not([aria-current])");
    (first ?? find("pick-cancel")).focus();
    return new Promise((done) => {
      this.picking = done;
    });
  }

  #picked(listed) {
    find("pick-note").hidden = true;
    this.picking?.(listed);
    this.picking = null;
  }

  #choose(key) {
    const listed = this.list.find((each) => each.key === key);
    if (!listed) return;
    if (this.picking) this.#picked(listed);
    else this.app.open(listed);
  }

  #index() {
    return this.list.findIndex((listed) => listed.key === this.key);
  }

  #key(event) {
    const buttons = [...find("pictures").querySelectorAll("button")];
    const index = buttons.indexOf(document.activeElement);
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
    if (event.key in steps) buttons[index + steps[event.key]]?.focus();
    else if (event.key === "Home") buttons[0]?.focus();
    else if (event.key === "End") buttons.at(-1)?.focus();
    else if (event.key === "Escape" && this.picking) this.#picked(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #draw() {
    const done = this.list.filter((listed) => listed.done).length;
    find("shelf-count").textContent = this.list.length ? `${done} of ${this.list.length} done` : "";
    const old = new Map([...find("pictures").children].map((item) => [item.dataset.mark, item]));
    find("pictures").replaceChildren(
      ...this.list.map((listed) => {
        const mark = `${listed.key} ${listed.done} ${listed.version}`;
        return old.get(mark) ?? this.#item(listed, mark);
      }),
    );
    document.body.classList.toggle("no-pictures", this.list.length === 0);
    this.mark(this.key);
  }

  #item(listed, mark) {
    const item = document.createElement("li");
    item.dataset.mark = mark;
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.key = listed.key;
    button.title = listed.name;
    button.setAttribute("aria-label", `${listed.name}${listed.done ? ", done" : ""}`);
    const image = document.createElement("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.width = image.height = 56;
    image.src = api.thumbnail(listed);
    image.addEventListener("error", () => image.removeAttribute("src")); // else a torn page shows
    const name = document.createElement("span");
    name.className = "picture-name";
    name.textContent = listed.name;
    button.append(image, name);
    if (listed.done) {
      const badge = document.createElement("span");
      badge.className = "badge";
      badge.textContent = "done";
      button.append(badge);
    }
    item.append(button);
    return item;
  }
}
