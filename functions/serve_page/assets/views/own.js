// What a member sees: what is left of their seat, whether they go on beyond it, and their own lines.

import { get, keyring, post, put } from "../api.js";
import { duration, moment, soon } from "../dates.js";
import { buttons, cancel, open } from "../dialog.js";
import { freshId, h, icon } from "../dom.js";
import { exactly, isZero, limit, money, price, share, subtract } from "../money.js";
import { badge, button, card, empty, facts, longList, meter, notice, region, say, toggle } from "../parts.js";
import { known, number, t } from "../words.js";

const MONTHLY = "monthly";

export function own(reader) {
  const top = region(
    () => get("me/extra_usage"),
    (found, refresh) => draw(found, refresh),
  );
  top.refresh();
  return h(
    "div",
    { class: "stack" },
    top.element,
    card(
      t("lines.title"),
      { id: "lines", note: t("lines.note") },
      longList((page) => get("me/usage", { limit: 20, page }), line, { none: t("lines.none") }),
    ),
  );
}

const draw = (found, refresh) => [
  next(found),
  h("div", { class: "columns" }, allowance(found), beyond(found, refresh)),
];

// What would happen to the next request, in a sentence, and what to do where it would be refused.
function next({ next_request: request, plan, role }) {
  if (request.source) return notice("info", h("p", {}, t(`next.${request.source}`)));
  return notice(
    "warn",
    h("p", {}, h("strong", {}, known("refused", request.reason))),
    h(
      "p",
      {},
      known("refused_todo", request.reload ? "wallet_reloads" : request.reason),
      request.resets_at ? ` ${t("next.resets", { at: soon(request.resets_at) })}` : "",
    ),
  );
}

function allowance(found) {
  return card(
    t("allowance.title"),
    { id: "allowance", note: t("allowance.note", { tier: t(`tier.${found.seat_tier}`) }) },
    found.allowance.length
      ? h(
          "ul",
          { class: "windows" },
          found.allowance.map((window) => {
            const used = subtract(window.amount, window.remaining);
            const label = t("allowance.window", { duration: duration(window.window) });
            const left = t("allowance.left", { left: money(window.remaining), all: money(window.amount) });
            return h(
              "li",
              {},
              h("div", { class: "window-head" }, h("span", {}, label), h("span", { class: "soft" }, left)),
              meter({
                label,
                value: share(used, window.amount),
                text: left,
                parts: [["spent", share(used, window.amount)]],
              }),
              h(
                "p",
                { class: "soft small" },
                isZero(used) ? t("allowance.unused") : t("allowance.resets", { at: soon(window.resets_at) }),
              ),
            );
          }),
        )
      : empty(t("allowance.none")),
  );
}

function beyond(found, refresh) {
  const described = freshId("continue");
  const cap = found.limits.find((each) => each.period === MONTHLY);
  return card(
    t("extra.title"),
    { id: "own-extra", note: t("own.note") },
    found.enabled && found.admitted
      ? h(
          "div",
          { class: "choice-line" },
          h(
            "div",
            {},
            h("strong", {}, t("continue.title")),
            h("p", { class: "soft", id: described }, t("continue.what")),
          ),
          toggle({
            label: t("continue.title"),
            checked: found.continue_with_extra_usage,
            id: "continue",
            described,
            async change(on) {
              await put("me/extra_usage", { continue_with_extra_usage: on });
              await refresh();
              say(t(on ? "continue.on" : "continue.off"));
            },
          }),
        )
      : notice("info", h("p", {}, t(found.enabled ? "own.not_admitted" : "own.not_enabled"))),
    facts(
      [t("own.spent"), h("span", { id: "own-spent" }, money(found.period_to_date_spend))],
      isZero(found.held) ? null : [t("held"), h("span", { title: t("held.what") }, money(found.held))],
      [
        t("own.cap"),
        cap
          ? h("span", {}, limit(cap.amount), h("span", { class: "soft" }, ` · ${t(`own.source.${cap.source}`)}`))
          : t("own.no_cap"),
      ],
      cap && cap.amount !== null ? [t("left"), money(cap.remaining)] : null,
      ...found.limits
        .filter((each) => each.period !== MONTHLY && each.amount !== null)
        .map((each) => [
          t(`own.cap.${each.period}`),
          t("own.cap.left", { amount: limit(each.amount), left: money(each.remaining) }),
        ]),
    ),
    ask(found, refresh),
  );
}

