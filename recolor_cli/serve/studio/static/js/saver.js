// Save, and the command that makes the same file.

import { api } from "./api.js";
import { sent } from "./history.js";

const find = (id) => document.getElementById(id);

export class Saver {
  // `app`: history, key(), say(text), saved(key, wishes).
  constructor(app) {
    this.app = app;
    this.made = new Set(); // keys of results that this page made, and may replace unasked
    this.asked = null; // the picture and the wishes of the question whether to replace a result
    this.#listen();
  }

  async save() {
    const { app } = this;
    const key = app.key();
    if (key) await this.#write(key, sent(app.history.now), this.made.has(key));
  }

  async #write(key, wishes, mayReplace) {
    const { app } = this;
    find("save").disabled = true;
    app.say("Saving…");
    try {
      const { result, warnings } = await api.save(key, wishes, mayReplace);
      if (result.address) download(result);
      app.say([`Saved ${result.name}`, ...warnings].join("; "));
      this.made.add(key);
      await app.saved(key, wishes);
    } catch (error) {
      if (error.status === 409) {
        this.asked = [key, wishes];
        find("replace-text").textContent = error.message;
        find("replace-dialog").showModal();
        app.say("");
      } else app.say(error.message, true);
    } finally {
      find("save").disabled = app.key() === "";
    }
  }

  async showCommand() {
    const { app } = this;
    if (!app.key()) return;
    try {
      const { command, files, result } = await api.command(app.key(), sent(app.history.now));
      const here = files.filter((file) => !file.address);
      const sentFiles = files.filter((file) => file.address);
      const notes = [`It makes ${result.name}, byte for byte what Save writes.`];
      if (here.length) notes.push(`${here.map(({ name }) => name).join(", ")} was written beside it.`);
      if (sentFiles.length) {
        notes.push("Run it in the folder of the picture, with these files beside it:");
      }
      find("command-text").value = command;
      find("command-note").textContent = notes.join(" ");
      find("command-files").replaceChildren(...sentFiles.map(listed));
      find("command-dialog").showModal();
      await copyCommand();
    } catch (error) {
      app.say(error.message, true);
    }
  }

  #listen() {
    const click = (id, action) => find(id).addEventListener("click", action);
    click("save", () => this.save());
    click("copy", () => this.showCommand());
    click("command-copy", copyCommand);
    click("command-close", () => find("command-dialog").close());
    click("replace-no", () => find("replace-dialog").close());
    click("replace-yes", () => {
      find("replace-dialog").close();
      this.#write(...this.asked, true);
    });
  }
}

function linkTo({ name, address }) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.textContent = name;
  return link;
}

function listed(file) {
  const item = document.createElement("li");
  item.append(linkTo(file));
  return item;
}

function download(file) {
  const link = linkTo(file);
  document.body.append(link);
  link.click();
  link.remove();
}

async function copyCommand() {
  const text = find("command-text");
  text.select();
  try {
    await navigator.clipboard.writeText(text.value);
    find("command-copy").textContent = "Copied";
  } catch {
    // Only pages of this computer, or of an encrypted connection, may write to the clipboard.
    find("command-copy").textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
}
