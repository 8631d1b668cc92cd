// The table of samples: a page of rows at a time, so that twenty thousand are as quick as twenty.
const PAGE = 50;
const COLUMNS = { id: "Sample", outcome: "Outcome", score: "Score", question: "Prompt", answer: "Answer", target: "Target", latency: "Latency" };
const controls = Object.fromEntries(["search", "task", "outcome", "error", "metric", "page", "back", "next"]
  .map((id) => [id, document.getElementById(id)]));
const table = document.getElementById("table");
const withMedia = samples.some((sample) => sample.media.length);
let found = samples;
let order = { column: "id", direction: 1 };
let first = 0;

function count(values) {
  const counts = new Map();
  for (const value of values) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function options(select, all, entries) {
  const kept = select.value;
  const many = (number) => number.toLocaleString("en");
  select.replaceChildren(make("option", { value: "" }, all),
    ...entries.map(([value, name, number]) =>
      make("option", { value }, number === undefined ? name : `${name} (${many(number)})`)));
  select.value = [...select.options].some((option) => option.value === kept) ? kept : "";
}

function fillOutcomes() {
  const counts = count(samples.map((sample) => sample.outcome));
  options(controls.outcome, "All", Object.entries(OUTCOMES)
    .filter(([name]) => counts.has(name)).map(([name, text]) => [name, text, counts.get(name)]));
}

function fillOthers() {
  const tasks = count(samples.map((sample) => sample.task));
  const errors = count(samples.map((sample) => sample.error));
  const metrics = [...new Set(data.tasks.flatMap((task) => task.metrics.map((metric) => metric.key)))];
  options(controls.task, "All", [...tasks].map(([name, number]) => [name, name, number]));
  options(controls.error, "All", [...errors].map(([name, number]) => [name, name, number]));
  const only = data.tasks.length === 1;
  options(controls.metric, "each task's first metric", metrics.map((key) => [key, key]));
  if (only) {
    controls.metric.options[0].remove();
    controls.metric.value = metrics[0] ?? "";
  }
  document.getElementById("by-task").hidden = tasks.size < 2;
  document.getElementById("by-error").hidden = errors.size === 0;
  document.getElementById("by-metric").hidden = metrics.length < 2;
}

function heads() {
  const cells = Object.entries(COLUMNS).map(([column, name]) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      order = { column, direction: order.column === column ? -order.direction : 1 };
      apply();
    });
    const numeric = column === "score" || column === "latency" ? { class: "n" } : {};
    return make("th", { scope: "col", "data-column": column, ...numeric }, button);
  });
  if (withMedia) cells.splice(3, 0, make("th", { scope: "col" }, "Media"));
  table.tHead.rows[0].replaceChildren(...cells);
}

function lines(content) {
  return make("td", {}, make("div", { class: "lines", dir: "auto" }, content));
}

function line(sample) {
  const opener = make("button", { type: "button", class: "opener" }, sample.id);
  const answer = sample.error ? make("span", { class: "failed" }, `${sample.error}: ${clip(plain(sample.record.error.message))}`) : clip(sample.answer);
  const cells = [
    make("th", { scope: "row" }, opener), make("td", {}, badge(sample.outcome)),
    make("td", { class: "n" }, scoreText(sample)), lines(clip(sample.question)), lines(answer), lines(clip(sample.target)),
    make("td", { class: "n" }, time(sample.latency)),
  ];
  if (withMedia) {
    const few = sample.media.slice(0, 3).map((digest) => medium(digest, { small: true }));
    const more = sample.media.length > 3 ? `+${sample.media.length - 3}` : null;
    cells.splice(3, 0, make("td", { class: "media" }, ...few, more));
  }
  const row = make("tr", {}, ...cells);
  row.addEventListener("click", () => {
    if (!String(getSelection())) show(sample, found);
  });
  return row;
}

function draw() {
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  first = Math.min(Math.max(0, first), pages - 1);
  table.tBodies[0].replaceChildren(...found.slice(first * PAGE, (first + 1) * PAGE).map(line));
  controls.page.value = first + 1;
  controls.page.max = pages;
  controls.back.disabled = first === 0;
  controls.next.disabled = first === pages - 1;
  document.getElementById("last").textContent = `of ${pages.toLocaleString("en")}`;
  const number = (value) => value.toLocaleString("en");
  document.getElementById("count").textContent = found.length === samples.length
    ? `${number(samples.length)} samples`
    : `${number(found.length)} of ${number(samples.length)} samples match`;
  for (const head of table.tHead.rows[0].cells) {
    if (head.dataset.column === order.column) head.setAttribute("aria-sort", order.direction > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
}

function apply() {
  const { search, task, outcome, error } = controls;
  found = filtered({ search: search.value, task: task.value, outcome: outcome.value, error: error.value });
  found = sorted(found, order.column, order.direction);
  first = 0;
  draw();
}

function rejudge() {
  judge(controls.metric.value);
  fillOutcomes();
  apply();
}

function turnTo(page) {
  first = page;
  draw();
}

function linked() {
  if (!location.hash.startsWith("#sample=")) return;
  let id = "";
  try { id = decodeURIComponent(location.hash.slice("#sample=".length)); } catch { return; }
  const sample = samples.find((one) => one.id === id);
  if (sample) show(sample, found);
}

document.getElementById("browser").hidden = false;
fillOthers();
heads();
rejudge();
controls.search.addEventListener("input", apply);
for (const name of ["task", "outcome", "error"]) controls[name].addEventListener("change", apply);
controls.metric.addEventListener("change", rejudge);
controls.back.addEventListener("click", () => turnTo(first - 1));
controls.next.addEventListener("click", () => turnTo(first + 1));
controls.page.addEventListener("change", () => turnTo((Number.parseInt(controls.page.value, 10) || 1) - 1));
const form = document.querySelector("form.filters");
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => requestAnimationFrame(() => {
  if (data.tasks.length === 1) controls.metric.selectedIndex = 0;
  rejudge();
}));
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || dialog.open || event.target.closest("input, select, textarea")) return;
  event.preventDefault();
  controls.search.focus();
});
addEventListener("hashchange", linked);
linked();
