// Members' requests for a higher limit (Enterprise): to be approved with an amount, or denied.

import { get, keyring, post, put } from "../api.js";
import { moment } from "../dates.js";
import { amountField, buttons, cancel, confirm, open } from "../dialog.js";
import { h } from "../dom.js";
import { isBelow, limit, money, plain } from "../money.js";
import { button, card, empty, longList, notice, region, say, state, toggle } from "../parts.js";
import { t } from "../words.js";

const PATH = "organizations/spend_limit_increase_requests";

export function requests(reader) {
  const answered = h("div", {});
  const listAnswered = () =>
    answered.replaceChildren(
      longList((page) => get(PATH, { "status[]": ["approved", "denied"], limit: 20, page }), past, {
        none: t("requests.none_answered"),
      }),
    );
  const taking = region(
    () => get("organizations/extra_usage"),
    (found, refresh) => switchFor(found, refresh, reader),
  );
  const waiting = region(
    () => get(PATH, { "status[]": "pending", limit: 100 }),
    (found, refresh) =>
      found.data.length
        ? h(
            "ul",
            { class: "requests" },
            found.data.map((each) =>
              pending(each, async () => {
                await refresh();
                listAnswered();
              }),
            ),
          )
        : empty(t("requests.none")),
  );
  taking.refresh();
  waiting.refresh();
  listAnswered();
  return h(
    "div",
    { class: "stack" },
    card(t("requests.title"), { id: "requests-card", note: t("requests.note") }, waiting.element),
    card(t("requests.answered"), {}, answered),
    card(t("requests.taking"), { note: t("requests.taking.note") }, taking.element),
  );
}

const switchFor = (found, refresh, reader) =>
  toggle({
    label: t("requests.taking"),
    checked: found.requests.enabled,
    id: "requests-enabled",
    disabled: !reader.mayChange,
    async change(enabled) {
      await put("organizations/extra_usage/requests", { enabled });
      await refresh();
      say(t(enabled ? "requests.taking.on" : "requests.taking.off"));
    },
  });

function pending(request, refresh) {
  const { name } = request.actor;
  const { amount, period_to_date_spend: spent } = request.spend_summary;
  return h(
    "li",
    { "data-request": request.id },
    h(
      "div",
      { class: "row-main" },
      h("strong", {}, name),
      h("span", { class: "soft small" }, t("requests.asked", { at: moment(request.created_at) })),
      request.note ? h("blockquote", {}, request.note) : null,
      h(
        "span",
        { class: "soft" },
        t(amount === null ? "requests.has.unlimited" : "requests.has", {
          spent: money(spent),
          amount: limit(amount),
          period: t(`period.${request.period}`),
        }),
      ),
    ),
    h(
      "div",
      { class: "actions" },
      button(
        t("deny"),
        () =>
          confirm(t("deny.title", { name }), t("deny.what"), t("deny"), async (keys) => {
            await post(`${PATH}/${request.id}/deny`, {}, keys);
            await refresh();
            say(t("deny.done", { name }));
          }),
        { id: `deny-${request.id}`, "aria-label": `${t("deny")}: ${name}` },
      ),
      button(t("approve"), () => approve(request, refresh), {
        kind: "primary",
        id: `approve-${request.id}`,
        "aria-label": `${t("approve")}: ${name}`,
      }),
    ),
  );
}

function approve(request, refresh) {
  const { name } = request.actor;
  const { amount, period_to_date_spend: spent } = request.spend_summary;
  const keys = keyring();
  open(t("approve.title", { name }), (dialog) => {
    const told = h("div", { class: "consequence", "aria-live": "polite" });
    const field = amountField({
      label: t("approve.amount", { period: t(`period.${request.period}`) }),
      value: amount === null ? "" : plain(amount),
      changed: tell,
    });
    function tell({ cents }) {
      if (cents === undefined) return told.replaceChildren();
      const low = isBelow(cents, spent);
      told.replaceChildren(
        notice(
          low ? "warn" : "info",
          h(
            "p",
            {},
            t(low ? "member.what.below" : "approve.what", { name, amount: money(cents), spent: money(spent) }),
          ),
        ),
      );
    }
    tell(field.peek());
    return h(
      "form",
      {
        novalidate: true,
        onsubmit(event) {
          event.preventDefault();
          const wanted = field.read();
          if (wanted === undefined) return;
          dialog.run(async () => {
            await post(`${PATH}/${request.id}/approve`, { amount: wanted }, keys);
            await refresh();
            say(t("approve.done", { name, amount: money(wanted) }));
          }, event.submitter);
        },
      },
      h(
        "p",
        { class: "present" },
        t("cap.present"),
        " ",
        h("strong", {}, limit(amount)),
        ` · ${t("requests.spent", { spent: money(spent) })}`,
      ),
      field.element,
      told,
      buttons(cancel(dialog), h("button", { type: "submit", class: "button primary" }, t("approve"))),
    );
  });
}

// A person, or a key by what it is called.
const resolver = ({ type, name }) => (type === "user_actor" ? name : name ? t("by_key.named", { name }) : t("by_key"));

const past = (request) =>
  h(
    "div",
    { class: "row" },
    h(
      "span",
      { class: "row-main" },
      h("span", {}, request.actor.name),
      h(
        "span",
        { class: "soft small" },
        t("requests.resolved", { at: moment(request.resolved_at), by: request.resolved_by ? resolver(request.resolved_by) : t("by_key") }),
      ),
    ),
    state("request", request.status),
  );
