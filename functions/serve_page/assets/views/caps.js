// Changing a cap: the present value is read when the dialog opens and again before it is changed, and
// the change is made only if nothing has changed since. So whoever comes later sees what is there now,
// and what will happen is said before it does.

import { getTagged, keyring, post, put, remove } from "../api.js";
import { amountField, buttons, cancel, open } from "../dialog.js";
import { h } from "../dom.js";
import { add, isBelow, isZero, limit, money, plain, subtract } from "../money.js";
import { loading, notice, problem, say } from "../parts.js";
import { t } from "../words.js";

export function adjustOrganizationCap(reader, refresh) {
  adjust({
    title: t("cap.dialog"),
    label: t("cap.amount"),
    read: async () => {
      const [{ spend_limit: cap }, tag] = await getTagged("organizations/extra_usage");
      return { amount: cap.amount, spent: cap.period_to_date_spend, held: cap.held, tag };
    },
    save: (amount, { tag }) => put("organizations/spend_limit", { amount }, tag),
    consequence: (amount, now) => consequence(amount, now, "cap"),
    unlimited: t(`cap.unlimited.${reader.plan}`),
    done: (amount) => t(amount === null ? "cap.done.unlimited" : "cap.done", { amount: limit(amount) }),
    refresh,
  });
}

export function adjustSeatCap(tier, refresh) {
  const name = t(`tier.${tier}`);
  adjust({
    title: t("seat.dialog", { tier: name }),
    label: t("seat.amount"),
    read: async () => {
      const [found, tag] = await getTagged("organizations/extra_usage");
      return { amount: found.seat_tiers[tier].spend_limit, tag };
    },
    save: (amount, { tag }) => put(`organizations/seat_tiers/${tier}/spend_limit`, { amount }, tag),
    consequence: (amount) => ({
      tone: isZero(amount) ? "warn" : "info",
      text: t(isZero(amount) ? "seat.what.nothing" : "seat.what", { tier: name, amount: money(amount) }),
    }),
    unlimited: t("seat.unlimited", { tier: name }),
    done: (amount) => t("seat.done", { tier: name, amount: limit(amount) }),
    refresh,
  });
}

export function adjustMemberCap(member, refresh) {
  const keys = keyring();
  const scope = { type: "user", user_id: member.user_id };
  adjust({
    title: t("member.dialog", { name: member.name }),
    label: t("cap.amount"),
    read: async () => {
      const [found, tag] = await getTagged("organizations/spend_limits/effective", {
        "user_ids[]": member.user_id,
        "period[]": "monthly",
      });
      const row = found.data[0];
      if (!row) return { amount: null, gone: true };
      return {
        amount: row.amount,
        spent: row.period_to_date_spend,
        held: "0",
        source: row.source.type,
        id: row.spend_limit_id,
        tag,
      };
    },
    save: (amount, { amount: was, tag }) =>
      post("organizations/spend_limits", { scope, amount }, keys, { about: [amount, was], tag }),
    consequence: (amount, now) => consequence(amount, now, "member"),
    unlimited: t("member.unlimited"),
    done: (amount) => t("member.done", { name: member.name, amount: limit(amount) }),
    present: (now) => (["user", "seat_tier"].includes(now.source) ? t(`source.${now.source}`) : null),
    inherit: (now) =>
      now.source === "user" ? ({ tag }) => remove(`organizations/spend_limits/${now.id}`, tag) : null,
    refresh,
  });
}

// What an amount would do to a shared cap or a member's own, given what is spent.
function consequence(amount, { spent, held }, stem) {
  const used = add(spent, held);
  if (isBelow(amount, spent) || isZero(amount))
    return { tone: "warn", text: t(`${stem}.what.below`, { spent: money(spent) }) };
  if (isBelow(amount, used))
    return { tone: "warn", text: t(`${stem}.what.held`, { spent: money(spent), held: money(held) }) };
  return { tone: "info", text: t(`${stem}.what`, { left: money(subtract(amount, used)), spent: money(spent) }) };
}

// So often something else changes between reading and writing, and then not any more.
const ATTEMPTS = 4;

function adjust(asked) {
  open(asked.title, (dialog) => {
    const content = h("div", {}, loading(t("cap.reading")));
    const begin = () =>
      asked
        .read()
        .then(
          (now) => content.replaceChildren(...form(asked, dialog, now)),
          (error) =>
            content.replaceChildren(
              problem(error, () => {
                content.replaceChildren(loading());
                begin();
              }),
            ),
        )
        .then(() => content.querySelector("input")?.focus());
    begin();
    return content;
  });
}

function form(asked, dialog, first) {
  let now = first;
  const told = h("div", { class: "consequence", "aria-live": "polite" });
  const present = h("p", { class: "present", id: "present-cap" });
  const moved = h("div", { "aria-live": "assertive" });
  const field = amountField({ label: asked.label, value: now.amount === null ? "" : plain(now.amount), changed: tell });
  field.input.select?.();

  function show() {
    present.replaceChildren(
      t("cap.present"),
      " ",
      h("strong", {}, limit(now.amount)),
      [asked.present?.(now)]
        .filter(Boolean)
        .map((each) => ` · ${each}`)
        .join(""),
    );
    tell(field.peek());
  }
  function tell({ cents }) {
    if (cents === undefined) return told.replaceChildren();
    const { tone, text } = asked.consequence(cents, now);
    told.replaceChildren(notice(tone, h("p", {}, text)));
  }
  // Somebody else may have been here since the dialog opened: then it is theirs that is shown first.
  async function change(wanted, act, said, attempts = 1) {
    const latest = await asked.read();
    const isThere = latest.amount === wanted && latest.amount !== now.amount && (latest.source ?? "user") === "user";
    if (!isThere && (latest.amount !== now.amount || latest.source !== now.source)) {
      now = latest;
      moved.replaceChildren(notice("warn", h("p", {}, t("cap.moved", { amount: limit(now.amount) }))));
      show();
      return false;
    }
    try {
      // Perhaps by an attempt of ours whose answer was lost.
      if (!isThere) await act(latest);
    } catch (error) {
      // Something changed in between: this, and then it is shown, or another setting.
      if (error.kind !== "conflict" || attempts === ATTEMPTS) throw error;
      return change(wanted, act, said, attempts + 1);
    }
    await asked.refresh();
    say(said);
    return true;
  }
  show();
  const inherit = asked.inherit?.(now);
  return [
    h(
      "form",
      {
        novalidate: true,
        onsubmit(event) {
          event.preventDefault();
          const amount = field.read();
          if (amount !== undefined)
            dialog.run(() => change(amount, (seen) => asked.save(amount, seen), asked.done(amount)), event.submitter);
        },
      },
      present,
      moved,
      field.element,
      told,
      buttons(cancel(dialog), h("button", { type: "submit", class: "button primary" }, t("cap.set"))),
      h(
        "div",
        { class: "aside" },
        h("p", { class: "soft" }, asked.unlimited),
        h(
          "button",
          {
            type: "button",
            class: "button small",
            onclick: (event) =>
              dialog.run(() => change(null, (seen) => asked.save(null, seen), asked.done(null)), event.currentTarget),
          },
          t("cap.set_unlimited"),
        ),
      ),
      inherit
        ? h(
            "div",
            { class: "aside" },
            h("p", { class: "soft" }, t("member.inherit.what")),
            h(
              "button",
              {
                type: "button",
                class: "button small",
                onclick: (event) =>
                  dialog.run(() => change(undefined, inherit, t("member.inherit.done")), event.currentTarget),
              },
              t("member.inherit"),
            ),
          )
        : null,
    ),
  ];
}
