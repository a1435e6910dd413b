// Moments as people read them, in the language of the page and the time zone of the browser.

import { language } from "./words.js";

const format = (options) => new Intl.DateTimeFormat(language(), options);

export const moment = (text) => format({ dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
export const day = (text) => format({ dateStyle: "medium" }).format(new Date(text));
// A calendar day has no time zone.
export const calendarDay = (text, options = { day: "numeric", month: "short" }) =>
  format({ ...options, timeZone: "UTC" }).format(new Date(`${text}T00:00:00Z`));

export function month(period) {
  const [year, number] = period.split("-").map(Number);
  const name = format({ month: "long", year: "numeric", timeZone: "UTC" }).format(Date.UTC(year, number - 1));
  return name[0].toUpperCase() + name.slice(1);
}

// Today's hours alone, another day's with the day.
export function soon(text) {
  const then = new Date(text);
  const isToday = then.toDateString() === new Date().toDateString();
  return format(
    isToday
      ? { timeStyle: "short" }
      : { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" },
  ).format(then);
}

// "PT5H" is "5 hours", "P7D" is "7 days".
export function duration(text) {
  const [, days, hours, minutes] = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/.exec(text) ?? [];
  const parts = [
    [days, "day"],
    [hours, "hour"],
    [minutes, "minute"],
  ].filter(([amount]) => amount);
  return parts
    .map(([amount, unit]) =>
      new Intl.NumberFormat(language(), { style: "unit", unit, unitDisplay: "long" }).format(Number(amount)),
    )
    .join(" ");
}

// Every calendar day of a billing period up to today, or to the last one that is `known` to have
// been: the organization may be ahead of the browser. As "2026-11-03".
export function daysOf(period, known = []) {
  const [year, number] = period.split("-").map(Number);
  const today = new Date().toISOString().slice(0, 10);
  const until = [today, ...known].reduce((last, each) => (each > last ? each : last));
  const days = [];
  for (let each = Date.UTC(year, number - 1); each < Date.UTC(year, number); each += 86_400_000) {
    const day = new Date(each).toISOString().slice(0, 10);
    if (day <= until) days.push(day);
  }
  return days;
}
