// The samples of this file, what is searched and sorted of each, and the filter. Nothing here touches the page.
const data = JSON.parse(document.getElementById("data").textContent);
const OUTCOMES = { right: "Right", wrong: "Wrong", between: "In between", unrated: "Not rated", error: "Error" };
const SYMBOLS = { right: "✓", wrong: "✗", between: "~", unrated: "·", error: "!" };

// A text, or a text that was cut: {"!cut": [beginning, characters left out, end]}.
function isCut(value) {
  return value !== null && typeof value === "object" && Array.isArray(value["!cut"]);
}

function plain(value) {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (isCut(value)) return `${value["!cut"][0]} … ${value["!cut"][2]}`;
  if (typeof value === "object") return JSON.stringify(value, (_, inner) => (isCut(inner) ? plain(inner) : inner));
  return String(value);
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

function contents(message) {
  return typeof message?.content === "string" ? [{ type: "text", text: message.content }] : list(message?.content);
}

function textOf(message) {
  return contents(message).filter((part) => part?.type === "text").map((part) => plain(part.text)).join("\n");
}

function mediaOf(record) {
  const parts = list(record.prompt).flatMap(contents);
  return [...new Set(parts.map((part) => part?.sha256).filter((digest) => Object.hasOwn(data.media, digest ?? "")))];
}

// What was asked last: of a conversation with examples, the question itself.
function questionOf(record) {
  const asked = list(record.prompt).filter((message) => message?.role !== "assistant");
  return asked.length ? textOf(asked[asked.length - 1]) : "";
}

// Where choices were scored, the likeliest of them.
function answerOf(record) {
  const answers = list(record.answers);
  if (!record.choices) return answers.map((answer) => plain(answer.text)).join("\n");
  const filtered = record.filtered?.none;
  if (typeof filtered === "string") return filtered;
  let best = -1;
  answers.slice(0, record.choices.length).forEach((answer, place) => {
    if (typeof answer.logprob === "number" && !(answers[best]?.logprob >= answer.logprob)) best = place;
  });
  return best < 0 ? "" : plain(record.choices[best]);
}

function targetOf(record) {
  const target = record.target;
  const choice = Number.isInteger(target) ? record.choices?.[target] : undefined;
  return plain(choice ?? target);
}

const samples = data.samples.map((record, order) => {
  const task = data.tasks[record.task];
  return {
    record,
    order,
    task: task.name,
    metrics: task.metrics,
    id: `${task.name}/${record.document}/${record.repeat}`,
    question: questionOf(record),
    answer: answerOf(record),
    target: targetOf(record),
    media: mediaOf(record),
    error: record.error ? plain(record.error.kind) : "",
    latency: record.usage?.latency ?? null,
    outcome: "",
    score: null,
    haystack: "",
  };
});

// `key` is a metric's name in the records, or "" for the first of each task.
function judge(key) {
  for (const sample of samples) {
    const metric = key ? sample.metrics.find((one) => one.key === key) : sample.metrics[0];
    let item = sample.record.items?.[metric?.key];
    if (typeof item === "boolean") item = Number(item);
    sample.score = typeof item === "number" ? item : null;
    if (sample.record.error) sample.outcome = "error";
    else if (sample.score === null) sample.outcome = "unrated";
    else if (metric.higher) sample.outcome = sample.score === 1 ? "right" : sample.score === 0 ? "wrong" : "between";
    else sample.outcome = sample.score === 0 ? "right" : "between";
  }
}

function haystack(sample) {
  if (!sample.haystack) {
    const { record } = sample;
    const texts = [
      sample.id, record.document_id, record.cluster, ...list(record.prompt).map(textOf), sample.target, sample.answer,
      ...list(record.answers).flatMap((answer) => [plain(answer.text), plain(answer.reasoning)]),
      ...list(record.choices).map(plain), ...Object.values(record.filtered ?? {}).map(plain),
      sample.error, plain(record.error?.message),
    ];
    sample.haystack = texts.filter(Boolean).map(plain).join("\n").toLowerCase();
  }
  return sample.haystack;
}

// The samples that meet every condition; each word and each "phrase" of the search must occur, in any order.
function filtered({ search, task, outcome, error }) {
  const words = [...search.toLowerCase().matchAll(/"([^"]+)"?|[^\s"]+/g)].map((match) => match[1] ?? match[0]);
  return samples.filter((sample) =>
    (!task || sample.task === task) &&
    (!outcome || sample.outcome === outcome) &&
    (!error || sample.error === error) &&
    words.every((word) => haystack(sample).includes(word)));
}

const collator = new Intl.Collator(undefined, { numeric: true });
const ORDERS = {
  id: (a, b) => a.order - b.order,
  outcome: (a, b) => Object.keys(OUTCOMES).indexOf(a.outcome) - Object.keys(OUTCOMES).indexOf(b.outcome),
  score: (a, b) => a.score - b.score,
  question: (a, b) => collator.compare(a.question, b.question),
  answer: (a, b) => collator.compare(a.answer, b.answer),
  target: (a, b) => collator.compare(a.target, b.target),
  latency: (a, b) => a.latency - b.latency,
};

// Samples without a number come last in both directions; equal ones keep the planned order.
function sorted(found, column, direction) {
  const missing = (sample) => (column === "score" || column === "latency" ? sample[column] === null : false);
  return [...found].sort((a, b) =>
    missing(a) - missing(b) || direction * ORDERS[column](a, b) || a.order - b.order);
}
