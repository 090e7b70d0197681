"use strict";
// A page over one trace. Everything that comes from a document goes in as text, never as markup.
(() => {
const { records, memory } = JSON.parse(document.getElementById("data").textContent);
const [TIME, STEP, HELD, CACHED, FREE, REQUESTS] = [0, 1, 2, 3, 4, 5];
const byId = (id) => document.getElementById(id);

// ---- small tools -----------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (key === "tint") element.style.setProperty("--tint", value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size < 1e-9) return "0";
  if (size < 1e-3) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 1) return `${(value * 1e3).toFixed(size < 0.01 ? 2 : size < 0.1 ? 1 : 0)} ms`;
  return `${value.toFixed(size < 10 ? 2 : 1)} s`;
}

const percent = (part, whole) => (whole ? `${Math.round((100 * part) / whole)}%` : "–");
const sum = (values) => values.reduce((total, value) => total + value, 0);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Index of the last item of a sorted list whose key is at most `wanted`; -1 if none is. */
function lastUpTo(items, wanted, key) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(items[middle]) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// ---- what there is ---------------------------------------------------------------------------------------------

const KINDS = {
  inference: "inference", tool: "tool", generate: "generation", assign: "assign", assert: "assert", flow: "control",
};
const KIND_OF = {
  llm_call: "inference", dsl_call: "inference", tool_call: "tool", generate_subgraph: "generate",
  llm_generate_dsl: "generate", assign: "assign", assert: "assert",
};
const kindOf = (record) => (record.native_inference ? "inference" : KIND_OF[record.type] || "flow");
const tintOf = (record) => `var(--${kindOf(record)})`;
const shortPath = (path) => path.split("/").pop() || path;
const branchName = (branch) => (branch.length ? `branch ${branch.join(".")}` : "main");

const byPath = new Map();
for (const record of records) {
  if (!byPath.has(record.node_path)) byPath.set(record.node_path, []);
  byPath.get(record.node_path).push(record);
}
const runEnd = Math.max(1e-6, ...records.map((record) => record.ended), memory.length ? memory.at(-1)[TIME] : 0);
const runStart = Math.min(0, ...records.map((record) => record.started));

function summarise() {
  const failed = records.filter((record) => record.status === "failed");
  const natives = records.map((record) => record.native_inference).filter(Boolean);
  const [prompts, reused, written] = ["prompt_tokens", "reused_tokens", "completion_tokens"].map((key) =>
    sum(natives.map((native) => native[key])));
  const facts = [["nodes", records.length], ["time", seconds(runEnd - runStart)]];
  if (natives.length) {
    facts.push(["inferences", natives.length], ["tokens written", written],
      ["prompt tokens reused", `${percent(reused, prompts)} of ${prompts}`]);
  }
  if (memory.length) {
    facts.push(["batches", memory.length],
      ["requests a batch", (sum(memory.map((sample) => sample[REQUESTS])) / memory.length).toFixed(1)],
      ["most blocks held", Math.max(...memory.map((sample) => sample[HELD]))]);
  }
  byId("summary").replaceChildren(...facts.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))));
  const outcome = byId("outcome");
  outcome.textContent = failed.length ? `${failed.length} failed` : records.length ? "no failures" : "nothing has run";
  outcome.style.setProperty("--tint", failed.length ? "var(--failed)" : "var(--success)");
}

// ---- what is chosen and what the mouse is on ---------------------------------------------------------------------

let chosen = null; // a record's number
let marks = []; // what is drawn for records: {number, path, element}

function choose(record, path = record.node_path) {
  chosen = record ? record.number : null;
  history.replaceState(null, "", record ? `#record=${record.number}` : `#node=${encodeURIComponent(path)}`);
  showDetails(record, path);
  light("chosen", path, chosen);
  document.querySelector(".record.chosen")?.scrollIntoView({ block: "nearest" });
}

/** Puts a class on all that stands for a node: its box in the graph, and its record in the list and in the timeline. */
function light(name, path, number) {
  for (const box of document.querySelectorAll("#graph [data-node]")) {
    box.classList.toggle(name, box.dataset.node === path);
  }
  for (const mark of marks) {
    mark.element.classList.toggle(name, number === null ? mark.path === path : mark.number === number);
  }
}

