// The members of the organization: listed page by page and kept while the page is open. A large
// organization is never read as a whole: who is looked for is searched by the API.

import { get } from "./api.js";
import { language } from "./words.js";

const PAGE = 1000;
const SEARCH_PAGE = 100;
const NAMES_TOGETHER = 100;

const nothing = () => ({
  // Those that were listed, in the order of the API.
  members: new Map(),
  next: null,
  complete: false,
  reading: null,
  // Names of others; null where no current member has the id.
  names: new Map(),
  // The search that goes on in the API.
  search: { needle: null },
});
let known = nothing();

export const forget = () => {
  known = nothing();
};

export function keep(member) {
  const renew = (old) => ({ ...old, ...member });
  if (known.members.has(member.user_id)) known.members.set(member.user_id, renew(known.members.get(member.user_id)));
  known.search.rows = known.search.rows?.map((each) => (each.user_id === member.user_id ? renew(each) : each));
}

// What to call somebody: their name as soon as it is known.
export const nameOf = (userId) => known.members.get(userId)?.name ?? known.names.get(userId) ?? userId;

// Find out what these are called, as far as it is not known.
export async function learnNames(userIds) {
  const { members, names } = known;
  const unknown = [...new Set(userIds)].filter((each) => !members.has(each) && !names.has(each));
  for (let first = 0; first < unknown.length; first += NAMES_TOGETHER) {
    const asked = unknown.slice(first, first + NAMES_TOGETHER);
    const found = await get("organizations/members", { "user_ids[]": asked, limit: NAMES_TOGETHER });
    for (const each of asked) names.set(each, null);
    for (const each of found.data) names.set(each.user_id, each.name);
  }
}

// Those who match, read as far as needed to fill `wanted`, and whether these are all; `progress` hears
// how many were found with each page.
export async function search(text, wanted, progress = () => {}) {
  const needle = fold(text);
  const list = known;
  if (!list.members.size) await readMore(list);
  if (needle && !list.complete) return searchThere(needle, wanted, progress);
  while (!list.complete && list.members.size < wanted) {
    progress(list.members.size);
    await readMore(list);
  }
  const all = [...list.members.values()];
  const matching = all.filter((each) => !needle || fold(`${each.name} ${each.email}`).includes(needle));
  return { rows: list.complete ? byName(matching) : matching, complete: list.complete };
}

async function searchThere(needle, wanted, progress) {
  if (known.search.needle !== needle)
    known.search = { needle, rows: [], next: null, complete: false, reading: null };
  const found = known.search;
  // Another search may begin meanwhile; then nobody waits for this one any more.
  while (!found.complete && found.rows.length < wanted && known.search === found) {
    progress(found.rows.length);
    await once(found, async () => {
      const more = await get("organizations/members", { search: needle, limit: SEARCH_PAGE, page: found.next });
      found.rows = [...found.rows, ...more.data];
      found.next = more.next_page;
      found.complete = !more.has_more;
    });
  }
  return { rows: found.complete ? byName(found.rows) : found.rows, complete: found.complete };
}

const readMore = (list) =>
  once(list, async () => {
    const found = await get("organizations/members", { limit: PAGE, page: list.next });
    for (const member of found.data) list.members.set(member.user_id, member);
    list.next = found.next_page;
    list.complete = !found.has_more;
  });

// Several who ask at once wait for the same page.
const once = (place, read) => (place.reading ??= read().finally(() => (place.reading = null)));

// While there are more to come, an order by name would move what is already shown.
function byName(rows) {
  const order = new Intl.Collator(language());
  return [...rows].sort((one, other) => order.compare(one.name, other.name));
}

// "Zoë" is found by "zoe".
const fold = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "")
    .toLowerCase()
    .trim();
