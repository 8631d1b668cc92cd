// Elements made of data. Every text becomes a text node, so none of it can become markup.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function shown(value) {
  if (typeof value === "string") return [value];
  if (!isCut(value)) return [value === undefined ? "" : JSON.stringify(value, null, 1)];
  const [head, left, tail] = value["!cut"];
  const said = ` ${left.toLocaleString("en")} characters are left out here; samples.jsonl.zst has them `;
  return [head, make("span", { class: "cut" }, said), tail];
}

function block(value) {
  return make("div", { class: "text", dir: "auto", tabindex: "-1" }, ...shown(value));
}

function clip(text, most = 180) {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length > most ? `${flat.slice(0, most)}…` : flat;
}

function time(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${(value * 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
}

function badge(outcome) {
  return make("span", { class: `badge ${outcome}` }, `${SYMBOLS[outcome]} ${OUTCOMES[outcome]}`);
}

function scoreText(sample) {
  return sample.score === null ? "–" : String(Math.round(sample.score * 1e4) / 1e4);
}
