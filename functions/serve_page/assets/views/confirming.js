// A payment that its card's holder confirms: on their bank's page, which leads them back here.

import { keyring, post } from "../api.js";
import { h } from "../dom.js";
import { money } from "../money.js";
import { button, notice, problem, say } from "../parts.js";
import { t } from "../words.js";

// Survives a sign-in on the way back, and dies with the tab.
const LEFT_FOR = "headroom.payment";

// Remember which payment somebody comes back from, if the address says so, and show it no longer:
// the processor adds to it what completes the payment.
export function comeBack() {
  const payment = new URLSearchParams(location.search).get("payment");
  if (!payment) return;
  sessionStorage.setItem(LEFT_FOR, payment);
  history.replaceState(null, "", `${location.pathname}#wallet`);
}

// The button that leads there. What goes wrong is said beside it.
export function leadToBank(payment, id = null) {
  const errors = h("div", {});
  const lead = async (event) => {
    const control = event.currentTarget;
    control.setAttribute("aria-busy", "true");
    errors.replaceChildren();
    try {
      const found = await confirm(payment.id);
      if (found.status === "requires_action" && found.redirect_url) return void leave(found.redirect_url);
      errors.replaceChildren(outcome(found));
    } catch (error) {
      errors.replaceChildren(problem(error));
    }
    control.removeAttribute("aria-busy");
  };
  return h("div", {}, button(t("confirm.do"), lead, { kind: "primary small", id }), errors);
}

// How the payment stands that somebody came back from; nothing if they did not.
export function cameBack(refresh) {
  const element = h("div", { id: "came-back" });
  const payment = sessionStorage.getItem(LEFT_FOR);
  const look = async () => {
    try {
      const found = await confirm(payment);
      sessionStorage.removeItem(LEFT_FOR);
      element.replaceChildren(outcome(found));
      if (found.status === "succeeded") say(t("top_up.done", { amount: money(found.amount) }));
      refresh();
    } catch (error) {
      if (error.kind === "missing") return sessionStorage.removeItem(LEFT_FOR);
      element.replaceChildren(problem(error, look));
    }
  };
  if (payment) look();
  return element;
}

const confirm = (id) => post(`organizations/wallet/payments/${encodeURIComponent(id)}/confirm`, undefined, keyring());

function outcome({ status, amount, redirect_url: way }) {
  const kind = status === "requires_action" && !way ? "unreachable" : status;
  const tone = { succeeded: "info", pending: "info", requires_action: "warn" }[kind] ?? "bad";
  return notice(
    tone,
    h("p", {}, h("strong", {}, t(`confirm.${kind}`, { amount: money(amount) })), " ", t(`confirm.${kind}.todo`)),
  );
}

function leave(address) {
  // Only ever a page: an address from elsewhere may not become code.
  if (/^https?:/.test(address)) location.assign(address);
}
