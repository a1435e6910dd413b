// Elements, made in one call. Text is always text: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

export const h = (tag, attributes, ...children) => furnish(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) => furnish(document.createElementNS(SVG, tag), attributes, children);

// What an attribute is by its value: a function listens, `false` and `null` are left out.
function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

const PATHS = {
  pencil: "M4 20h4L19 9l-4-4L4 16v4zM13.5 6.500l4 4",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  search: "M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14zM20 20l-4-4",
  check: "M5 12.500l4.5 4.500L19 7.5",
  download: "M12 4v11m0 0l-4.5-4.500M12 15l4.5-4.500M5 20h14",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  close: "M6 6l12 12M18 6L6 18",
  alert:
    "M12 8v5M12 16.500h.01M10.3 4.200L2.8 17.500A2 2 0 0 0 4.5 20.500h15a2 2 0 0 0 1.7-3L13.7 4.200a2 2 0 0 0-3.4 0z",
  info: "M12 11v5M12 8h.01M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18z",
};

export const icon = (name) =>
  svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", {
      d: PATHS[name],
      fill: "none",
      stroke: "currentColor",
      "stroke-width": name === "more" ? 3 : 1.8,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );

let count = 0;
export const freshId = (stem) => `${stem}-${++count}`;
