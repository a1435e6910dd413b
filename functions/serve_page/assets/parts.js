// The small parts that every view is made of.

import { freshId, h, icon } from "./dom.js";
import { known, number, t } from "./words.js";

export const button = (label, onclick, { kind = "", id = null, sign = null, ...attributes } = {}) =>
  h("button", { type: "button", class: `button ${kind}`, id, onclick, ...attributes }, sign ? icon(sign) : null, label);

export const iconButton = (sign, label, onclick, attributes = {}) =>
  h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes },
    icon(sign),
  );

export const badge = (text, tone = "") => h("span", { class: `badge ${tone}` }, text);

export function card(title, { id = freshId("card"), note = null, actions = null, tag = "section" } = {}, ...content) {
  return h(
    tag,
    { class: "card", "aria-labelledby": id },
    h(
      "header",
      { class: "card-head" },
      h("div", {}, h("h2", { id }, title), note ? h("p", { class: "soft" }, note) : null),
      actions ? h("div", { class: "actions" }, actions) : null,
    ),
    content,
  );
}

export const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

export const loading = (label = t("loading")) =>
  h("p", { class: "loading" }, h("span", { class: "spinner", "aria-hidden": "true" }), h("span", {}, label));

export const empty = (text, ...more) => h("div", { class: "empty" }, h("p", {}, text), more);

export const notice = (tone, ...content) =>
  h("div", { class: `notice ${tone}` }, icon(tone === "info" ? "info" : "alert"), h("div", {}, content));

// What went wrong and what to do about it; the request's id is what support asks for.
export function problem(error, retry = null) {
  const kind = error.kind ?? "broken";
  if (kind === "missing" && !error.details?.field && /^path:/.test(error.message))
    return notice("info", h("p", {}, t("error.not_here")));
  const values = { seconds: error.retryAfter ?? 60 };
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    icon("alert"),
    h(
      "div",
      {},
      h("p", {}, h("strong", {}, t(`error.${kind}`, values)), " ", t(`error.${kind}.todo`, values)),
      ["invalid", "conflict", "refused"].includes(kind) && error.message
        ? h("p", { class: "soft" }, error.message)
        : null,
      error.requestId
        ? h("p", { class: "soft small" }, t("error.request_id"), " ", h("code", {}, error.requestId))
        : null,
      retry ? button(t("retry"), retry, { kind: "small" }) : null,
    ),
  );
}

// A part of the page that loads by itself: it shows the wait, the content, or the error with a way on.
// `load` is given what says how far a long wait is, and answers whether it is still waited for.
export function region(load, draw) {
  const element = h("div", { class: "region" });
  let turn = 0;
  let shown = false;
  async function refresh() {
    const mine = ++turn;
    element.setAttribute("aria-busy", "true");
    if (!shown) element.replaceChildren(loading());
    try {
      const data = await load((label) => {
        if (mine === turn && !shown) element.replaceChildren(loading(label));
        return mine === turn && element.isConnected;
      });
      if (mine !== turn) return;
      element.replaceChildren(...[draw(data, refresh)].flat(Infinity).filter(Boolean));
      shown = true;
    } catch (error) {
      if (mine !== turn) return;
      if (!error.kind) console.error(error);
      shown = false;
      element.replaceChildren(problem(error, refresh));
    } finally {
      if (mine === turn) element.removeAttribute("aria-busy");
    }
  }
  return { element, refresh };
}

export const shown = (load, draw) => {
  const made = region(load, draw);
  made.refresh();
  return made.element;
};

// Tells how far an answer is that is added up over several requests.
export const adding = (tell) => ({ members, members_done: done, seconds_left: seconds }) => {
  if (!members) return tell(t("spend.adding"));
  const far = { done: number(done), members: number(members), seconds: number(seconds ?? 0) };
  return tell(t(seconds === null ? "spend.adding_far" : "spend.adding_left", far));
};

// One list over many pages of the API: rows are appended as they are asked for.
export function longList(read, draw, { none }) {
  const body = h("div", { class: "rows" });
  const foot = h("div", { class: "more" });
  async function next(page = null) {
    foot.replaceChildren(loading());
    try {
      const found = await read(page);
      body.append(...found.data.map(draw).flat());
      if (!body.children.length) body.replaceChildren(empty(none));
      foot.replaceChildren(...(found.has_more ? [button(t("more"), () => next(found.next_page))] : []));
    } catch (error) {
      foot.replaceChildren(problem(error, () => next(page)));
    }
  }
  next();
  return h("div", {}, body, foot);
}

export function meter({ label, value, text, parts }) {
  const bar = h("div", {
    class: "meter",
    role: "meter",
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": Math.round(value * 100),
    "aria-valuetext": text,
  });
  for (const [kind, width] of parts) {
    const part = h("span", { class: kind });
    part.style.width = `${(width * 100).toFixed(2)}%`;
    bar.append(part);
  }
  return bar;
}

// A switch that moves when the server has answered, not before.
export function toggle({ label, checked, change, id = freshId("switch"), described = null, disabled = false }) {
  const wait = h("span", { class: "switch-state" }, checked ? t("on") : t("off"));
  const control = h(
    "button",
    {
      type: "button",
      role: "switch",
      class: "switch",
      id,
      "aria-checked": String(checked),
      "aria-label": label,
      "aria-describedby": described,
      disabled,
      async onclick() {
        if (control.getAttribute("aria-busy")) return;
        control.setAttribute("aria-busy", "true");
        wait.textContent = t("saving");
        try {
          await change(control.getAttribute("aria-checked") !== "true");
          document.getElementById(id)?.focus();
        } catch (error) {
          control.removeAttribute("aria-busy");
          wait.textContent = checked ? t("on") : t("off");
          holder.append(problem(error));
        }
      },
    },
    h("span", { class: "knob" }),
  );
  const holder = h("div", { class: "switch-line" }, control, wait);
  return holder;
}

const TONES = {
  paid: "good",
  succeeded: "good",
  approved: "good",
  ready: "good",
  good: "good",
  open: "",
  pending: "wait",
  cooling_down: "wait",
  requires_action: "bad",
  needs_action: "bad",
  declined: "bad",
  past_due: "bad",
  denied: "",
  void: "",
};
export const state = (stem, word) => badge(known(stem, word), TONES[word] ?? "");

// Said to everyone when something was done: seen for a while, and read by a screen reader.
export function say(text) {
  const place = document.getElementById("said");
  place.replaceChildren(h("p", {}, icon("check"), text));
  clearTimeout(say.timer);
  say.timer = setTimeout(() => place.replaceChildren(), 7000);
}
