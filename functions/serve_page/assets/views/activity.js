// The audit: who changed what, when, from what to what.

import { get } from "../api.js";
import { moment, month } from "../dates.js";
import { learnNames, nameOf } from "../directory.js";
import { h } from "../dom.js";
import { exactly } from "../money.js";
import { card, longList } from "../parts.js";
import { known, t } from "../words.js";

const MONEY = /spend_limit|^seat_tiers\.|amount|threshold|monthly_limit|balance/;
// Ids that people see nowhere else.
const HIDDEN = ["id", "entry_id"];
// Facts that say which one was changed.
const NAMING = ["url", "number", "period"];
// Shown as somebody wrote them.
const OWN_WORDS = ["url", "description", "reason", "reference", "number", "payment_method", "pricing.model_aliases"];
// Where the words for a fact's values stand, if they are not the activity's own.
const STEMS = { kind: "entry", auto_reload: "reload.state" };

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
  const subject = about(each);
  const names = [...new Set([...Object.keys(each.before), ...Object.keys(each.after)])].filter((name) =>
    isSaid(name, each),
  );
  return h(
    "div",
    { class: "row change" },
    h(
      "span",
      { class: "row-main" },
      h("span", {}, h("strong", {}, known("action", each.action)), subject ? ` · ${subject}` : ""),
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
            ? [h("del", {}, value(name, each.before[name], each)), h("span", { "aria-hidden": "true" }, " → ")]
            : null,
          name in each.after ? h("ins", {}, value(name, each.after[name], each)) : t("activity.removed"),
        ),
      ),
    ),
  );
}

// What was changed, by the name that people know it by. Entries of earlier releases may not have it.
function about({ action, subject, before, after }) {
  if (subject.startsWith("user_")) return nameOf(subject);
  if (action.startsWith("billing_period.")) return month(subject);
  return NAMING.map((name) => after[name] ?? before[name]).find(Boolean);
}

// A name that did not change is said with the action.
const isSaid = (name, { before, after }) =>
  !HIDDEN.includes(name) && (!NAMING.includes(name) || (name in before && name in after));

function who({ type, id, name }) {
  if (type === "user") return nameOf(id);
  if (type === "api_key") return name ? t("by_key.named", { name }) : t("by_key");
  if (type === "operator") return t("by_operator");
  if (id === "payment_processor") return t("by_processor");
  // Operators who adjust a wallet give their name.
  return id === "headroom" ? "Headroom" : t("by_operator.named", { name: id });
}

function fact(name) {
  const seat = /^seat_tiers\.(\w+)\.(\w+)$/.exec(name);
  if (seat) return t("fact.seat", { tier: t(`tier.${seat[1]}`), period: known("period", seat[2]) });
  return name.startsWith("mail.") ? known("mail.topic", name.slice(5)) : known("fact", name);
}

function value(name, found, { action }) {
  if (found === true || found === false) return t(found ? "yes" : "no");
  if (found === null && name === "event_types") return t("activity.every_event");
  if (found === null) return t(MONEY.test(name) ? "unlimited" : "nothing");
  if (Array.isArray(found)) return found.join(", ");
  if (typeof found === "object") return Object.values(found).join(" ");
  if (MONEY.test(name) && /^-?\d+(\.\d+)?$/.test(found)) return exactly(found);
  if (OWN_WORDS.includes(name)) return found;
  if (name === "due_at") return moment(found);
  const stem = name === "status" && action.startsWith("invoice.") ? "invoice.status" : (STEMS[name] ?? "value");
  return known(stem, found);
}
