// Settings > Usage, as owners and admins see it: extra usage, the caps, and the month's spending.

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { add, isZero, limit, money, share } from "../money.js";
import { badge, button, card, facts, iconButton, meter, notice, region, say } from "../parts.js";
import { confirm } from "../dialog.js";
import { t } from "../words.js";
import { adjustOrganizationCap, adjustSeatCap } from "./caps.js";
import { chooseMembers, setup } from "./setup.js";
import { spending } from "./spending.js";

const TIERS = ["standard", "premium"];

export function usage(reader) {
  const settings = region(
    () => get("organizations/extra_usage"),
    (state, refresh) => draw(state, reader, refresh),
  );
  settings.refresh();
  return h("div", { class: "stack" }, settings.element, spending(reader.self.period));
}

function draw(state, reader, refresh) {
  const steps = setup(state, reader, refresh);
  const unpriced = unpricedNotice(state);
  if (!state.enabled) return [unpriced, enableCard(state, reader, refresh)];
  return [
    unpriced,
    steps,
    h(
      "div",
      { class: "columns" },
      capCard(state, reader, refresh),
      reader.plan === "enterprise" ? seatCard(state, reader, refresh) : walletCard(state),
    ),
    extraCard(state, reader, refresh),
  ];
}

function unpricedNotice({ unpriced }) {
  if (!unpriced.events) return null;
  return h("div", { id: "unpriced" }, notice("warn", h("p", {}, t("extra.unpriced", { count: unpriced.events }))));
}

function enableCard(state, reader, refresh) {
  return h(
    "section",
    { class: "card hero", "aria-labelledby": "extra-usage" },
    h("h2", { id: "extra-usage" }, t("extra.title"), " ", badge(t("off"))),
    h("p", { class: "lead" }, t("extra.pitch")),
    h("p", { class: "soft" }, t(`extra.billing.${reader.plan}`)),
    reader.mayChange
      ? button(
          t("enable"),
          () =>
            confirm(t("enable.title"), t(`enable.what.${reader.plan}`), t("enable"), async (keys) => {
              await post("organizations/extra_usage/enable", {}, keys);
              await refresh();
              say(t("enable.done"));
            }),
          { kind: "primary large", id: "enable" },
        )
      : h("p", { class: "soft" }, t("owners_only")),
  );
}

function extraCard(state, reader, refresh) {
  const turnOff = () =>
    confirm(
      t("disable.title"),
      t("disable.what"),
      t("disable"),
      async (keys) => {
        await post("organizations/extra_usage/disable", {}, keys);
        await refresh();
        say(t("disable.done"));
      },
      { kind: "danger" },
    );
  return card(
    t("extra.title"),
    {
      id: "extra-usage",
      note: t(`extra.billing.${reader.plan}`),
      actions: reader.mayChange ? [button(t("disable"), turnOff, { kind: "quiet", id: "disable" })] : null,
    },
    facts(
      [t("extra.state"), badge(t("on"), "good")],
      [
        t("extra.who"),
        h(
          "span",
          {},
          t(`members.${state.members.mode}`),
          " ",
          reader.mayChange
            ? button(t("change"), () => chooseMembers(state, refresh), { kind: "quiet small", id: "choose-members" })
            : null,
        ),
      ],
    ),
    reader.mayChange ? null : h("p", { class: "soft" }, t("owners_only")),
  );
}

function capCard(state, reader, refresh) {
  const { amount, period_to_date_spend: spent, held, remaining } = state.spend_limit;
  const adjust = () => adjustOrganizationCap(reader, refresh);
  const text =
    amount === null
      ? t("cap.used.unlimited", { spent: money(spent) })
      : t("cap.used", { spent: money(spent), amount: money(amount) });
  return card(
    t("cap.title"),
    {
      id: "spending-cap",
      note: t("cap.note"),
      actions: reader.mayChange ? [button(t("cap.adjust"), adjust, { id: "adjust-cap" })] : null,
    },
    h(
      "p",
      { class: "figure-line" },
      h("span", { class: "big", id: "cap-amount" }, limit(amount)),
      amount === null ? null : h("span", { class: "soft" }, t("per_month")),
    ),
    amount === null
      ? null
      : meter({
          label: t("cap.meter"),
          value: share(add(spent, held), amount),
          text,
          parts: [
            ["spent", share(spent, amount)],
            ["held", share(held, amount)],
          ],
        }),
    facts(
      [t("spent_so_far"), money(spent)],
      isZero(held) ? null : [t("held"), h("span", { title: t("held.what") }, money(held))],
      remaining === null ? null : [t("left"), money(remaining)],
    ),
  );
}

function seatCard(state, reader, refresh) {
  return card(
    t("seat.title"),
    { id: "seat-caps", note: t("seat.note") },
    h(
      "ul",
      { class: "lines" },
      TIERS.map((tier) => {
        const cap = state.seat_tiers[tier].spend_limit;
        return h(
          "li",
          {},
          h("span", { class: "line-name" }, t(`tier.${tier}`)),
          h(
            "span",
            { class: "line-value", id: `seat-cap-${tier}` },
            limit(cap),
            cap === null ? null : h("span", { class: "soft" }, ` ${t("seat.each")}`),
          ),
          reader.mayChange
            ? iconButton("pencil", t("seat.edit", { tier: t(`tier.${tier}`) }), () => adjustSeatCap(tier, refresh), {
                id: `edit-seat-${tier}`,
              })
            : null,
        );
      }),
    ),
  );
}

function walletCard(state) {
  const { balance, held, auto_reload: reload } = state.wallet;
  return card(
    t("wallet.title"),
    {
      id: "wallet-summary",
      note: t("wallet.note"),
      actions: [h("a", { class: "button", href: "#wallet" }, t("wallet.open"))],
    },
    h(
      "p",
      { class: "figure-line" },
      h("span", { class: "big" }, money(balance)),
      h("span", { class: "soft" }, t("wallet.balance")),
    ),
    facts(isZero(held) ? null : [t("held"), h("span", { title: t("held.what") }, money(held))], [
      t("reload.title"),
      reload.enabled ? badge(t("on"), "good") : badge(t("off")),
    ]),
  );
}
