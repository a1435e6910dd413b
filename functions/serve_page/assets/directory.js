// The members of the organization: read page by page, kept while the page is open.

import { get } from "./api.js";
import { language } from "./words.js";

const PAGE = 1000;

let members = new Map();
let next = null;
let complete = false;
let reading = null;

export const forget = () => {
  [members, next, complete, reading] = [new Map(), null, false, null];
};

export const isComplete = () => complete;
const all = () => [...members.values()];
export const find = (userId) => members.get(userId);
export const keep = (member) => members.set(member.user_id, { ...members.get(member.user_id), ...member });

// What to call somebody: their name as soon as it is known.
export const nameOf = (userId) => members.get(userId)?.name ?? userId;

// Read the next page; several who ask at once wait for the same one.
async function readMore() {
  if (complete) return;
  reading ??= get("organizations/members", { limit: PAGE, page: next }).finally(() => (reading = null));
  const found = await reading;
  for (const member of found.data) members.set(member.user_id, member);
  next = found.next_page;
  complete = !found.has_more;
}

export async function ensure() {
  if (!members.size && !complete) await readMore();
}

// Those who match, read as far as needed to fill `wanted`; `progress` hears of each page.
export async function search(text, wanted, progress = () => {}) {
  const needle = fold(text);
  const matching = () => all().filter((each) => !needle || fold(`${each.name} ${each.email}`).includes(needle));
  const byName = new Intl.Collator(language());
  await ensure();
  while (!complete && matching().length < wanted) {
    progress(members.size);
    await readMore();
  }
  // While there are more to come, an order by name would move what is already shown.
  return complete ? matching().sort((one, other) => byName.compare(one.name, other.name)) : matching();
}

// "Zoë" is found by "zoe".
const fold = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "")
    .toLowerCase()
    .trim();
