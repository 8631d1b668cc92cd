// One sample in full, in a dialog of its own. It can be linked to: the address ends in #sample=<id>.
const dialog = document.getElementById("detail");
const inside = document.getElementById("detail-inside");
let around = samples;
let open = -1;

function section(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

function rows(pairs) {
  const body = make("tbody");
  for (const [name, value] of pairs) {
    body.append(make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, block(value))));
  }
  return make("table", { class: "pairs" }, body);
}

function message(one) {
  const parts = contents(one).map((part) => {
    if (part?.type === "text") return block(part.text);
    return Object.hasOwn(data.media, part?.sha256 ?? "") ? medium(part.sha256) : block(part);
  });
  return make("div", { class: "message" }, make("p", { class: "role" }, plain(one?.role)), ...parts);
}

function choices(record) {
  const body = make("tbody");
  const answers = list(record.answers);
  const right = [record.target].flat();
  list(record.choices).forEach((choice, place) => {
    const isRight = right.includes(place) || (typeof choice === "string" && right.includes(choice));
    const logprob = answers[place]?.logprob;
    body.append(make("tr", isRight ? { class: "target" } : {},
      make("td", {}, isRight ? "✓ " : ""), make("th", { scope: "row" }, ...shown(choice)),
      make("td", { class: "n" }, typeof logprob === "number" ? String(logprob) : "–"),
      make("td", {}, answers[place]?.greedy ? "greedy" : "")));
  });
  const head = make("tr", {}, make("td"), make("th", { scope: "col" }, "Choice"),
    make("th", { scope: "col", class: "n" }, "Log-probability"), make("td"));
  return make("table", {}, make("thead", {}, head), body);
}

function answers(record) {
  if (record.choices) return [choices(record)];
  const found = list(record.answers);
  if (!found.length) return [make("p", { class: "dim" }, "There is none.")];
  return found.flatMap((answer) => {
    const logprob = typeof answer.logprob === "number" ? block(`log-probability ${answer.logprob}`) : null;
    return [
      answer.reasoning ? make("details", {}, make("summary", {}, "Reasoning"), block(answer.reasoning)) : null,
      answer.text === undefined ? logprob : block(answer.text),
      answer.finish_reason ? make("p", { class: "dim" }, `ended by: ${plain(answer.finish_reason)}`) : null,
    ];
  });
}

function facts(sample) {
  const { record } = sample;
  const usage = record.usage ?? {};
  return rows([
    ["Task", sample.task], ["Document", String(record.document)], ["Repeat", String(record.repeat)],
    ["Document id", record.document_id], ["Cluster", record.cluster],
    ["Tokens in", usage.tokens_in], ["Tokens out", usage.tokens_out],
    ["Latency", usage.latency === undefined ? undefined : `${usage.latency} s`],
    ["First token", usage.first_token === undefined ? undefined : `${usage.first_token} s`],
    ["Attempts", record.attempts ?? 1],
  ].filter(([, value]) => value !== undefined && value !== null));
}

function fill(sample) {
  const { record } = sample;
  const filters = Object.entries(record.filtered ?? {});
  const items = Object.entries(record.items ?? {});
  const error = record.error
    ? section("Error", make("div", { class: "refused" }, make("strong", {}, plain(record.error.kind)), block(record.error.message)))
    : null;
  inside.replaceChildren(
    make("header", {},
      make("h2", { id: "detail-title" }, sample.id), badge(sample.outcome),
      make("span", { class: "where" }, `${(open + 1).toLocaleString("en")} of ${around.length.toLocaleString("en")}`),
      make("span", { class: "turn" }, turner("‹", "Previous sample", -1), turner("›", "Next sample", 1), closer())),
    make("div", { class: "sides" },
      make("div", {}, section("Prompt", ...list(record.prompt).map(message),
        record.prompt ? null : make("p", { class: "dim" }, "It could not be built."))),
      make("div", {},
        error,
        section(record.choices ? "Choices" : "Answer", ...answers(record)),
        record.choices && Number.isInteger(record.target) ? null : section("Target", block(record.target ?? "–")),
        items.length ? section("Score", rows(items)) : null,
        filters.length ? section("Kept of the answer, by filter", rows(filters)) : null,
        section("Sample", facts(sample)))));
}

function turner(text, name, step) {
  const button = make("button", { type: "button", "aria-label": name }, text);
  button.disabled = !around[open + step];
  button.addEventListener("click", () => turn(step));
  return button;
}

function closer() {
  const button = make("button", { type: "button", "aria-label": "Close", id: "detail-close" }, "✕");
  button.addEventListener("click", () => dialog.close());
  return button;
}

function remember(hash) {
  try { history.replaceState(null, "", hash || location.href.split("#")[0]); } catch { /* not everywhere allowed */ }
}

function show(sample, among) {
  around = among;
  open = among.indexOf(sample);
  fill(sample);
  if (!dialog.open) dialog.showModal();
  inside.scrollTop = 0;
  document.getElementById("detail-close").focus();
  remember(`#sample=${encodeURIComponent(sample.id)}`);
}

function turn(step) {
  if (around[open + step]) show(around[open + step], around);
}

dialog.addEventListener("keydown", (event) => {
  if (event.target.closest("audio, video")) return;
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => {
  if (dialog.open) return;
  inside.replaceChildren();
  remember("");
});