function chooseFromAddress() {
  const [, key, value] = /^#(node|record)=(.*)$/.exec(location.hash) || [];
  if (!key) return false;
  if (key === "record") {
    const record = records.find((candidate) => candidate.number === Number(value));
    if (record) choose(record);
    return Boolean(record);
  }
  let path = value;
  try { path = decodeURIComponent(value); } catch { /* it is as it is */ }
  choosePath(path);
  return true;
}

function choosePath(path) {
  choose((byPath.get(path) || [])[0] || null, path);
}

const tip = byId("tip");
function showTip(event, title, text) {
  tip.replaceChildren(make("b", {}, title), `\n${text}`);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${clamp(event.clientX + 14, 4, innerWidth - box.width - 4)}px`;
  tip.style.top = `${event.clientY + 16 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 16}px`;
}
const hideTip = () => { tip.hidden = true; };

function describe(record) {
  const native = record.native_inference;
  const lines = [`${record.type} · ${record.status} · ${seconds(record.ended - record.started)} · ${branchName(record.branch)}`];
  if (native) {
    lines.push(`${native.prompt_tokens} prompt tokens, ${native.reused_tokens} reused · ${native.completion_tokens} written`,
      `batches ${native.steps[0]}–${native.steps[1]}, with ${native.batch_size.toFixed(1)} requests on average`);
  }
  if (record.error) lines.push(record.error);
  return lines.join("\n");
}

// ---- the graph -------------------------------------------------------------------------------------------------

function setUpGraph() {
  const [frame, paper] = [byId("graph"), byId("graph-paper")];
  const svg = paper.querySelector("svg");
  if (!svg) {
    paper.replaceChildren(make("p", { class: "nothing muted" }, "There is no drawing of this document."));
    return;
  }
  let [x, y, scale, held] = [0, 0, 1, null];
  const place = () => { paper.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
  const zoom = (factor, atX = frame.clientWidth / 2, atY = frame.clientHeight / 2) => {
    const next = clamp(scale * factor, 0.05, 6);
    [x, y] = [atX - ((atX - x) * next) / scale, atY - ((atY - y) * next) / scale];
    scale = next;
    place();
  };
  const fit = () => {
    const box = svg.getBoundingClientRect();
    const [width, height] = [box.width / scale, box.height / scale];
    scale = clamp(Math.min((frame.clientWidth - 24) / width, (frame.clientHeight - 24) / height), 0.05, 1.5);
    [x, y] = [(frame.clientWidth - width * scale) / 2, Math.max(12, (frame.clientHeight - height * scale) / 2)];
    place();
  };
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => { held = { x: event.clientX - x, y: event.clientY - y, moved: false }; });
  addEventListener("pointermove", (event) => {
    if (!held) return;
    const [nextX, nextY] = [event.clientX - held.x, event.clientY - held.y];
    held.moved ||= Math.hypot(nextX - x, nextY - y) > 4;
    if (!held.moved) return;
    [x, y] = [nextX, nextY];
    frame.classList.add("dragged");
    place();
  });
  let wasDragged = false;
  addEventListener("pointerup", () => {
    wasDragged = Boolean(held && held.moved);
    held = null;
    frame.classList.remove("dragged");
  });
  const boxOf = (event) => event.target.closest("[data-node]");
  svg.addEventListener("click", (event) => {
    const box = boxOf(event);
    if (box && !wasDragged) choosePath(box.dataset.node);
  });
  svg.addEventListener("pointermove", (event) => {
    const box = boxOf(event);
    light("hot", box ? box.dataset.node : null, null);
    if (!box || held) return hideTip();
    const own = byPath.get(box.dataset.node) || [];
    showTip(event, box.dataset.node, own.length > 1 ? `ran ${own.length} times\n${describe(own[0])}`
      : own.length ? describe(own[0]) : "has not run");
  });
  svg.addEventListener("pointerleave", () => { light("hot", null, null); hideTip(); });
  for (const box of svg.querySelectorAll("[data-node]")) {
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "button");
    box.setAttribute("aria-label", box.dataset.node);
    box.addEventListener("keydown", (event) => { if (event.key === "Enter") choosePath(box.dataset.node); });
  }
  byId("graph-in").addEventListener("click", () => zoom(1.3));
  byId("graph-out").addEventListener("click", () => zoom(1 / 1.3));
  byId("graph-fit").addEventListener("click", fit);
  addEventListener("resize", fit);
  fit();
}

// ---- the list of records ---------------------------------------------------------------------------------------

let listed = [];

function textOf(record) {
  record.searched ??= JSON.stringify([record.node_path, record.type, record.status, branchName(record.branch),
    record.error_code, record.error, record.context_delta]).toLowerCase();
  return record.searched;
}

function pathParts(path) {
  const cut = path.lastIndexOf("/") + 1;
  return [make("i", {}, path.slice(0, cut)), path.slice(cut)];
}

function listRecords() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  listed = records.filter((record) => words.every((word) => textOf(record).includes(word)));
  byId("found").textContent = words.length ? `${listed.length} of ${records.length}` : `${records.length}`;
  marks = marks.filter((mark) => !mark.element.classList.contains("record"));
  byId("records").replaceChildren(...listed.map((record) => {
    const path = make("span", { class: "path", title: record.node_path }, ...pathParts(record.node_path));
    path.style.paddingLeft = `${Math.min(record.depth, 12) * 10}px`;
    const tint = record.status === "success" ? tintOf(record) : `var(--${record.status})`;
    const row = make("div", { class: "record", role: "option", "data-number": record.number, onclick: () => choose(record) },
      make("span", { class: "number" }, String(record.number)), path,
      make("span", { class: "branch" }, record.branch.length ? branchName(record.branch) : ""),
      make("span", { class: "chip", tint }, record.status === "success" ? record.type : `${record.type} ${record.status}`),
      make("span", { class: "time" }, seconds(record.ended - record.started)));
    row.addEventListener("pointerenter", () => light("hot", record.node_path, record.number));
    row.addEventListener("pointerleave", () => light("hot", null, null));
    marks.push({ number: record.number, path: record.node_path, element: row });
    return row;
  }));
  if (chosen !== null) light("chosen", records.find((record) => record.number === chosen).node_path, chosen);
}

function setUpKeys() {
  const search = byId("search");
  search.addEventListener("input", listRecords);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search) {
      if (event.key === "Escape" || event.key === "Enter") search.blur();
      return;
    }
    const way = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (event.key === "/") search.focus();
    else if (way && listed.length && event.target !== byId("details")) {
      const at = listed.findIndex((record) => record.number === chosen);
      choose(listed[clamp(at < 0 ? 0 : at + way, 0, listed.length - 1)]);
    } else return;
    event.preventDefault();
  });
}

// ---- details of a record ---------------------------------------------------------------------------------------

function jsonView(value, name, depth = 0) {
  const label = name === undefined ? [] : [make("span", { class: "name" }, name), ": "];
  if (value === null || typeof value !== "object") {
    const type = value === null ? "null" : typeof value;
    return make("div", { class: "leaf" }, ...label, make("span", { class: type }, typeof value === "string" ? value : String(value)));
  }
  const entries = Object.entries(value);
  const count = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  const inside = make("details", {}, make("summary", {}, ...label, make("span", { class: "count" }, count)));
  const fill = () => {
    if (inside.childElementCount > 1) return;
    inside.append(...entries.map(([key, item]) => jsonView(item, key, depth + 1)));
  };
  inside.addEventListener("toggle", fill); // only what is opened is made
  if (depth < 2 && entries.length <= 40) { inside.open = true; fill(); }
  return inside;
}

const json = (value) => make("div", { class: "json" }, jsonView(value));
const isEmpty = (value) => value === null || value === undefined
  || (typeof value === "object" && Object.keys(value).length === 0);

function factList(facts) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, ...shown.flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", {}, value instanceof Node ? value : String(value))]));
}

function inferenceDetails(native) {
  const waited = native.first_token === null ? null : native.first_token - native.submitted;
  const later = native.completion_tokens - 1;
  const each = native.first_token === null || later < 1 ? null : (native.finished - native.first_token) / later;
  const parts = [["reused", native.reused_tokens, "var(--tool)"], ["prefilled", native.prefilled_tokens, "var(--assign)"],
    ["written", native.completion_tokens, "var(--inference)"]];
  const bar = make("div", { class: "stack", role: "img", "aria-label": "Tokens" });
  for (const [name, count, tint] of parts) {
    if (!count) continue;
    const part = make("span", { title: `${count} ${name}` });
    part.style.cssText = `flex: ${count} 0 0; background: ${tint}`;
    bar.append(part);
  }
  return [make("h4", {}, "Inference"), bar,
    make("div", { class: "key" }, ...parts.map(([name, count, tint]) => make("span", { tint }, `${count} ${name}`))),
    factList([
      ["model", native.model], ["strategy", native.decoder_strategy], ["seed", native.seed],
      ["ended with", native.finish_reason + (native.cached ? ", recorded earlier: nothing was computed" : "")],
      ["first token after", waited === null ? null : seconds(waited)], ["then each token", each === null ? null : seconds(each)],
      ["batches", `${native.steps[0]} to ${native.steps[1]}, ${native.batch_size.toFixed(2)} requests on average`],
      ["blocks at its end", native.peak_blocks],
      ["guesses kept", native.drafted ? `${native.drafts_kept} of ${native.drafted} (${percent(native.drafts_kept, native.drafted)})` : null],
      ["request", native.request],
    ])];
}

function link(path) {
  return make("a", { class: "go", href: `#node=${encodeURIComponent(path)}` }, path);
}

