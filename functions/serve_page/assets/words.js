// What the page says, in the language of whoever reads it.

export const LANGUAGES = { en: "English", fr: "Français" };
const CHOSEN = "headroom.language";

let words = {};
let current = "en";
let plurals = new Intl.PluralRules(current);

export const language = () => current;

// The language that was chosen here before, else the first of the browser's that we speak.
export function preferred() {
  const wished = [localStorage.getItem(CHOSEN), ...navigator.languages.map((each) => each.slice(0, 2))];
  return wished.find((each) => each in LANGUAGES) ?? "en";
}

export async function speak(wanted, { remember = false } = {}) {
  const answer = await fetch(new URL(`./i18n/${wanted}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`${wanted}.json answered ${answer.status}`);
  words = await answer.json();
  current = wanted;
  plurals = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
  if (remember) localStorage.setItem(CHOSEN, wanted);
}

// The words under a key, with `{names}` filled in; `count` chooses between "key.one" and "key.other".
export function t(key, values = {}) {
  const form = values.count === undefined ? key : `${key}.${plurals.select(values.count)}`;
  const text = words[form] ?? words[`${key}.other`] ?? words[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// The same where the API may say something that this page does not know yet: its own word is shown.
export const known = (stem, word, values = {}) =>
  `${stem}.${word}` in words ? t(`${stem}.${word}`, values) : String(word).replaceAll("_", " ");

// A language by its name in the one that is spoken here.
export const languageName = (code) => new Intl.DisplayNames(current, { type: "language" }).of(code);

export const number = (value) => new Intl.NumberFormat(current).format(value);
