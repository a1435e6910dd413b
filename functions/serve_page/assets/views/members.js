// Caps by member: search, pages, what each spent this month, and "…" to edit a limit.

import { get, put } from "../api.js";
import { confirm } from "../dialog.js";
import { keep, search } from "../directory.js";
import { freshId, h, icon } from "../dom.js";
import { limit, money, share } from "../money.js";
import { badge, button, card, empty, loading, meter, problem, say, toggle } from "../parts.js";
import { menu } from "../menu.js";
import { number, t } from "../words.js";
import { adjustMemberCap } from "./caps.js";

const PAGE = 20;
const TYPING_PAUSE_MS = 250;
// What the API lets people of a role give to others; a test compares it with the API's own table.
const MAY_GIVE = { "primary_owner": ["owner", "admin", "member"], "owner": ["admin", "member"] };

export function members(reader) {
  const body = h("div", { class: "member-rows" });
  const foot = h("div", { class: "pager" });
  const status = h("p", { class: "soft small", role: "status" });
  const field = freshId("search");
  let page = 0;
  let turn = 0;
  let mode = "everyone";
  let timer;

  const input = h("input", {
    id: field,
    type: "search",
    autocomplete: "off",
    placeholder: t("members.search.hint"),
    oninput() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        page = 0;
        refresh();
      }, TYPING_PAUSE_MS);
    },
  });

  async function refresh() {
    const mine = ++turn;
    body.setAttribute("aria-busy", "true");
    if (!body.children.length) body.replaceChildren(loading());
    try {
      const asked = input.value;
      const [found, settings] = await Promise.all([
        search(
          asked,
          (page + 1) * PAGE + 1,
          (count) => mine === turn && (status.textContent = t("members.searching", { count: number(count) })),
        ),
        get("organizations/extra_usage"),
      ]);
      const rows = found.rows.slice(page * PAGE, (page + 1) * PAGE);
      const limits = rows.length
        ? await get("organizations/spend_limits/effective", {
            "user_ids[]": rows.map((row) => row.user_id),
            "period[]": "monthly",
            limit: 100,
          })
        : { data: [] };
      if (mine !== turn) return;
      mode = settings.members.mode;
      const of = new Map(limits.data.map((row) => [row.scope.user_id, row]));
      body.replaceChildren(
        ...(rows.length ? [table(rows, of)] : [empty(t(asked ? "members.none_found" : "members.none"))]),
      );
      paging(found, rows.length);
    } catch (error) {
      if (mine !== turn) return;
      if (!error.kind) console.error(error);
      body.replaceChildren(problem(error, refresh));
    } finally {
      if (mine === turn) body.removeAttribute("aria-busy");
    }
  }

  function paging({ rows: { length: matching }, complete }, shownRows) {
    const first = page * PAGE + 1;
    const last = first + shownRows - 1;
    const more = matching > last;
    status.textContent = shownRows
      ? t(complete ? "members.range" : "members.range.more", { first, last, all: number(matching) })
      : "";
    const go = (to) => async (event) => {
      const { id } = event.currentTarget;
      page = to;
      await refresh();
      const back = document.getElementById(id);
      (back?.disabled ? foot.querySelector("button:not(:disabled)") : back)?.focus();
    };
    foot.replaceChildren(
      button(t("previous"), go(page - 1), { sign: "left", id: "previous-page", disabled: page === 0, kind: "small" }),
      button(t("next"), go(page + 1), { sign: "right", id: "next-page", disabled: !more, kind: "small after" }),
    );
    foot.hidden = page === 0 && !more;
  }

  const table = (rows, of) =>
    h(
      "table",
      { class: "members" },
      h("caption", { class: "hidden" }, t("members.title")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["member", "seat", "extra", "spent", "cap"].map((name) =>
            h("th", { scope: "col", class: ["spent", "cap"].includes(name) ? "num" : "" }, t(`members.column.${name}`)),
          ),
          h("th", { scope: "col" }, h("span", { class: "hidden" }, t("members.column.actions"))),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) => line(row, of.get(row.user_id))),
      ),
    );

  function line(row, cap) {
    const admitted = mode === "everyone" || row.extra_usage;
    return h(
      "tr",
      { "data-user": row.user_id },
      h(
        "th",
        { scope: "row" },
        h(
          "span",
          { class: "name" },
          row.name,
          row.user_id === reader.self.user_id ? h("span", { class: "soft" }, ` (${t("you")})`) : null,
        ),
        h("span", { class: "soft small" }, row.email),
      ),
      h("td", { "data-label": t("members.column.seat") }, t(`tier.${row.seat_tier}`)),
      h(
        "td",
        { "data-label": t("members.column.extra") },
        mode === "selected" && reader.mayChange
          ? toggle({
              label: t("members.admit", { name: row.name }),
              checked: row.extra_usage,
              id: `admit-${row.user_id}`,
              change: (on) => admit(row, on),
            })
          : badge(admitted ? t("on") : t("off"), admitted ? "good" : ""),
      ),
      h(
        "td",
        { class: "num", "data-label": t("members.column.spent") },
        money(cap?.period_to_date_spend ?? "0"),
        cap?.amount
          ? meter({
              label: t("members.meter", { name: row.name }),
              value: share(cap.period_to_date_spend, cap.amount),
              text: t("cap.used", { spent: money(cap.period_to_date_spend), amount: money(cap.amount) }),
              parts: [["spent", share(cap.period_to_date_spend, cap.amount)]],
            })
          : null,
      ),
      h(
        "td",
        { class: "num", "data-label": t("members.column.cap") },
        h("span", { class: "cap" }, cap ? limit(cap.amount) : "–"),
        cap && cap.source.type !== "organization"
          ? h("span", { class: "soft small" }, t(`source.${cap.source.type}`))
          : null,
      ),
      h(
        "td",
        { class: "end" },
        reader.mayChange
          ? menu(t("members.actions", { name: row.name }), actions(row), { id: `actions-${row.user_id}` })
          : null,
      ),
    );
  }

  function actions(row) {
    const other = row.seat_tier === "standard" ? "premium" : "standard";
    return [
      { label: t("members.edit_limit"), act: () => adjustMemberCap(row, refresh) },
      {
        label: t("members.move", { tier: t(`tier.${other}`) }),
        act: () =>
          confirm(
            t("members.move.title", { name: row.name }),
            t("members.move.what", { tier: t(`tier.${other}`) }),
            t("members.move.do"),
            async () => {
              keep(await put(`organizations/members/${row.user_id}`, { seat_tier: other }));
              await refresh();
              say(t("members.move.done", { name: row.name, tier: t(`tier.${other}`) }));
            },
          ),
      },
      ...rolesFor(row).map((role) => ({
        label: t("members.role", { role: t(`value.${role}`) }),
        act: () =>
          confirm(
            t("members.role.title", { name: row.name }),
            t(`members.role.what.${role}`),
            t("members.role.do"),
            async () => {
              keep(await put(`organizations/members/${row.user_id}`, { role }));
              await refresh();
              say(t("members.role.done", { name: row.name, role: t(`value.${role}`) }));
            },
          ),
      })),
    ];
  }

  // Nobody takes the primary owner's role, nor gives up their own by a slip here.
  function rolesFor(row) {
    if (row.role === "primary_owner" || row.user_id === reader.self.user_id) return [];
    return (MAY_GIVE[reader.self.role] ?? []).filter((role) => role !== row.role);
  }

  async function admit(row, on) {
    keep(await put(`organizations/members/${row.user_id}`, { extra_usage: on }));
    await refresh();
    say(t(on ? "members.admitted" : "members.excluded", { name: row.name }));
  }

  refresh();
  return card(
    t("members.title"),
    { id: "members-card", note: t("members.note") },
    h(
      "div",
      { class: "search" },
      h("label", { class: "hidden", for: field }, t("members.search")),
      icon("search"),
      input,
    ),
    status,
    body,
    foot,
  );
}
