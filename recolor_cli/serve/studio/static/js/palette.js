// The palette: by name, of a picture of the folder, of a file, or of colors that are picked.

import { api } from "./api.js";

const find = (id) => document.getElementById(id);
const MAX_COLORS = 24;

export class Palettes {
  // `app`: history, key(), say(text), pickPicture() -> listed picture or null.
  constructor(app) {
    this.app = app;
    this.named = [];
    this.chosen = null; // of a picture or a file: the last one, which stays in the list
    this.#listen();
  }

  fill(named) {
    this.named = named;
    this.show();
  }

  reset() {
    this.chosen = null;
  }

  show() {
    const { palette, palette_strength: strength } = this.app.history.now;
    if (palette && ["file", "picture"].includes(palette.kind)) this.chosen = palette;
    const choices = [
      { kind: "", text: "", label: "None", title: "The network's own colors", colors: [] },
      ...this.named.map(({ name, about, colors }) => ({
        ...{ kind: "name", text: name, label: name, title: about, colors },
      })),
    ];
    if (this.chosen) choices.push({ ...this.chosen, title: this.chosen.label });
    this.#showChoices(choices, palette);
    this.#showPicked(palette);
    find("palette-strength-row").hidden = palette === null;
    find("palette-strength").value = strength;
    find("palette-strength-value").textContent = `${Math.round(100 * strength)} %`;
  }

  #showChoices(choices, palette) {
    const group = find("palettes");
    const drawn = choices.map(({ kind, text }) => `${kind}:${text}`).join("\n");
    if (group.dataset.drawn !== drawn) {
      group.dataset.drawn = drawn;
      group.replaceChildren(...choices.map((choice) => this.#choice(choice)));
    }
    const now = palette ? `${palette.kind}:${palette.text}` : ":";
    for (const input of group.querySelectorAll("input")) input.checked = input.value === now;
  }

  #choice({ kind, text, label, title, colors }) {
    const element = document.createElement("label");
    element.className = "palette";
    element.title = title;
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "palette";
    input.value = `${kind}:${text}`;
    input.setAttribute("aria-label", title === label ? label : `${label}: ${title}`);
    input.addEventListener("change", () => {
      this.app.history.make({ palette: kind ? { kind, text, label, colors } : null });
    });
    const stripes = document.createElement("span");
    stripes.className = "stripes";
    for (const color of colors ?? []) {
      const stripe = document.createElement("span");
      stripe.style.backgroundColor = color;
      stripes.append(stripe);
    }
    const name = document.createElement("span");
    name.className = "palette-name";
    name.textContent = label;
    element.append(input, stripes, name);
    return element;
  }

  #showPicked(palette) {
    const colors = palette?.kind === "colors" ? palette.text.split(",") : [];
    find("picked").replaceChildren(
      ...colors.map((color, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "swatch";
        button.style.setProperty("--color", color);
        button.title = `Remove ${color}`;
        button.setAttribute("aria-label", `Remove ${color}`);
        button.addEventListener("click", () => {
          const left = colors.filter((_, number) => number !== index);
          this.#pick(left);
          (find("picked").children[Math.max(index - 1, 0)] ?? find("pick-add")).focus();
        });
        return button;
      }),
    );
    find("pick-add").disabled = colors.length >= MAX_COLORS;
  }

  #pick(colors) {
    const text = colors.join(",");
    this.app.history.make({ palette: text ? { kind: "colors", text, label: text } : null });
  }

  // Take a palette of a file or a picture, if the server can read it.
  async #take(wish, key) {
    try {
      const colors = await api.palette({ kind: wish.kind, text: wish.text });
      if (key === this.app.key()) this.app.history.make({ palette: { ...wish, colors } });
    } catch (error) {
      this.app.say(error.message, true);
    }
  }

  #listen() {
    find("pick-add").addEventListener("click", () => {
      const { palette } = this.app.history.now;
      const colors = palette?.kind === "colors" ? palette.text.split(",") : [];
      const color = find("pick-color").value;
      if (!colors.includes(color)) this.#pick([...colors, color]);
    });
    find("palette-strength").addEventListener("input", (event) => {
      this.app.history.try({ palette_strength: Number(event.target.value) });
    });
    find("palette-strength").addEventListener("change", () => this.app.history.make());
    find("palette-open").addEventListener("click", () => find("palette-file").click());
    find("palette-file").addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (!file) return;
      const picture = this.app.key();
      try {
        const { key } = await api.send("/studio/guides", file, file.name);
        await this.#take({ kind: "file", text: key, label: file.name }, picture);
      } catch (error) {
        this.app.say(error.message, true);
      }
      event.target.value = "";
    });
    find("palette-picture").addEventListener("click", async () => {
      const picture = this.app.key();
      const listed = await this.app.pickPicture();
      if (listed) {
        await this.#take({ kind: "picture", text: listed.key, label: listed.name }, picture);
      }
    });
  }
}
