// Which mail is sent, by topic: what it tells, to whom, and a switch. Owners only.

import { get, put } from "../api.js";
import { h } from "../dom.js";
import { card, region, say, toggle } from "../parts.js";
import { known, languageName, t } from "../words.js";

const TO = {
  own_limits: "each",
  increase_requests: "reviewers",
  decisions: "asker",
};
// What happens on the other plan only.
const BESIDE = {
  team: ["increase_requests", "decisions"],
  enterprise: ["wallet", "reloads", "credits"],
};

export function mail(reader) {
  const topics = region(
    () => get("organizations/notifications"),
    (found, refresh) => draw(found, reader, refresh),
  );
  topics.refresh();
  return card(t("mail.title"), { id: "mail-card", note: t("mail.note") }, topics.element);
}

const draw = (found, reader, refresh) => [
  h("p", { class: "soft" }, t("mail.language", { language: languageName(found.language) })),
  h(
    "ul",
    { class: "lines" },
    Object.entries(found.mail)
      .filter(([topic]) => !BESIDE[reader.plan].includes(topic))
      .map(([topic, wanted]) => line(topic, wanted, refresh)),
  ),
];

function line(topic, wanted, refresh) {
  const described = `mail-what-${topic}`;
  const name = known("mail.topic", topic);
  return h(
    "li",
    {},
    h(
      "div",
      { class: "line-name" },
      h("strong", {}, name),
      h(
        "p",
        { class: "soft small", id: described },
        known("mail.what", topic),
        " ",
        t(`mail.to.${TO[topic] ?? "owners"}`),
      ),
    ),
    toggle({
      label: name,
      checked: wanted,
      id: `mail-${topic}`,
      described,
      async change(on) {
        await put("organizations/notifications", { mail: { [topic]: on } });
        await refresh();
        say(t(on ? "mail.on" : "mail.off", { topic: name }));
      },
    }),
  );
}
