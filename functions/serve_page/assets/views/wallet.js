// The wallet (Team): what is there, how it reloads, and every movement.

import { get } from "../api.js";
import { day, moment } from "../dates.js";
import { h } from "../dom.js";
import { exactly, isZero, money, toUnits } from "../money.js";
import { badge, button, card, facts, longList, notice, region, state } from "../parts.js";
import { known, t } from "../words.js";
import { cameBack, leadToBank } from "./confirming.js";
import { autoReload, cardPage, topUp } from "./paying.js";

const TROUBLE = ["needs_action", "declined", "ceiling_reached", "no_payment_method"];

export function wallet(reader) {
  const entries = h("div", {});
  const listEntries = () =>
    entries.replaceChildren(
      longList((page) => get("organizations/wallet/entries", { limit: 20, page }), entry, { none: t("entries.none") }),
    );
  const top = region(
    () => get("organizations/wallet"),
    (found) => draw(found, reader, () => (listEntries(), top.refresh())),
  );
  top.refresh();
  listEntries();
  const back = cameBack(() => (listEntries(), top.refresh()));
  return h("div", { class: "stack" }, back, top.element, card(t("entries.title"), { note: t("entries.note") }, entries));
}

function draw(found, reader, refresh) {
  return [
    found.standing === "good"
      ? null
      : notice(
          "bad",
          h("p", {}, h("strong", {}, known("standing", found.standing))),
          (found.next_steps ?? []).map((step) => h("p", {}, known("do", step))),
        ),
    h("div", { class: "columns" }, balance(found, reader, refresh), reload(found, reader, refresh)),
  ];
}

function balance(found, reader, refresh) {
  const method = found.payment_method;
  return card(
    t("wallet.title"),
    {
      id: "wallet-balance",
      note: t("wallet.note"),
      // Admins buy too; settings are the owners'.
      actions: [button(t("top_up.do"), () => topUp(reader, refresh), { kind: "primary", id: "top-up" })],
    },
    h(
      "p",
      { class: "figure-line" },
      h("span", { class: "big", id: "balance" }, money(found.balance)),
      h("span", { class: "soft" }, t("wallet.balance")),
    ),
    facts(
      isZero(found.held) ? null : [t("held"), h("span", { title: t("held.what") }, money(found.held))],
      found.owed && !isZero(found.owed) ? [t("wallet.owed"), money(found.owed)] : null,
      [
        t("card.label"),
        h(
          "span",
          {},
          method ? t("card.on_file", { brand: method.brand, last4: method.last4 }) : t("card.absent"),
          " ",
          cardPage(reader.cards, "quiet small"),
        ),
      ],
    ),
    (found.pending ?? []).map((payment) =>
      notice(
        "warn",
        h("p", {}, t("pending.payment", { amount: money(payment.amount) }), " ", state("payment", payment.status)),
        payment.status === "requires_action" ? leadToBank(payment, `confirm-${payment.id}`) : null,
      ),
    ),
    found.lots
      ?.filter((lot) => lot.expires_at && !isZero(lot.remaining))
      .map((lot) =>
        h("p", { class: "soft" }, t("lot.expires", { amount: money(lot.remaining), day: day(lot.expires_at) })),
      ),
  );
}

function reload(found, reader, refresh) {
  const auto = found.auto_reload;
  const trouble = TROUBLE.includes(auto.state);
  return card(
    t("reload.title"),
    {
      id: "auto-reload",
      note: t("reload.note"),
      actions: reader.mayChange
        ? [
            button(t(auto.enabled ? "change" : "reload.set_up"), () => autoReload(reader, auto, refresh), {
              id: "edit-reload",
            }),
          ]
        : null,
    },
    h(
      "p",
      { class: "figure-line" },
      auto.enabled
        ? trouble || auto.state === "cooling_down" || auto.state === "pending"
          ? state("reload.state", auto.state)
          : badge(t("on"), "good")
        : badge(t("off")),
    ),
    auto.enabled && (trouble || ["cooling_down", "pending"].includes(auto.state))
      ? notice(
          trouble ? "bad" : "info",
          h("p", {}, known("reload.state_what", auto.state)),
          auto.next_step ? h("p", {}, known("do", auto.next_step)) : null,
          trouble ? cardPage(reader.cards, "small") : null,
        )
      : null,
    auto.enabled
      ? facts(
          [t("reload.when"), t("reload.when.value", { threshold: money(auto.threshold), amount: money(auto.amount) })],
          [
            t("reload.monthly"),
            auto.monthly_limit === null
              ? t("unlimited")
              : t("reload.monthly.value", {
                  done: money(auto.reloaded_this_month ?? "0"),
                  all: money(auto.monthly_limit),
                }),
          ],
        )
      : h("p", { class: "soft" }, t("reload.is_off")),
  );
}

function entry(row) {
  const comes = toUnits(row.amount) >= 0n;
  return h(
    "div",
    { class: "row entry" },
    h(
      "span",
      { class: "row-main" },
      h("span", {}, known("entry", row.kind)),
      h("span", { class: "soft small" }, row.description || moment(row.created_at)),
    ),
    h("span", { class: `row-amount ${comes ? "good" : ""}` }, `${comes ? "+" : ""}${exactly(row.amount)}`),
    h("span", { class: "row-after soft" }, t("entries.after", { balance: exactly(row.balance) })),
  );
}
