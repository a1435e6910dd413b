// The audit: who changed what, when, from what to what.

import { get } from "../api.js";
import { moment } from "../dates.js";
import { learnNames, nameOf } from "../directory.js";
import { h } from "../dom.js";
import { limit, money } from "../money.js";
import { card, longList } from "../parts.js";
import { known, t } from "../words.js";

const MONEY = /spend_limit|^seat_tiers\.|amount|threshold|monthly_limit|balance/;

export function activity() {
  const read = async (page) => {
    const found = await get("organizations/audit", { limit: 20, page });
    const people = found.data.flatMap(({ actor, subject }) => [actor.type === "user" ? actor.id : null, subject]);
    await learnNames(people.filter((each) => each?.startsWith("user_")));
    return found;
  };
  return card(
    t("activity.title"),
    { id: "activity-card", note: t("activity.note") },
    longList(read, entry, { none: t("activity.none") }),
  );
}

function entry(each) {
  const names = [...new Set([...Object.keys(each.before), ...Object.keys(each.after)])];
  const about = each.subject.startsWith("user_") ? ` · ${nameOf(each.subject)}` : "";
  return h(
    "div",
    { class: "row change" },
    h(
      "span",
      { class: "row-main" },
      h("span", {}, h("strong", {}, known("action", each.action)), about),
      h("span", { class: "soft small" }, `${who(each.actor)} · ${moment(each.at)}`),
    ),
    h(
      "ul",
      { class: "differences" },
      names.map((name) =>
        h(
          "li",
          {},
          h("span", { class: "soft" }, fact(name), " "),
          name in each.before
            ? [h("del", {}, value(name, each.before[name])), h("span", { "aria-hidden": "true" }, " → ")]
            : null,
          name in each.after ? h("ins", {}, value(name, each.after[name])) : t("activity.removed"),
        ),
      ),
    ),
  );
}

const who = (actor) => (actor.type === "user" ? nameOf(actor.id) : actor.type === "system" ? "Headroom" : t("by_key"));

function fact(name) {
  const seat = /^seat_tiers\.(\w+)\.(\w+)$/.exec(name);
  if (seat) return t("fact.seat", { tier: t(`tier.${seat[1]}`), period: known("period", seat[2]) });
  return name.startsWith("mail.") ? known("mail.topic", name.slice(5)) : known("fact", name);
}

function value(name, found) {
  if (found === true || found === false) return t(found ? "yes" : "no");
  if (found === null) return t(MONEY.test(name) ? "unlimited" : "nothing");
  if (typeof found === "object") return Object.values(found).join(" ");
  if (MONEY.test(name) && /^-?\d+(\.\d+)?$/.test(found)) return name.includes("balance") ? money(found) : limit(found);
  return known("value", found);
}
