// Buying extra usage in advance, and reloading it by itself (Team).

import { get, keyring, post, put } from "../api.js";
import { amountField, buttons, cancel, open } from "../dialog.js";
import { h } from "../dom.js";
import { isBelow, money, plain, toUnits } from "../money.js";
import { loading, notice, problem, say } from "../parts.js";
import { t } from "../words.js";
import { leadToBank } from "./confirming.js";

export function topUp(reader, refresh) {
  const keys = keyring();
  open(t("top_up.title"), (dialog) => {
    const content = h("div", {}, loading());
    const begin = () =>
      get("organizations/wallet")
        .then(
          (wallet) => content.replaceChildren(topUpForm(wallet)),
          (error) => content.replaceChildren(problem(error, begin)),
        )
        .then(() => content.querySelector("input")?.focus());
    begin();

    function topUpForm(wallet) {
      const told = h("div", { class: "consequence", "aria-live": "polite" });
      const field = amountField({
        label: t("top_up.amount"),
        hint: bounds(reader),
        ...reader.topUp,
        changed: ({ cents }) =>
          told.replaceChildren(
            ...(cents ? [notice("info", h("p", {}, t("top_up.what", { amount: money(cents) })))] : []),
          ),
      });
      const card = chooseCard(wallet.payment_method, reader.cards);
      return h(
        "form",
        {
          novalidate: true,
          onsubmit(event) {
            event.preventDefault();
            const amount = field.read();
            if (amount === undefined) return;
            const body = { amount, ...card.read() };
            dialog.run(() => pay(body), event.submitter);
          },
        },
        field.element,
        card.element,
        told,
        buttons(
          cancel(dialog),
          h("button", { type: "submit", class: "button primary", disabled: !card.usable }, t("top_up.do")),
        ),
      );
    }

    async function pay(body) {
      const made = await post("organizations/wallet/top_ups", body, keys);
      await refresh();
      if (made.status === "succeeded") return void say(t("top_up.done", { amount: money(made.amount) }));
      content.replaceChildren(
        notice(
          "warn",
          h("p", {}, h("strong", {}, t(`top_up.${made.status}`))),
          h("p", {}, t(`top_up.${made.status}.todo`)),
        ),
        made.status === "requires_action" ? leadToBank(made) : null,
        buttons(
          ...cardPage(reader.cards),
          h("button", { type: "button", class: "button", onclick: dialog.close }, t("understood")),
        ),
      );
      return false;
    }
    return content;
  });
}

export function autoReload(reader, present, refresh) {
  open(t("reload.dialog"), (dialog) => {
    const threshold = amountField({
      label: t("reload.threshold"),
      value: present?.threshold ? plain(present.threshold) : "",
      changed: tell,
    });
    const amount = amountField({
      label: t("reload.amount"),
      hint: bounds(reader),
      value: present?.amount ? plain(present.amount) : "",
      ...reader.topUp,
      changed: tell,
    });
    const monthly = amountField({
      label: t("reload.monthly"),
      hint: t("reload.monthly.hint"),
      value: present?.monthly_limit ? plain(present.monthly_limit) : "",
      optional: t("unlimited"),
      changed: tell,
    });
    const told = h("div", { class: "consequence", "aria-live": "polite" });

    function tell() {
      const [low, more, most] = [threshold, amount, monthly].map((field) => field.peek().cents);
      if (!low || !more || most === undefined) return told.replaceChildren();
      const text = t(most === null ? "reload.what.unlimited" : "reload.what", {
        threshold: money(low),
        amount: money(more),
        monthly: most && money(most),
        times: most && toUnits(most) / toUnits(more),
      });
      told.replaceChildren(notice(most === null ? "warn" : "info", h("p", {}, text)));
    }
    function save(event, body, said) {
      dialog.run(async () => {
        await put("organizations/wallet/auto_reload", body);
        await refresh();
        say(said);
      }, event.submitter ?? event.currentTarget);
    }
    tell();
    return h(
      "form",
      {
        novalidate: true,
        onsubmit(event) {
          event.preventDefault();
          const [low, more, most] = [threshold, amount, monthly].map((field) => field.read());
          if ([low, more, most].includes(undefined)) return;
          if (most !== null && isBelow(most, more)) return monthly.complain(t("reload.monthly.too_small"));
          save(event, { enabled: true, threshold: low, amount: more, monthly_limit: most }, t("reload.done"));
        },
      },
      h("p", { class: "soft" }, t("reload.note")),
      threshold.element,
      amount.element,
      monthly.element,
      told,
      buttons(
        cancel(dialog),
        h(
          "button",
          {
            type: "button",
            class: "button",
            id: "no-reload",
            // No figures: those that somebody else set meanwhile are kept for the next time.
            onclick: (event) => save(event, { enabled: false }, t("reload.off.done")),
          },
          t(present?.enabled ? "reload.turn_off" : "reload.not_now"),
        ),
        h("button", { type: "submit", class: "button primary" }, t("reload.save")),
      ),
    );
  });
}

const bounds = (reader) => t("top_up.bounds", { least: money(reader.topUp.least), most: money(reader.topUp.most) });

// Which card pays: the one on file, or where none is real, an example that behaves in a known way.
function chooseCard(onFile, cards) {
  const named = onFile ? t("card.on_file", { brand: onFile.brand, last4: onFile.last4 }) : null;
  if (!cards.examples.length) {
    const element = onFile
      ? h("p", { class: "soft" }, named, " ", cardPage(cards, "quiet small"))
      : notice("warn", h("p", {}, t("card.none")), h("p", {}, cardPage(cards)));
    return { element, usable: Boolean(onFile), read: () => ({}) };
  }
  const select = h(
    "select",
    { id: "card" },
    onFile ? h("option", { value: "" }, named) : null,
    cards.examples.map((each) => h("option", { value: each.id }, t(`card.example.${each.behaviour}`))),
  );
  return {
    element: h("div", { class: "field" }, h("label", { for: "card" }, t("card.label")), select),
    usable: true,
    read: () => (select.value ? { payment_method: select.value } : {}),
  };
}

export const cardPage = (cards, kind = "") =>
  cards.page
    ? [
        h(
          "a",
          { class: `button ${kind}`, href: cards.page, target: "_blank", rel: "noopener noreferrer" },
          t("card.open"),
        ),
      ]
    : [];
