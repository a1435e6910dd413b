// A menu behind "…": opened by its button, walked with the arrows, left with Escape.

import { freshId, h, icon } from "./dom.js";

export function menu(label, items, { id = freshId("menu") } = {}) {
  const list = h(
    "div",
    { class: "menu", role: "menu", "aria-label": label, hidden: true },
    items.map((item) =>
      h(
        "button",
        {
          type: "button",
          role: "menuitem",
          tabindex: -1,
          onclick: () => {
            close();
            item.act();
          },
        },
        item.label,
      ),
    ),
  );
  const opener = h(
    "button",
    {
      type: "button",
      class: "icon-button",
      id,
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-label": label,
      onclick: () => (list.hidden ? show() : close()),
    },
    icon("more"),
  );
  const holder = h("div", { class: "menu-holder" }, opener, list);
  const entries = [...list.children];

  function show() {
    list.hidden = false;
    opener.setAttribute("aria-expanded", "true");
    entries[0].focus();
    document.addEventListener("pointerdown", outside);
  }
  function close() {
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    opener.focus();
  }
  function outside(event) {
    if (!holder.contains(event.target)) close();
  }
  holder.addEventListener("keydown", (event) => {
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (list.hidden) {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        show();
      }
      return;
    }
    if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      close();
    }
    if (to !== undefined) {
      event.preventDefault();
      entries.at(to % entries.length).focus();
    }
  });
  return holder;
}
