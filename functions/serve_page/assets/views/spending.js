// The month's extra usage by day, by model and by member.

import { file, getLong } from "../api.js";
import { columns, RANKED, ranking } from "../charts.js";
import { calendarDay, daysOf } from "../dates.js";
import { learnNames, nameOf } from "../directory.js";
import { h } from "../dom.js";
import { add, exactly, fromUnits, isZero, toUnits } from "../money.js";
import { adding, button, card, empty, facts, problem, shown } from "../parts.js";
import { t } from "../words.js";

const ROWS = 100;

const report = (group, tell, order = null) =>
  getLong("organizations/usage_report", { "group_by[]": group, order_by: order, limit: ROWS }, adding(tell));

export function spending(period) {
  return card(
    t("spend.title"),
    {
      id: "spending",
      note: t("spend.note"),
      actions: [button(t("spend.csv"), save, { kind: "quiet", id: "csv", sign: "download" })],
    },
    shown(
      (tell) => report("day", tell),
      (found) => byDay(found, period),
    ),
  );
}

function byDay(found, period) {
  const { totals } = found;
  if (isZero(totals.amount) && isZero(totals.included_amount)) return empty(t("spend.none"));
  const amounts = new Map(found.data.map((row) => [row.day, row.amount]));
  const days = daysOf(period, [...amounts.keys()]);
  // Usage of an earlier month that came late is billed in this one.
  const late = found.data.filter((row) => !days.includes(row.day) && !isZero(row.amount));
  const bars = [
    ...(late.length ? [{ label: "…", name: t("spend.late"), amount: add(...late.map((row) => row.amount)) }] : []),
    ...days.map((date) => ({
      label: calendarDay(date, { day: "numeric" }),
      name: calendarDay(date),
      amount: amounts.get(date) ?? "0",
    })),
  ];
  return [
    facts(
      [t("spend.extra"), exactly(totals.amount)],
      [t("spend.included"), exactly(totals.included_amount)],
      isZero(totals.unbilled_amount)
        ? null
        : [t("spend.unbilled"), h("span", { title: t("spend.unbilled.what") }, exactly(totals.unbilled_amount))],
    ),
    columns(bars, { title: t("spend.by_day") }),
    h(
      "div",
      { class: "columns" },
      group("model", (row) => row.model, t("spend.by_model")),
      group("user", (row) => nameOf(row.user_id), t("spend.by_member")),
    ),
  ];
}

function group(by, name, title) {
  const read = async (tell) => {
    const found = await report(by, tell, "amount");
    if (by === "user") await learnNames(found.data.slice(0, RANKED).map((row) => row.user_id));
    return found;
  };
  return h(
    "div",
    {},
    h("h3", {}, title),
    shown(read, (found) => {
      const rows = found.data
        .map((row) => ({ name: name(row), amount: row.amount }))
        .filter((row) => !isZero(row.amount));
      // What further pages would name is shown as what it is: the rest of the total.
      const named = rows.reduce((sum, row) => sum + toUnits(row.amount), 0n);
      const beyond = toUnits(found.totals.amount) - named;
      if (!rows.length) return empty(t("spend.none"));
      return [
        ranking(rows, { title, rest: (count) => t("spend.others", { count }) }),
        beyond > 0n ? h("p", { class: "soft small" }, t("spend.beyond", { amount: exactly(fromUnits(beyond)) })) : null,
      ];
    }),
  );
}

async function save(event) {
  const control = event.currentTarget;
  control.setAttribute("aria-busy", "true");
  control.parentElement.querySelector(".notice")?.remove();
  try {
    const content = await file("organizations/usage_report", { "group_by[]": ["day", "user", "model"] }, "text/csv");
    download(content, "usage.csv");
  } catch (error) {
    control.after(problem(error));
  } finally {
    control.removeAttribute("aria-busy");
  }
}

// Save a file. One that waits elsewhere is fetched by the browser, which stays where it is: the answer
// there is an attachment.
export function download(content, name) {
  if (content.url) return h("a", { href: content.url, rel: "noreferrer" }).click();
  const address = URL.createObjectURL(content);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
