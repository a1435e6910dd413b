// Charts drawn by hand, each with the same figures as a table for whoever does not see it.

import { h, svg } from "./dom.js";
import { exactly, fromUnits, money, toUnits } from "./money.js";
import { t } from "./words.js";

// Drawn in pixels of about the size at which it is shown, so that its letters are too.
const PHONE = "(max-width: 44rem)";
const HEIGHT = 220;
const LEFT = 58;
const FOOT = 26;
const TOP = 10;

// Bars over days: `bars` are {label, name, amount}, amounts in cents.
export function columns(bars, { title }) {
  const width = matchMedia(PHONE).matches ? 360 : 960;
  const top = niceTop(bars.map((bar) => toUnits(bar.amount)));
  const step = (width - LEFT) / Math.max(bars.length, 1);
  const scale = (units) => (Number((units * 10000n) / top) / 10000) * (HEIGHT - TOP - FOOT);
  const base = HEIGHT - FOOT;
  const every = Math.ceil((bars.length * 44) / (width - LEFT));
  const lines = [0n, 1n, 2n, 3n, 4n].map((quarter) => (top * quarter) / 4n);
  const drawing = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title },
    lines.map((units) => {
      const y = base - scale(units);
      return [
        svg("line", { class: "grid", x1: LEFT, x2: width, y1: y, y2: y }),
        svg(
          "text",
          { class: "tick", x: LEFT - 10, y: y + 4, "text-anchor": "end" },
          money(fromUnits(units)).replace(/[.,]00(?=\D*$)/, ""),
        ),
      ];
    }),
    bars.map((bar, index) => {
      const height = scale(toUnits(bar.amount));
      const x = LEFT + index * step;
      return svg(
        "g",
        { class: "column" },
        svg("title", {}, `${bar.name}: ${money(bar.amount)}`),
        svg("rect", { class: "hit", x, y: TOP, width: step, height: base - TOP }),
        height > 0
          ? svg("path", { class: "bar", d: rounded(x + step * 0.16, base, step * 0.68, Math.max(height, 1.5)) })
          : null,
        index % every === 0
          ? svg("text", { class: "tick", x: x + step / 2, y: HEIGHT - 7, "text-anchor": "middle" }, bar.label)
          : null,
      );
    }),
  );
  return h("figure", { class: "figure" }, drawing, asTable(bars, title));
}

// Bars side by side with their names: the largest first, the rest together.
// So many are named; the others are one row.
export const RANKED = 6;

export function ranking(rows, { title, rest }) {
  const sorted = [...rows].sort((one, other) => (toUnits(other.amount) > toUnits(one.amount) ? 1 : -1));
  const first = sorted.slice(0, RANKED);
  const others = sorted.slice(RANKED);
  if (others.length)
    first.push({
      name: rest(others.length),
      amount: fromUnits(others.reduce((sum, each) => sum + toUnits(each.amount), 0n)),
    });
  const most = first.reduce((max, row) => (toUnits(row.amount) > max ? toUnits(row.amount) : max), 1n);
  return h(
    "ol",
    { class: "ranking", "aria-label": title },
    first.map((row) => {
      const bar = h("span", { class: "rank-bar", "aria-hidden": "true" });
      bar.style.width = `${Number((toUnits(row.amount) * 1000n) / most) / 10}%`;
      return h(
        "li",
        {},
        h("span", { class: "rank-name" }, row.name),
        h("span", { class: "rank-amount" }, exactly(row.amount)),
        h("span", { class: "rank-track" }, bar),
      );
    }),
  );
}

function asTable(bars, title) {
  return h(
    "details",
    { class: "as-table" },
    h("summary", {}, t("chart.as_table")),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h("tr", {}, h("th", { scope: "col" }, t("chart.day")), h("th", { scope: "col", class: "num" }, t("amount"))),
        ),
        h(
          "tbody",
          {},
          bars.map((bar) =>
            h("tr", {}, h("th", { scope: "row" }, bar.name), h("td", { class: "num" }, exactly(bar.amount))),
          ),
        ),
      ),
    ),
  );
}

const rounded = (x, base, width, height) => {
  const r = Math.min(3, width / 2, height);
  return `M${x} ${base}V${base - height + r}q0 ${-r} ${r} ${-r}h${width - 2 * r}q${r} 0 ${r} ${r}V${base}z`;
};

// The next round number above, of which a quarter is round as well. In tenths of a power of ten.
const TOPS = [10n, 12n, 16n, 20n, 24n, 32n, 40n, 60n, 80n];

function niceTop(values) {
  const most = values.reduce((max, each) => (each > max ? each : max), 0n);
  for (let power = toUnits("10"); ; power *= 10n) {
    const found = TOPS.find((tenths) => power * tenths >= most);
    if (found) return power * found;
  }
}
