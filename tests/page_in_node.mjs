// Draws views of the page without a browser: each of its scenes comes in as JSON on standard input,
// and what was drawn goes out as JSON, elements as [tag, attributes, children]. Only as much of a
// document as the views ask for.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const assets = pathToFileURL(`${process.argv[2]}/`);

class Element extends EventTarget {
  constructor(tag) {
    super();
    Object.assign(this, { tag, attributes: {}, children: [], parentElement: null, style: {} });
  }
  append(...children) {
    for (const child of children) {
      if (child instanceof Element) child.parentElement = this;
      this.children.push(child instanceof Element ? child : String(child));
    }
  }
  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  getAttribute(name) {
    return this.attributes[name] ?? null;
  }
  removeAttribute(name) {
    delete this.attributes[name];
  }
  get id() {
    return this.attributes.id ?? "";
  }
  get isConnected() {
    return this === document.body || Boolean(this.parentElement?.isConnected);
  }
  *[Symbol.iterator]() {
    for (const child of this.children) {
      if (child instanceof Element) yield* [child, ...child];
    }
  }
  querySelector() {
    return null;
  }
  showModal() {}
  focus() {}
  toJSON() {
    return [this.tag, this.attributes, this.children];
  }
}

const nothing = { getItem: () => null, setItem() {}, removeItem() {} };
const body = new Element("body");
Object.assign(globalThis, {
  document: {
    body,
    baseURI: "https://page.example/settings/usage",
    documentElement: new Element("html"),
    activeElement: null,
    createElement: (tag) => new Element(tag),
    createElementNS: (_, tag) => new Element(tag),
    getElementById: (id) => [...body].find((each) => each.id === id) ?? null,
    querySelector: () => null,
  },
  sessionStorage: nothing,
  localStorage: nothing,
  matchMedia: () => ({ matches: false }),
});

// The API answers a scene's question with the first answer to its path whose query it has.
let answers = [];
let waiting = 0;
globalThis.fetch = async (address) => {
  waiting += 1;
  const url = new URL(address);
  if (url.protocol === "file:") {
    waiting -= 1;
    return new Response(readFileSync(url));
  }
  const path = url.pathname.replace("/v1/", "");
  const found = answers.find(
    (each) =>
      each.path === path &&
      Object.entries(each.query ?? {}).every(([name, value]) => url.searchParams.get(name) === value),
  );
  waiting -= 1;
  return found ? Response.json(found.body) : Response.json({ error: { message: `${url}` } }, { status: 400 });
};

const settled = async () => {
  let quiet = 0;
  while (quiet < 5) {
    await new Promise(setImmediate);
    quiet = waiting ? 0 : quiet + 1;
  }
};

const { speak } = await import(new URL("words.js", assets));
const { forget } = await import(new URL("directory.js", assets));

async function draw(scene) {
  forget();
  await speak(scene.language);
  answers = scene.answers;
  const view = (await import(new URL(`views/${scene.view}.js`, assets)))[scene.view];
  body.replaceChildren();
  body.append(view(scene.given));
  await settled();
  if (scene.press) {
    const control = document.getElementById(scene.press);
    control.dispatchEvent(new Event("click"));
    await settled();
  }
  return JSON.parse(JSON.stringify(body));
}

const drawn = [];
for (const scene of JSON.parse(readFileSync(0, "utf8"))) drawn.push(await draw(scene));
process.stdout.write(JSON.stringify(drawn));
