// Invoices and statements: the list, what each is made of, and its PDF.

import { file, get, getLong } from "../api.js";
import { day, month } from "../dates.js";
import { open } from "../dialog.js";
import { h } from "../dom.js";
import { exactly, isZero, money, price, subtract } from "../money.js";
import { adding, button, card, facts, longList, problem, shown, state } from "../parts.js";
import { known, language, number, t } from "../words.js";
import { download } from "./spending.js";

export const invoices = (reader) =>
  card(
    t("invoices.title"),
    {
      id: "invoices-card",
      note: t(`invoices.note.${reader.plan}`),
      actions: [
        button(
          t("invoices.draft"),
          () =>
            show({ id: "draft", kind: reader.plan === "team" ? "statement" : "invoice", period: reader.self.period }),
          { id: "open-draft" },
        ),
      ],
    },
    longList((page) => get("organizations/invoices", { limit: 20, page }), line, { none: t("invoices.none") }),
  );

const name = (invoice) => invoice.number ?? t("invoice.draft");

function line(invoice) {
  return h(
    "div",
    { class: "row invoice", "data-invoice": invoice.id },
    h(
      "span",
      { class: "row-main" },
      h("strong", {}, month(invoice.period)),
      h("span", { class: "soft small" }, `${known("invoice.kind", invoice.kind)} · ${name(invoice)}`),
    ),
    state("invoice.status", invoice.status),
    h("span", { class: "row-amount" }, money(invoice.total)),
    h(
      "span",
      { class: "actions" },
      button(t("invoice.open"), () => show(invoice), {
        kind: "small",
        id: `open-${invoice.id}`,
        "aria-label": `${t("invoice.open")}: ${month(invoice.period)}`,
      }),
      invoice.pdf
        ? button("PDF", (event) => pdf(invoice, event.currentTarget), {
            kind: "small",
            sign: "download",
            "aria-label": `PDF: ${month(invoice.period)}`,
          })
        : null,
    ),
  );
}

async function pdf(invoice, control) {
  control.setAttribute("aria-busy", "true");
  control.parentElement.querySelector(".notice")?.remove();
  try {
    download(await file(`organizations/invoices/${invoice.id}/pdf`, {}, "application/pdf"), `${name(invoice)}.pdf`);
  } catch (error) {
    control.after(problem(error));
  } finally {
    control.removeAttribute("aria-busy");
  }
}

function show(summary) {
  open(
    `${known("invoice.kind", summary.kind)} · ${month(summary.period)}`,
    () =>
      shown(
        (tell) => getLong(`organizations/invoices/${summary.id}`, {}, adding(tell)),
        (invoice) => [
          facts(
            [t("invoice.number"), name(invoice)],
            invoice.credits_invoice_number ? [t("invoice.credits"), invoice.credits_invoice_number] : null,
            [t("invoice.state"), state("invoice.status", invoice.status)],
            invoice.issued_at ? [t("invoice.issued"), day(invoice.issued_at)] : null,
            invoice.due_at ? [t("invoice.due"), day(invoice.due_at)] : null,
            invoice.paid_at ? [t("invoice.paid"), day(invoice.paid_at)] : null,
          ),
          statement(invoice),
          lines(invoice),
          totals(invoice),
          people(invoice),
        ],
      ),
    { wide: true },
  );
}

const statement = (invoice) =>
  invoice.opening_balance === undefined
    ? null
    : facts(
        ...["opening_balance", "purchases", "usage", "closing_balance"].map((each) => [
          t(`statement.${each}`),
          exactly(each === "usage" ? negated(invoice[each]) : invoice[each]),
        ]),
      );

const negated = (amount) => subtract("0", amount);

// An API that is a release behind leaves some amounts out.
const isNothing = (amount) => amount === undefined || amount === null || isZero(amount);

const lines = (invoice) =>
  invoice.lines?.length
    ? h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": t("invoice.lines") },
        h(
          "table",
          {},
          h("caption", { class: "hidden" }, t("invoice.lines")),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, t("invoice.what")),
              h("th", { scope: "col", class: "num" }, t("invoice.quantity")),
              h("th", { scope: "col", class: "num" }, t("invoice.price")),
              h("th", { scope: "col", class: "num" }, t("amount")),
            ),
          ),
          h(
            "tbody",
            {},
            invoice.lines.map((each) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, each.model, h("span", { class: "soft small" }, known("token", each.kind))),
                h("td", { class: "num" }, number(each.quantity)),
                h("td", { class: "num" }, price(each.unit_price, each.per, each.kind)),
                h("td", { class: "num" }, exactly(each.amount)),
              ),
            ),
          ),
        ),
      )
    : null;

const totals = (invoice) =>
  h(
    "dl",
    { class: "totals" },
    (invoice.adjustments ?? []).map((each) => pair(adjusted(each), each.amount)),
    invoice.kind === "statement"
      ? null
      : [
          pair(t("invoice.subtotal"), invoice.subtotal),
          isNothing(invoice.rounding) ? null : pair(t("invoice.rounding"), invoice.rounding),
          (invoice.taxes ?? []).map((tax) => pair(`${tax.name} ${percent(tax.rate)}`, tax.amount)),
        ],
    pair(t("invoice.total"), invoice.total),
    invoice.kind === "invoice" ? due(invoice) : null,
  );

const due = (invoice) => [
  isNothing(invoice.credited) ? null : pair(t("invoice.credited"), negated(invoice.credited)),
  isNothing(invoice.paid) ? null : pair(t("invoice.paid_so_far"), negated(invoice.paid)),
  isNothing(invoice.surplus) ? null : pair(t("invoice.surplus"), invoice.surplus),
  pair(t("invoice.amount_due"), invoice.amount_due),
];

const adjusted = (each) =>
  each.description ??
  t(each.invoice_number ? "invoice.late_usage" : "invoice.late_usage_alone", {
    period: month(each.period),
    number: each.invoice_number,
  });

const percent = (rate) =>
  new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 3 }).format(rate);

const pair = (label, amount) => h("div", {}, h("dt", {}, label), h("dd", {}, exactly(amount)));

const people = (invoice) =>
  invoice.by_member?.length
    ? h(
        "details",
        { class: "as-table" },
        h("summary", {}, t("invoice.by_member")),
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, t("members.column.member")),
              h("th", { scope: "col", class: "num" }, t("amount")),
            ),
          ),
          h(
            "tbody",
            {},
            invoice.by_member.map((each) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, each.name ?? each.user_id),
                h("td", { class: "num" }, exactly(each.amount)),
              ),
            ),
            isNothing(invoice.other_members_amount)
              ? null
              : h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, t("invoice.other_members")),
                  h("td", { class: "num" }, exactly(invoice.other_members_amount)),
                ),
          ),
        ),
      )
    : null;
