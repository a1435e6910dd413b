// The page begins here: words, sign-in, who it is, and then one view at a time.

import { get } from "./api.js";
import { forget } from "./directory.js";
import { h } from "./dom.js";
import { setCurrency } from "./money.js";
import { loading, problem } from "./parts.js";
import { endSession, finishSignIn, session, signIn, signOut } from "./session.js";
import { month } from "./dates.js";
import { activity } from "./views/activity.js";
import { comeBack } from "./views/confirming.js";
import { invoices } from "./views/invoices.js";
import { mail } from "./views/mail.js";
import { members } from "./views/members.js";
import { own } from "./views/own.js";
import { prices } from "./views/prices.js";
import { requests } from "./views/requests.js";
import { usage } from "./views/usage.js";
import { wallet } from "./views/wallet.js";
import { language, LANGUAGES, preferred, speak, t } from "./words.js";

const OWNERS = ["primary_owner", "owner"];
const REVIEWERS = [...OWNERS, "admin"];

const root = document.getElementById("app");
let config = null;
// What every view knows: who reads the page, what they may do, and the organization's plan.
let reader = null;

const VIEWS = { usage, members, wallet, requests, invoices, prices, activity, mail, own };

function viewsOf({ plan, mayRead, mayChange }) {
  if (!mayRead) return ["own"];
  const billing = plan === "team" ? ["wallet"] : ["requests"];
  return ["usage", "members", ...billing, "invoices", "prices", "activity", ...(mayChange ? ["mail"] : []), "own"];
}

async function start() {
  try {
    await speak(preferred());
    config = await (await fetch(new URL("config.json", document.baseURI))).json();
    comeBack();
    if (!config.sign_in) return frame(h("p", {}, t("sign_in.not_configured")));
    await finishSignIn(config.sign_in);
  } catch (error) {
    if (error.name !== "Error") console.warn(error.message);
    return welcome(error);
  }
  return session() ? enter() : welcome();
}

// Find out who reads the page, and show them what is theirs.
async function enter() {
  frame(loading());
  try {
    const self = await get("me/extra_usage");
    setCurrency(self.currency);
    reader = {
      self,
      plan: self.plan,
      mayRead: REVIEWERS.includes(self.role),
      mayChange: OWNERS.includes(self.role),
      topUp: config.top_up,
      cards: { page: config.payment_methods_url, examples: config.example_cards },
    };
  } catch (error) {
    if (error.kind === "signed_out") return;
    return frame(problem(error, enter));
  }
  window.onhashchange = () => show({ focus: true });
  show();
}

function show({ focus = false } = {}) {
  const views = viewsOf(reader);
  const wanted = location.hash.slice(1);
  const name = views.includes(wanted) ? wanted : views[0];
  const heading = h("h1", { tabindex: -1 }, t(`title.${name}`));
  frame(
    views.length > 1 ? nav(views, name) : null,
    h("div", { class: "view-head" }, heading, h("p", { class: "soft" }, month(reader.self.period))),
    h("div", { class: "view" }, VIEWS[name](reader)),
  );
  document.title = `${t(`title.${name}`)} · Headroom`;
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  if (focus) heading.focus({ preventScroll: true });
}

const nav = (views, current) =>
  h(
    "nav",
    { class: "tabs", "aria-label": t("nav") },
    views.map((name) =>
      h("a", { href: `usage#${name}`, "aria-current": name === current ? "page" : null }, t(`nav.${name}`)),
    ),
  );

// The frame around every view: the name, the language, who is signed in.
function frame(...content) {
  const signedIn = session();
  root.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: skip }, t("skip")),
    h(
      "header",
      { class: "top" },
      h(
        "span",
        { class: "brand" },
        h("img", { src: new URL("mark.svg", import.meta.url).href, alt: "", width: 26, height: 26 }),
        "Headroom",
      ),
      h(
        "div",
        { class: "top-end" },
        languages(),
        signedIn ? h("span", { class: "who soft" }, signedIn.name ?? "") : null,
        signedIn
          ? h(
              "button",
              { type: "button", class: "button quiet small", id: "sign-out", onclick: () => signOut(config?.sign_in) },
              t("sign_out"),
            )
          : null,
      ),
    ),
    h("main", { id: "main" }, content),
    h("div", { id: "said", role: "status" }),
  );
  root.removeAttribute("aria-busy");
}

function skip(event) {
  event.preventDefault();
  const heading = document.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus();
}

function languages() {
  return h(
    "div",
    { class: "languages", role: "group", "aria-label": t("language") },
    Object.entries(LANGUAGES).map(([code, name]) =>
      h(
        "button",
        {
          type: "button",
          id: `language-${code}`,
          lang: code,
          "aria-pressed": String(code === language()),
          "aria-label": name,
          async onclick() {
            await speak(code, { remember: true });
            if (session() && reader) show();
            else if (session()) await enter();
            else welcome();
            document.getElementById(`language-${code}`)?.focus();
          },
        },
        code.toUpperCase(),
      ),
    ),
  );
}

function welcome(error = null) {
  reader = null;
  const configured = Boolean(config?.sign_in);
  frame(
    h(
      "div",
      { class: "welcome" },
      h("h1", { tabindex: -1 }, t("welcome.title")),
      h("p", { class: "lead" }, t("welcome.text")),
      error
        ? h(
            "div",
            { class: "notice bad", role: "alert" },
            h(
              "div",
              {},
              h("p", {}, h("strong", {}, t("sign_in.failed")), " ", t("sign_in.failed.todo")),
              h("p", { class: "soft small" }, error.message),
            ),
          )
        : null,
      configured
        ? h(
            "button",
            {
              type: "button",
              class: "button primary large",
              id: "sign-in",
              onclick: (event) => {
                event.currentTarget.setAttribute("aria-busy", "true");
                signIn(config.sign_in);
              },
            },
            t("sign_in"),
          )
        : h("button", { type: "button", class: "button", onclick: () => location.reload() }, t("retry")),
    ),
  );
  document.title = `${t("title.usage")} · Headroom`;
}

window.addEventListener("signed-out", () => {
  endSession();
  forget();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  welcome();
  const said = h("p", { class: "notice info" }, t("sign_in.ended"));
  document.querySelector(".welcome .lead")?.after(said);
});

start();