const SHOWN = new Set(["trace_id", "number", "node_id", "node_path", "node_type", "type", "timestamp", "start_time", "end_time",
  "latency_ms", "ctx_snapshot_available", "branch", "depth", "started", "ended", "status", "mode", "error_code", "error",
  "next_paths", "context_delta", "native_inference", "lib_version", "fallback_from", "searched"]);

function showDetails(record, path) {
  const details = byId("details");
  details.scrollTop = 0;
  if (!record) {
    details.replaceChildren(make("h3", {}, path), make("p", { class: "muted" }, "This node has not run."));
    return;
  }
  const own = byPath.get(record.node_path);
  const parts = [make("h3", {}, record.node_path),
    make("div", { class: "chips" },
      make("span", { class: "chip", tint: `var(--${record.status})` }, record.status),
      make("span", { class: "chip", tint: tintOf(record) }, record.type),
      make("span", { class: "chip" }, branchName(record.branch)),
      record.native_inference?.cached ? make("span", { class: "chip", tint: "var(--tool)" }, "recorded") : null)];
  if (own.length > 1) {
    parts.push(make("div", {}, make("span", { class: "muted" }, "ran "), ...own.map((other) =>
      make("a", { class: "go", href: `#record=${other.number}` }, other === record ? `[${other.number}]` : String(other.number)))));
  }
  if (record.error || record.error_code) {
    parts.push(make("div", { class: "error" }, make("b", {}, record.error_code || "error"), make("div", {}, record.error || "")));
  }
  parts.push(factList([
    ["from", `${seconds(record.started)} to ${seconds(record.ended)} (${seconds(record.ended - record.started)})`],
    ["at", record.start_time], ["led to", record.next_paths.length ? make("span", {}, ...record.next_paths.map(link)) : null],
    ["stands in for", record.fallback_from ? link(record.fallback_from) : null], ["version", record.lib_version],
    ["call depth", record.depth || null], ["mode", record.mode],
  ]));
  if (record.native_inference) parts.push(...inferenceDetails(record.native_inference));
  if (!isEmpty(record.context_delta)) parts.push(make("h4", {}, "What it changed"), json(record.context_delta));
  for (const [key, value] of Object.entries(record)) {
    if (!SHOWN.has(key) && !isEmpty(value)) parts.push(make("h4", {}, key.replaceAll("_", " ")), json(value));
  }
  details.replaceChildren(...parts);
}