function ask(found, refresh) {
  if (found.requests.pending)
    return h(
      "p",
      { class: "sent", id: "request-sent", tabindex: -1 },
      badge(t("request.sent"), "good"),
      " ",
      h("span", { class: "soft" }, t("request.sent.what")),
    );
  if (!found.requests.enabled) return null;
  return button(t("request.ask"), () => requestMore(refresh), { id: "request-more" });
}

function requestMore(refresh) {
  const keys = keyring();
  const id = freshId("note");
  open(t("request.ask"), (dialog) =>
    h(
      "form",
      {
        onsubmit(event) {
          event.preventDefault();
          const note = new FormData(event.currentTarget).get("note").trim();
          const body = note ? { note } : {};
          dialog.run(async () => {
            await post("me/spend_limit_increase_requests", body, keys);
            await refresh();
            say(t("request.sent"));
          }, event.submitter);
        },
      },
      h("p", { class: "soft" }, t("request.what")),
      h(
        "div",
        { class: "field" },
        h("label", { for: id }, t("request.note")),
        h("textarea", { id, name: "note", maxlength: 500, rows: 4, autofocus: true }),
      ),
      buttons(cancel(dialog), h("button", { type: "submit", class: "button primary" }, t("request.send"))),
    ),
  );
}

function line(each) {
  const tokens = each.components
    .filter((part) => part.kind !== "web_search")
    .reduce((sum, part) => sum + part.quantity, 0);
  const tone = { included: "", extra_usage: "accent", unbilled: "wait" }[each.source];
  return h(
    "details",
    { class: "row usage-line" },
    h(
      "summary",
      {},
      h(
        "span",
        { class: "row-main" },
        h("span", {}, each.model),
        h(
          "span",
          { class: "soft small" },
          [
            moment(each.occurred_at),
            each.model_named !== each.model && t("lines.named", { name: each.model_named }),
            each.product && known("product", each.product),
            ...each.modifiers.map(applied),
            t("lines.tokens", { count: number(tokens) }),
          ]
            .filter(Boolean)
            .join(" · "),
        ),
      ),
      badge(t(`used.${each.source}`), tone),
      h("span", { class: "row-amount" }, exactly(each.amount)),
      icon("right"),
    ),
    h(
      "div",
      { class: "line-detail" },
      h("p", {}, why(each)),
      h(
        "table",
        {},
        h("caption", { class: "hidden" }, t("lines.components")),
        h(
          "tbody",
          {},
          each.components.map((part) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, known("token", part.kind), differing(part, each)),
              h("td", { class: "num" }, number(part.quantity)),
              h("td", { class: "num" }, price(part.unit_price, part.per, part.kind)),
              h("td", { class: "num" }, exactly(part.amount)),
            ),
          ),
        ),
      ),
      each.notes.length
        ? h(
            "ul",
            { class: "line-notes soft small", "aria-label": t("lines.notes") },
            each.notes.map((note) => h("li", {}, noted(note))),
          )
        : null,
      h("p", { class: "soft small" }, t("lines.price", { version: each.price_version }), " · ", h("code", {}, each.id)),
    ),
  );
}

// What multiplied a price: "Fast mode × 2".
const applied = ({ kind, value, factor }) => `${known(`modifier.${kind}`, value)} × ${factor}`;

// Of a component that is another model's than the line's, or at other factors: whose, and which.
function differing(part, each) {
  if (part.price_version === each.price_version) return null;
  const said = [part.model, ...part.modifiers.map(applied)].join(" · ");
  return h("span", { class: "soft small" }, ` · ${said}`);
}

// What had to be decided of a line's usage: the API says "cache_writes_not_broken_down:320", for one.
function noted(note) {
  const [code, ...rest] = note.split(":");
  const said = rest.join(":");
  let detail = said.replaceAll(";", ", ");
  if (code === "unbilled") detail = known("refused", said);
  else if (/^\d+$/.test(said)) detail = number(Number(said));
  return known("note", code, { detail });
}

// Why a line was extra usage: the API says "included_window_exhausted:PT5H", for one.
function why(each) {
  if (!each.reason) return t("why.included");
  const [reason, window] = each.reason.split(":");
  const told = t(`why.${reason}`, { duration: window ? duration(window) : "" });
  return isZero(each.unbilled) ? told : `${told} ${t("why.unbilled", { amount: money(each.unbilled) })}`;
}
