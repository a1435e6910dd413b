// What everything costs: list prices, what multiplies them, and what the organization agreed on.

import { get } from "../api.js";
import { calendarDay } from "../dates.js";
import { h } from "../dom.js";
import { money } from "../money.js";
import { card, shown } from "../parts.js";
import { known, number, t } from "../words.js";

const DAY = { day: "numeric", month: "short", year: "numeric" };

export const prices = () =>
  shown(
    () => get("prices"),
    (found) => h("div", { class: "stack" }, contract(found.contract), listed(found), modifiers(found.models)),
  );

function listed({ models, version }) {
  const rows = models.flatMap(({ id, prices: dated }) => dated.flatMap((price) => tiers(id, price.from, price.tiers)));
  return card(
    t("prices.listed"),
    { id: "list-prices", note: t("prices.listed.note", { version }) },
    rates(t("prices.listed"), rows),
  );
}

function modifiers(models) {
  const rows = models.flatMap(({ id, modifiers: each }) => each.map((modifier) => factor(id, modifier)));
  return card(
    t("prices.modifiers"),
    { id: "price-modifiers", note: t("prices.modifiers.note") },
    table(t("prices.modifiers"), ["model", "modifier", "factor", "since", "until", "source"], rows),
  );
}

function contract(agreed) {
  if (!agreed.length) return null;
  const rows = agreed.flatMap(({ model, from, tiers: its, discount_percent: percent }) => {
    const name = model ?? t("prices.all_models");
    if (its) return tiers(name, from, its);
    const said = t("prices.discount", { percent: number(percent) });
    return [h("tr", {}, head(name), h("td", {}, since(from)), h("td", { colspan: 6, class: "num" }, said))];
  });
  const factors = agreed.flatMap(({ model, modifiers: each }) =>
    each.map((modifier) => factor(model ?? t("prices.all_models"), modifier)),
  );
  const title = t("prices.contract");
  return card(
    title,
    { id: "contract-prices", note: t("prices.contract.note") },
    rates(title, rows),
    factors.length ? table(title, ["model", "modifier", "factor", "since", "until", "source"], factors) : null,
  );
}

// A row for each step of a price: long prompts of some models cost more.
const tiers = (name, from, its) =>
  its.map((tier) =>
    h(
      "tr",
      {},
      head(
        name,
        tier.input_tokens_min ? t("prices.from_tokens", { tokens: number(tier.input_tokens_min) }) : null,
      ),
      h("td", {}, since(from)),
      tier.rates.map((rate) => h("td", { class: "num" }, money(rate.unit_price, { exact: true }))),
    ),
  );

const factor = (name, modifier) =>
  h(
    "tr",
    {},
    head(name),
    h("td", {}, known(`modifier.${modifier.kind}`, modifier.value)),
    h("td", { class: "num" }, `× ${modifier.factor}`),
    h("td", {}, since(modifier.from)),
    h("td", {}, modifier.until ? calendarDay(modifier.until, DAY) : t("prices.open")),
    h("td", {}, source(modifier)),
  );

const since = (from) => (from ? calendarDay(from, DAY) : t("prices.always"));

const source = ({ source: address, read }) =>
  address
    ? h("a", { href: address, rel: "noreferrer" }, t("prices.read", { on: calendarDay(read, DAY) }))
    : t("prices.contract");

const head = (name, note = null) =>
  h("th", { scope: "row" }, name, note ? h("span", { class: "soft small" }, ` · ${note}`) : null);

const KINDS = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search"];

const rates = (label, rows) =>
  scrolled(label, [
    ...["model", "since"].map((name) => h("th", { scope: "col" }, t(`prices.column.${name}`))),
    ...KINDS.map((kind) => h("th", { scope: "col", class: "num" }, known("token", kind))),
  ], rows);

const table = (label, columns, rows) =>
  scrolled(
    label,
    columns.map((name) =>
      h("th", { scope: "col", class: name === "factor" ? "num" : "" }, t(`prices.column.${name}`)),
    ),
    rows,
  );

// A wide table scrolls by itself, by keyboard too.
const scrolled = (label, columns, rows) =>
  h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, columns)), h("tbody", {}, rows)),
  );