// ---- time ------------------------------------------------------------------------------------------------------

const LEFT = 118; // pixels for the names of rows
const LANE = 19;
const view = { byStep: false, from: 0, to: 1 }; // in units of the axis

/** A time as a place on the axis: itself, or the batch that ran then, with the fraction that is done. */
function place(time) {
  if (!view.byStep) return time;
  const at = lastUpTo(memory, time, (sample) => sample[TIME]);
  const [before, after] = [memory[at], memory[at + 1]];
  if (!after) return before[STEP];
  const [time0, step0] = before ? [before[TIME], before[STEP]] : [Math.min(runStart, after[TIME]), after[STEP] - 1];
  return step0 + (after[STEP] - step0) * clamp((time - time0) / Math.max(after[TIME] - time0, 1e-12), 0, 1);
}

function wholeAxis() {
  const [from, to] = [place(runStart), place(runEnd)];
  const margin = Math.max((to - from) * 0.01, view.byStep ? 0.5 : 1e-6);
  return [from - margin, to + margin];
}

/** Rows of branches; in each as many lanes as there are nodes at once. */
function layOut() {
  const rows = new Map();
  for (const record of records) {
    const key = JSON.stringify(record.branch);
    if (!rows.has(key)) rows.set(key, { branch: record.branch, records: [] });
    rows.get(key).records.push(record);
  }
  const compare = (one, other) => {
    for (let i = 0; i < Math.min(one.length, other.length); i++) if (one[i] !== other[i]) return one[i] - other[i];
    return one.length - other.length;
  };
  const sorted = [...rows.values()].sort((one, other) => compare(one.branch, other.branch));
  let top = 0;
  for (const row of sorted) {
    const ends = [];
    row.bars = [...row.records].sort((one, other) => one.started - other.started || other.ended - one.ended).map((record) => {
      let lane = ends.findIndex((end) => end <= record.started + 1e-9);
      if (lane < 0) lane = ends.length;
      ends[lane] = record.ended;
      return { record, lane };
    });
    row.top = top;
    row.height = ends.length * LANE + 6;
    top += row.height;
  }
  return { rows: sorted, height: top };
}

