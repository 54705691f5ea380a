// Requests to the server of this page. No other address is ever asked.

export class Problem extends Error {
  constructor(status, message, hint) {
    super(hint ? `${message}; ${hint}` : message);
    this.status = status;
  }
}

async function checked(response) {
  if (response.ok) return response;
  let detail = `the server answered ${response.status}`;
  let hint = "";
  try {
    const problem = await response.json();
    detail = problem.detail || detail;
    hint = problem.hint || "";
  } catch {
    // The answer was no problem document; its status says enough.
  }
  throw new Problem(response.status, detail, hint);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the server does not answer", "start recolor serve again");
  }
  return checked(response);
}

function posted(values) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(values),
  };
}

async function bitmap(response) {
  return createImageBitmap(await response.blob());
}

const picture = (key) => `/studio/pictures/${encodeURIComponent(key)}`;

export const api = {
  about: async () => (await ask("/studio/about")).json(),
  pictures: async () => (await ask("/studio/pictures")).json(),
  open: async (key, signal) => (await ask(picture(key), { signal })).json(),
  before: async (key) => bitmap(await ask(`${picture(key)}/before`)),
  preview: async (key, wishes, draft) =>
    bitmap(await ask(`${picture(key)}/preview${draft ? "?draft" : ""}`, posted(wishes))),
  variants: async (key, wishes) => bitmap(await ask(`${picture(key)}/variants`, posted(wishes))),
  detail: async (key, values) => bitmap(await ask(`${picture(key)}/detail`, posted(values))),
  colors: async (key, x, y) => (await ask(`${picture(key)}/colors?x=${x}&y=${y}`)).json(),
  command: async (key, wishes) => (await ask(`${picture(key)}/command`, posted(wishes))).json(),
  save: async (key, wishes, replace) =>
    (await ask(`${picture(key)}/save`, posted({ wishes, replace }))).json(),
  mask: async (key) => bitmap(await ask(`/studio/guides/${encodeURIComponent(key)}`)),
  palette: async (wish) => (await ask("/studio/palette", posted(wish))).json(),
  send: async (path, file, name) =>
    (
      await ask(path, {
        method: "POST",
        headers: {
          "Content-Type": "application/octet-stream",
          "X-File-Name": encodeURIComponent(name),
        },
        body: file,
      })
    ).json(),
  thumbnail: (listed) =>
    `${picture(listed.key)}/thumbnail?of=${listed.done ? "result" : "source"}&v=${listed.version}`,
};
