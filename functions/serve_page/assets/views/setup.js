// The steps after "Enable", in the plan's order; the API's `next_step` says which one is due.

import { put } from "../api.js";
import { buttons, cancel, open } from "../dialog.js";
import { h, icon } from "../dom.js";
import { badge, button, notice, say } from "../parts.js";
import { t } from "../words.js";
import { adjustOrganizationCap, adjustSeatCap } from "./caps.js";
import { autoReload, topUp } from "./paying.js";

const STEPS = {
  team: ["payment", "auto_reload", "spend_limit", "members"],
  enterprise: ["spend_limit", "seat_tier_limits", "members"],
};

const LATER = "headroom.setup_later";

export function setup(state, reader, refresh) {
  const steps = STEPS[reader.plan];
  const statuses = new Map(state.steps.map((step) => [step.name, step.status]));
  const done = steps.filter((step) => statuses.get(step) === "done").length;
  if (!state.enabled || !steps.includes(state.next_step) || !reader.mayChange || sessionStorage.getItem(LATER)) return null;
  const later = () => {
    sessionStorage.setItem(LATER, "yes");
    refresh().then(() => document.querySelector("h1").focus());
  };
  const actions = {
    payment: () => topUp(reader, refresh),
    auto_reload: () => autoReload(reader, state.wallet?.auto_reload, refresh),
    spend_limit: () => adjustOrganizationCap(reader, refresh),
    seat_tier_limits: () => adjustSeatCap("standard", refresh),
    members: () => chooseMembers(state, refresh),
  };
  return h(
    "section",
    { class: "card setup", "aria-labelledby": "setup" },
    h(
      "div",
      { class: "card-head" },
      h(
        "div",
        {},
        h("h2", { id: "setup" }, t("setup.title")),
        h("p", { class: "soft" }, t("setup.note", { done, all: steps.length })),
      ),
      h("div", { class: "actions" }, button(t("setup.later"), later, { kind: "quiet", id: "setup-later" })),
    ),
    h(
      "ol",
      { class: "steps" },
      steps.map((step, index) => {
        const status = statuses.get(step);
        return h(
          "li",
          { class: status === "open" ? "" : status, "aria-current": status === "due" ? "step" : null },
          h("span", { class: "step-mark", "aria-hidden": "true" }, status === "done" ? icon("check") : index + 1),
          h(
            "div",
            { class: "step-text" },
            h(
              "strong",
              {},
              t(`step.${step}`),
              status === "done" ? h("span", { class: "hidden" }, ` (${t("step.is_done")})`) : null,
              status === "off" ? badge(t("off")) : null,
            ),
            h("p", { class: "soft" }, t(`step.${step}.what`)),
          ),
          status === "due" ? button(t(`step.${step}.do`), actions[step], { kind: "primary", id: "next-step" }) : null,
        );
      }),
    ),
  );
}

export function chooseMembers(state, refresh) {
  open(t("who.title"), (dialog) => {
    const choice = (mode) =>
      h(
        "label",
        { class: "choice" },
        h("input", { type: "radio", name: "mode", value: mode, checked: state.members.mode === mode }),
        h("span", {}, h("strong", {}, t(`members.${mode}`)), h("span", { class: "soft" }, t(`members.${mode}.what`))),
      );
    return h(
      "form",
      {
        onsubmit(event) {
          event.preventDefault();
          const mode = new FormData(event.currentTarget).get("mode");
          dialog.run(async () => {
            await put("organizations/extra_usage/members", { mode });
            await refresh();
            say(t(`members.${mode}.done`));
            if (mode === "selected") location.hash = "members";
          }, event.submitter);
        },
      },
      h("fieldset", {}, h("legend", { class: "hidden" }, t("who.title")), choice("everyone"), choice("selected")),
      notice("info", h("p", {}, t("who.what"))),
      buttons(cancel(dialog), h("button", { type: "submit", class: "button primary" }, t("save"))),
    );
  });
}