const layout = layOut();
let width = 0;
const toX = (axis) => LEFT + ((axis - view.from) / (view.to - view.from)) * (width - LEFT - 12);
const fromX = (x) => view.from + ((x - LEFT) / (width - LEFT - 12)) * (view.to - view.from);

function ticks() {
  const rough = (view.to - view.from) / Math.max(2, (width - LEFT) / 110);
  const power = 10 ** Math.floor(Math.log10(rough));
  let each = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  if (view.byStep) each = Math.max(1, Math.round(each));
  const first = Math.ceil(view.from / each);
  const count = Math.min(200, Math.floor(view.to / each) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, i) => (first + i) * each);
}

function drawBar({ record, lane }, row) {
  const [left, right] = [toX(place(record.started)), toX(place(record.ended))];
  if (right < LEFT || left > width) return null;
  const native = record.native_inference;
  const [x, size] = [Math.max(left, LEFT - 4), Math.max(right - Math.max(left, LEFT - 4), 3)];
  const y = row.top + lane * LANE + 4;
  const group = draw("g", { class: `mark ${record.status}`, "data-number": record.number });
  const first = native && native.first_token !== null ? clamp(toX(place(native.first_token)), x, x + size) : null;
  const box = (from, to, opacity) => draw("rect",
    { class: "whole", x: from, y, width: Math.max(0, to - from), height: LANE - 4, rx: 2.5, style: `fill: ${tintOf(record)}; ${opacity}` });
  if (first === null) group.append(box(x, x + size, ""));
  else group.append(box(x, first, "opacity: .38"), box(first, x + size, ""));
  if (native && native.prompt_tokens && native.reused_tokens && first !== null) {
    const share = (native.reused_tokens / native.prompt_tokens) * (first - x); // the part of its prompt that was there
    group.append(draw("rect", { x, y: y + LANE - 7, width: share, height: 3, rx: 1, style: "fill: var(--tool)" }));
  }
  group.append(draw("rect", { class: "frame", x, y, width: size, height: LANE - 4, rx: 2.5 }));
  const name = shortPath(record.node_path);
  const needed = 6.5 * name.length + 8;
  if (first !== null && x + size - first > needed) group.append(draw("text", { x: first + 5, y: y + 11 }, name));
  else if (size > needed) group.append(draw("text", { class: first === null ? "" : "on-light", x: x + 5, y: y + 11 }, name));
  group.addEventListener("click", () => choose(record));
  group.addEventListener("pointermove", (event) => {
    light("hot", record.node_path, record.number);
    showTip(event, record.node_path, describe(record));
    event.stopPropagation();
  });
  group.addEventListener("pointerleave", () => { light("hot", null, null); hideTip(); });
  marks.push({ number: record.number, path: record.node_path, element: group });
  return group;
}

