// Dialogs: one heading, what will happen, and buttons that wait for the server's answer.

import { keyring } from "./api.js";
import { freshId, h, icon } from "./dom.js";
import { currencySign, parse } from "./money.js";
import { problem } from "./parts.js";
import { t } from "./words.js";

// Open a dialog. `draw(dialog)` returns its content; `dialog.run(action)` waits for an action, shows
// its error, or closes and says what was done. Focus goes back to the element with the opener's id.
export function open(title, draw, { wide = false } = {}) {
  const opener = document.activeElement;
  const heading = freshId("dialog");
  const body = h("div", { class: "dialog-body" });
  const errors = h("div", { class: "dialog-errors" });
  const element = h(
    "dialog",
    { class: wide ? "wide" : "", "aria-labelledby": heading },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: heading }, title),
      h(
        "button",
        { type: "button", class: "icon-button", "aria-label": t("close"), onclick: () => close() },
        icon("close"),
      ),
    ),
    body,
    errors,
  );
  let waiting = false;

  function close() {
    if (!waiting) element.close();
  }

  async function run(action, trigger) {
    if (waiting) return;
    waiting = true;
    errors.replaceChildren();
    trigger?.setAttribute("aria-busy", "true");
    element.setAttribute("aria-busy", "true");
    try {
      const stays = await action();
      waiting = false;
      if (stays !== false) element.close();
    } catch (error) {
      waiting = false;
      if (!error.kind) console.error(error);
      errors.replaceChildren(problem(error));
    } finally {
      trigger?.removeAttribute("aria-busy");
      element.removeAttribute("aria-busy");
    }
  }

  element.addEventListener("cancel", (event) => waiting && event.preventDefault());
  element.addEventListener("click", (event) => event.target === element && close());
  element.addEventListener("close", () => {
    element.remove();
    const back = opener?.id ? document.getElementById(opener.id) : opener;
    (back?.isConnected ? back : document.querySelector("h1"))?.focus();
  });
  document.body.append(element);
  const dialog = { element, body, run, close };
  body.append(...[draw(dialog)].flat(Infinity).filter(Boolean));
  element.showModal();
  element.querySelector("[autofocus]")?.focus();
  return dialog;
}

// The dialog's last line: what it does, then the way out.
export const buttons = (...all) => h("div", { class: "dialog-buttons" }, all);

export const cancel = (dialog) => h("button", { type: "button", class: "button", onclick: dialog.close }, t("cancel"));

// Ask before something is done: `what` says the consequence; `action` gets a keyring of its own.
export function confirm(title, what, label, action, { kind = "primary" } = {}) {
  const keys = keyring();
  open(title, (dialog) => [
    h("p", {}, what),
    buttons(
      cancel(dialog),
      h(
        "button",
        {
          type: "button",
          class: `button ${kind}`,
          onclick: (event) => dialog.run(() => action(keys), event.currentTarget),
        },
        label,
      ),
    ),
  ]);
}

// A field for money. `field.read()` returns whole cents, or null after saying what is wrong.
export function amountField({
  label,
  hint = null,
  value = "",
  least = "0",
  most = null,
  optional = null,
  changed = () => {},
}) {
  const id = freshId("amount");
  const wrong = h("p", { class: "field-error", id: `${id}-error` });
  const input = h("input", {
    id,
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    value,
    "aria-describedby": `${id}-hint ${id}-error`,
    placeholder: optional,
    oninput: () => {
      complain(null);
      changed(peek());
    },
  });

  function complain(text) {
    wrong.textContent = text ?? "";
    input.setAttribute("aria-invalid", String(Boolean(text)));
  }
  function peek() {
    if (optional !== null && !input.value.trim()) return { cents: null };
    return parse(input.value, { least, most });
  }
  function read() {
    const found = peek();
    complain(found.problem);
    if (found.problem) input.focus();
    return found.problem ? undefined : found.cents;
  }
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("div", { class: "money-input" }, h("span", { "aria-hidden": "true" }, currencySign()), input),
    h("p", { class: "soft small", id: `${id}-hint` }, hint),
    wrong,
  );
  return { element, input, read, peek, complain };
}
