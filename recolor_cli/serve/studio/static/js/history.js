// The wishes for one picture, with undo and redo.

export const NOTHING = Object.freeze({
  hints: [],
  palette: null,
  palette_strength: 0.8,
  temperature: null,
  strength: 1,
  only_gray: false,
  mask: "",
  pick: 1,
  seed: 0,
});

export class History {
  constructor(onChange) {
    this.onChange = onChange;
    this.clear();
  }

  clear(wishes = NOTHING) {
    this.past = [];
    this.future = [];
    this.now = wishes;
    this.begun = null; // the wishes before a change that is going on
  }

  // Show a change that goes on, such as that of a slider that is dragged.
  try(changes) {
    this.begun ??= this.now;
    this.now = { ...this.now, ...changes };
    this.onChange();
  }

  // Make a change that can be undone; what was tried before belongs to it.
  make(changes = {}) {
    const before = this.begun ?? this.now;
    this.begun = null;
    this.now = { ...this.now, ...changes };
    if (JSON.stringify(before) !== JSON.stringify(this.now)) {
      this.past.push(before);
      this.future = [];
    }
    this.onChange();
  }

  undo() {
    this.#move(this.past, this.future);
  }

  redo() {
    this.#move(this.future, this.past);
  }

  #move(from, to) {
    if (this.begun !== null) this.make();
    if (!from.length) return;
    to.push(this.now);
    this.now = from.pop();
    this.onChange();
  }
}

// What the server reads of the wishes.
export function sent(wishes) {
  return {
    ...wishes,
    hints: wishes.hints.map(({ x, y, color, radius }) => ({ x, y, color, radius })),
    palette: wishes.palette && { kind: wishes.palette.kind, text: wishes.palette.text },
  };
}