function drawLanes() {
  const svg = byId("lanes");
  const height = Math.max(layout.height + 4, byId("timeline").clientHeight);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  marks = marks.filter((mark) => !mark.element.classList.contains("mark"));
  const parts = [];
  layout.rows.forEach((row, index) => {
    if (index % 2 === 0) parts.push(draw("rect", { class: "row-back", x: 0, y: row.top + 1, width, height: row.height }));
  });
  for (const tick of ticks()) parts.push(draw("line", { class: "grid", x1: toX(tick), x2: toX(tick), y1: 0, y2: height }));
  for (const row of layout.rows) parts.push(...row.bars.map((bar) => drawBar(bar, row)).filter(Boolean));
  parts.push(draw("rect", { x: 0, y: 0, width: LEFT - 4, height, style: "fill: var(--panel)" }));
  for (const row of layout.rows) {
    const label = draw("text", { class: "row-label", x: 12 + 10 * Math.max(0, row.branch.length - 1), y: row.top + 17 }, branchName(row.branch));
    parts.push(label);
  }
  svg.replaceChildren(...parts);
  if (chosen !== null) light("chosen", records.find((record) => record.number === chosen)?.node_path, chosen);
}

/** The samples that can be seen, at most one a pixel: the fullest. */
function seen() {
  const place0 = (sample) => (view.byStep ? sample[STEP] : sample[TIME]);
  const columns = new Map();
  for (let i = Math.max(0, lastUpTo(memory, view.from, place0) - 1); i < memory.length; i++) {
    const x = toX(place0(memory[i]));
    const column = Math.round(x);
    const known = columns.get(column);
    const from = i ? toX(place0(memory[i - 1])) : toX(view.byStep ? memory[i][STEP] - 1 : Math.min(runStart, memory[i][TIME]));
    if (!known || memory[i][HELD] > known.sample[HELD]) columns.set(column, { sample: memory[i], x, from: known ? known.from : from });
    if (x > width) break;
  }
  return [...columns.values()];
}

const BATCHES = 34; // pixels for the rows below the timeline
const BLOCKS = 74;

