// Money is a string of cents, such as "12050.5", as the API has it. It is never a float: shifted
// and compared as whole numbers of billionths of a cent, and formatted from its decimal digits.

import { language, t } from "./words.js";

const DECIMALS = 9;
const SCALE = 10n ** BigInt(DECIMALS);
const DIGITS_MAX = 15;
let currency = "USD";

export const setCurrency = (code) => (currency = code);

export function toUnits(cents) {
  const [whole, rest = ""] = cents.replace("-", "").split(".");
  const units = BigInt(whole) * SCALE + BigInt(rest.padEnd(DECIMALS, "0").slice(0, DECIMALS));
  return cents.startsWith("-") ? -units : units;
}

export function fromUnits(units) {
  const size = units < 0n ? -units : units;
  const rest = (size % SCALE).toString().padStart(DECIMALS, "0").replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${size / SCALE}${rest ? `.${rest}` : ""}`;
}

export const add = (...amounts) => fromUnits(amounts.reduce((sum, each) => sum + toUnits(each), 0n));
export const subtract = (one, other) => fromUnits(toUnits(one) - toUnits(other));
export const isBelow = (one, other) => toUnits(one) < toUnits(other);
export const isZero = (amount) => toUnits(amount) === 0n;

// The share of `part` in `whole` for the eye only, from 0 to 1.
export function share(part, whole) {
  const [part_, whole_] = [toUnits(part), toUnits(whole)];
  if (whole_ <= 0n) return part_ > 0n ? 1 : 0;
  const ratio = Number((part_ * 10000n) / whole_) / 10000;
  return Math.min(Math.max(ratio, 0), 1);
}

// "$120.51"; below a cent as exactly as is useful: "$0.0035".
export function money(cents, { exact = false } = {}) {
  const tiny = toUnits(cents) !== 0n && !/[1-9]/.test(cents.split(".")[0]);
  const digits = exact ? 11 : tiny ? 4 : 2;
  return new Intl.NumberFormat(language(), {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  }).format(inMajor(cents));
}

// Where amounts stand above their sum: rounded ones would not come to it.
export const exactly = (cents) => money(cents, { exact: true });

// A price as price lists have it: of a million tokens, or of a thousand searches.
export function price(cents, per, kind) {
  const many = kind === "web_search" ? 1000n : 1_000_000n;
  return t(kind === "web_search" ? "price.searches" : "price.tokens", {
    price: money(fromUnits((toUnits(cents) * many) / BigInt(per))),
  });
}

// A cap: an amount, or "Unlimited".
export const limit = (cents) => (cents === null ? t("unlimited") : money(cents));

// What a field shows to be edited: "1000" or "1000,50".
export function plain(cents) {
  const major = inMajor(cents).replace(/\.00$/, "");
  return language() === "fr" ? major.replace(".", ",") : major;
}

export const currencySign = () =>
  new Intl.NumberFormat(language(), { style: "currency", currency, currencyDisplay: "narrowSymbol" })
    .formatToParts(0)
    .find((part) => part.type === "currency").value;

// Read what somebody typed as whole cents: {cents} or {problem}.
export function parse(text, { least = "0", most = null } = {}) {
  const typed = text.replace(/[\s\u00a0\u202f$€]/g, "");
  if (!typed) return { problem: t("amount.missing") };
  const grouped = language() === "fr" ? /^\d{1,3}(\.\d{3})+$/ : /^\d{1,3}(,\d{3})+(\.\d{1,2})?$/;
  // A point in French could be meant either way, so it is asked about rather than guessed.
  if (language() === "fr" && grouped.test(typed)) return { problem: t("amount.ambiguous") };
  const digits = grouped.test(typed) ? typed.replaceAll(",", "") : typed.replace(",", ".");
  const found = /^(\d+)(?:\.(\d{1,2}))?$/.exec(digits);
  if (!found) return { problem: t("amount.unreadable") };
  const cents = (found[1] + (found[2] ?? "").padEnd(2, "0")).replace(/^0+(?=\d)/, "");
  if (cents.length > DIGITS_MAX) return { problem: t("amount.too_large") };
  if (isBelow(cents, least)) return { problem: t("amount.too_small", { least: money(least) }) };
  if (most !== null && isBelow(most, cents)) return { problem: t("amount.too_much", { most: money(most) }) };
  return { cents };
}

// Cents to the currency's unit, in digits.
function inMajor(cents) {
  const sign = cents.startsWith("-") ? "-" : "";
  const [whole, rest = ""] = cents.replace("-", "").split(".");
  const padded = whole.padStart(3, "0");
  return `${sign}${padded.slice(0, -2)}.${padded.slice(-2)}${rest}`;
}