function drawMemory() {
  const svg = byId("memory");
  const height = (memory.length ? BATCHES + BLOCKS + 10 : 0) + 20;
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [];
  for (const tick of ticks()) {
    const x = toX(tick);
    if (x < LEFT) continue;
    parts.push(draw("line", { class: "grid", x1: x, x2: x, y1: 0, y2: height - 16 }),
      draw("text", { x, y: height - 5, "text-anchor": "middle" }, view.byStep ? String(tick) : seconds(tick)));
  }
  if (memory.length) {
    const most = Math.max(1, ...memory.map((sample) => sample[REQUESTS]));
    const total = Math.max(1, ...memory.map((sample) => sample[HELD] + sample[CACHED] + sample[FREE]));
    const peak = Math.max(...memory.map((sample) => sample[HELD] + sample[CACHED]));
    const top = Math.min(total, Math.max(1, peak * 1.15)); // a cache that is hardly used would show as a line
    const floor = BATCHES + BLOCKS + 6;
    const up = (blocks) => floor - (blocks / top) * BLOCKS;
    let [held, cached] = ["", ""];
    const step = (values) => values.reduce((path, [x, y], i) => path + (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${floor}V${y.toFixed(1)}`), "");
    const points = seen();
    if (points.length) {
      const last = Math.max(points.at(-1).x, toX(view.byStep ? memory.at(-1)[STEP] : runEnd));
      const outline = (key) => step([...points.map(({ sample, x }) => [x, up(key(sample))]), [last, up(key(points.at(-1).sample))]]) + `V${floor}Z`;
      held = outline((sample) => sample[HELD]);
      cached = outline((sample) => sample[HELD] + sample[CACHED]);
    }
    parts.push(draw("path", { class: "cached", d: cached || "M0 0" }), draw("path", { class: "held", d: held || "M0 0" }));
    for (const { sample, x, from } of points) {
      const tall = Math.max(1, (sample[REQUESTS] / most) * (BATCHES - 8));
      const gap = x - from > 4 ? 1 : 0;
      parts.push(draw("rect", { class: "batch", x: from, y: BATCHES - tall, width: Math.max(0.75, x - from - gap), height: tall }));
    }
    if (top === total) parts.push(draw("line", { class: "total", x1: LEFT, x2: width, y1: up(total), y2: up(total) }));
    parts.push(draw("rect", { x: 0, y: 0, width: LEFT - 4, height, style: "fill: var(--panel)" }),
      draw("text", { class: "row-label", x: 12, y: BATCHES - 12 }, "batches"),
      draw("text", { x: 12, y: BATCHES }, `up to ${most} request${most === 1 ? "" : "s"}`),
      draw("text", { class: "row-label", x: 12, y: BATCHES + 26 }, "memory"),
      draw("text", { x: 12, y: BATCHES + 40 }, `${peak} of ${total} blocks`),
      draw("text", { x: 12, y: BATCHES + 54 }, "at most"));
  }
  const cursor = draw("line", { class: "cursor", y1: 0, y2: height, x1: -9, x2: -9 });
  svg.replaceChildren(...parts, cursor);
}

function drawTime() {
  width = Math.max(320, byId("timeline").clientWidth);
  byId("memory").style.width = `${width}px`; // the rows have a scroll bar beside them
  drawLanes();
  drawMemory();
}

let pending = 0;
function drawSoon() {
  if (!pending) pending = requestAnimationFrame(() => { pending = 0; drawTime(); });
}

function setUpTime() {
  [view.from, view.to] = wholeAxis();
  const all = () => { [view.from, view.to] = wholeAxis(); drawSoon(); };
  const setAxis = (byStep) => {
    view.byStep = byStep && memory.length > 0;
    byId("axis-time").setAttribute("aria-pressed", String(!view.byStep));
    byId("axis-steps").setAttribute("aria-pressed", String(view.byStep));
    all();
  };
  byId("axis-time").addEventListener("click", () => setAxis(false));
  byId("axis-steps").addEventListener("click", () => setAxis(true));
  if (!memory.length) byId("axis").style.display = "none"; // there are no batches to count
  byId("time-all").addEventListener("click", all);
  let held = null;
  for (const svg of [byId("lanes"), byId("memory")]) {
    svg.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.shiftKey) return; // scrolls the rows
      event.preventDefault();
      const at = fromX(event.clientX - svg.getBoundingClientRect().left);
      const [whole0, whole1] = wholeAxis();
      if (sideways) {
        const by = (event.deltaX / (width - LEFT)) * (view.to - view.from);
        [view.from, view.to] = [view.from + by, view.to + by];
      } else {
        const factor = clamp(Math.exp(event.deltaY / 400), (whole1 - whole0) / 1e5 / (view.to - view.from), (2 * (whole1 - whole0)) / (view.to - view.from));
        [view.from, view.to] = [at - (at - view.from) * factor, at + (view.to - at) * factor];
      }
      drawSoon();
    }, { passive: false });
    svg.addEventListener("pointerdown", (event) => { held = { x: event.clientX, from: view.from, to: view.to }; });
    svg.addEventListener("dblclick", all);
    svg.addEventListener("pointerleave", hideTip);
  }
  addEventListener("pointermove", (event) => {
    if (!held) return;
    const by = ((event.clientX - held.x) / (width - LEFT - 12)) * (held.to - held.from);
    if (Math.abs(event.clientX - held.x) < 4) return;
    [view.from, view.to] = [held.from - by, held.to - by];
    drawSoon();
  });
  addEventListener("pointerup", () => { held = null; });
  byId("memory").addEventListener("pointermove", (event) => {
    const x = event.clientX - byId("memory").getBoundingClientRect().left;
    const cursor = byId("memory").querySelector(".cursor");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const at = fromX(x);
    const index = lastUpTo(memory, at, (sample) => (view.byStep ? sample[STEP] : sample[TIME]));
    const sample = memory[Math.min(index + 1, memory.length - 1)];
    if (!sample || x < LEFT || held) return hideTip();
    showTip(event, `batch ${sample[STEP]} at ${seconds(sample[TIME])}`,
      `${sample[REQUESTS]} requests\n${sample[HELD]} blocks held, ${sample[CACHED]} cached, ${sample[FREE]} free`);
  });
  addEventListener("resize", drawSoon);
  const kinds = new Set(records.map(kindOf));
  byId("legend").replaceChildren(
    ...Object.keys(KINDS).filter((kind) => kinds.has(kind)).map((kind) => make("span", { tint: `var(--${kind})` }, KINDS[kind])),
    ...(memory.length ? [make("span", { tint: "var(--held)" }, "held"), make("span", { tint: "var(--cached)" }, "cached")] : []));
  drawTime();
}

// ---- light and dark ----------------------------------------------------------------------------------------------

function setUpTheme() {
  const root = document.documentElement;
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  byId("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; });
}

setUpTheme();
summarise();
listRecords();
setUpKeys();
setUpTime();
setUpGraph();
addEventListener("hashchange", chooseFromAddress);
if (!chooseFromAddress() && records.length) {
  choose(records.find((record) => record.status === "failed") || records[0]);
}
document.body.dataset.ready = "true";
})();
