"use strict";
// Follows studies: asks how they stand every few seconds, and draws anew what has changed.

const PAUSE_MS = 2000, REDRAW_MS = 5000, SPARED = 9, MOST_ROWS = 500;
const INK = "#1f2328", PAPER = "#fffffe";  // of the figures, for the page's text and ground
const OPTIONS = {displayModeBar: false, doubleClick: "reset"};
const WORDS = {
  running: "running", done: "done", failed: "ended, some trials failed",
  killed: "its driver is gone", stopped: "nobody runs it",
};
const $ = (id) => document.getElementById(id);
const state = {studies: [], first: [], most: 1, measure: "mean_L1", chosen: new Set(), ring: ["", ""], touched: false};
const specs = new Map();  // of what is drawn, by name
const sizes = new ResizeObserver((changes) => changes.forEach((each) => {
  if (each.target._fullLayout && Math.abs(each.target._fullLayout.width - each.contentRect.width) > 1) Plotly.Plots.resize(each.target);
}));
let tag = "", drawn = "", ringDrawn = "", next = 0;

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function number(value, digits = 4) {
  return value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits)));
}

function count(value) {
  return value.toLocaleString("en");
}

function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

// The library is large: it comes while the first answers are on their way.
function library() {
  return new Promise((resolve, reject) => {
    const failed = () => reject(new TypeError("the library did not come"));
    document.head.append(make("script", {src: "/assets/plotly.js", onload: resolve, onerror: failed}));
  });
}

async function ask(address, headers = {}) {
  const answer = await fetch(address, {headers, cache: "no-store"});
  if (answer.status === 304) return null;
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  if (!answer.ok) throw new Error(isJson ? (await answer.json()).error : await answer.text());
  return {content: await answer.json(), tag: answer.headers.get("etag")};
}

function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
  $(id).hidden = !text;
}

// How studies stand.

async function look() {
  try {
    const found = await ask("/api/studies", tag ? {"If-None-Match": tag} : {});
    say("trouble", "");
    say("looked", `Looked at ${new Date().toLocaleTimeString()}.`);
    if (found !== null) {
      tag = found.tag;
      takeIn(found.content);
    }
    if (Date.now() >= next || !drawn) await drawAll();
  } catch (error) {
    say("trouble", error instanceof TypeError
      ? "The server does not answer: aes-lipi dashboard was ended, or cannot be reached." : error.message);
  }
  setTimeout(look, document.hidden ? 4 * PAUSE_MS : PAUSE_MS);
}

function takeIn(content) {
  state.studies = content.studies;
  if (!isAtWork()) next = 0;
  state.first = content.first;
  state.most = content.most;
  const names = state.studies.map((each) => each.study || each.directory);
  say("title", names.length === 1 ? names[0] : `${names.length} studies`);
  document.title = `${overall()} ${names.join(", ")} – aes_lipi`;
  options($("measure"), Object.entries(content.measures), state.measure);
  forgetGone();
  if (!state.touched) chooseBest();
  state.studies.forEach(showStudy);
  showChoice();
}

function overall() {
  const known = state.studies.filter((each) => each.trials);
  const [done, all] = ["committed", "total"].map((name) => known.reduce((sum, each) => sum + each.trials[name], 0));
  return all ? `${Math.floor(100 * done / all)} %` : "";
}

function options(select, pairs, value) {
  const told = JSON.stringify(pairs);
  if (select.dataset.told !== told) {
    select.dataset.told = told;
    select.replaceChildren(...pairs.map(([key, text]) => make("option", {value: key, textContent: text})));
  }
  if (pairs.some(([key]) => key === value)) select.value = value;
}

function showStudy(study) {
  const id = `study-${study.number}`;
  if (!$(id)) $("studies").append(studyFrame(id, study));
  say(`${id}-name`, state.studies.length > 1 ? study.study || study.directory : "");
  say(`${id}-place`, study.directory);
  say(`${id}-error`, study.error || "");
  $(`${id}-whole`).hidden = Boolean(study.error);
  if (study.error) return;
  const stateLine = $(`${id}-state`);
  say(`${id}-state`, WORDS[study.state]);
  stateLine.className = `state ${study.state}`;
  say(`${id}-told`, told(study));
  Object.assign($(`${id}-bar`), {max: study.trials.total, value: study.trials.committed});
  $(`${id}-running`).replaceChildren(...study.running.map(runningLine));
  showFailures(id, study);
  showRemarks(id, study);
  study.variants.forEach((each) => showVariant(study, each));
  const marked = study.variants.some((each) => each.chosen_on_test);
  say(`${id}-test`, `L1, test rows, the answer${marked ? "*" : ""}`);
  $(`${id}-chosen`).hidden = !marked;
  const body = $(`${id}-variants`), keys = new Set(study.variants.map((each) => `${study.number}:${each.variant}`));
  for (const row of [...body.rows]) if (!keys.has(row.id)) row.remove();
  filterRows(body, $(id).querySelector("input[type=search]").value);
}

function studyFrame(id, study) {
  const head = make("tr", {}, ...["variant", "done", "running", "failed", "to come", "L1, training rows, mean over cells", "", "the same, chosen on validation rows"].map(
    (text, place) => make("th", {scope: "col", textContent: text, className: place ? "number" : ""})));
  head.children[6].id = `${id}-test`;
  const body = make("tbody", {id: `${id}-variants`});
  const filter = make("input", {type: "search", placeholder: "part of a name"});
  filter.addEventListener("input", () => filterRows(body, filter.value));
  return make("article", {id},
    make("h2", {id: `${id}-name`}),
    make("p", {className: "soft"}, make("code", {id: `${id}-place`})),
    make("p", {className: "warning", id: `${id}-error`, hidden: true}),
    make("div", {id: `${id}-whole`},
      make("p", {}, make("span", {id: `${id}-state`, className: "state", ariaLive: "polite"}), ": ", make("span", {id: `${id}-told`})),
      make("progress", {id: `${id}-bar`, ariaLabel: "Trials that are done"}),
      make("ul", {id: `${id}-running`, className: "list"}),
      make("details", {id: `${id}-failures`, hidden: true}, make("summary"),
        make("div", {className: "wide", tabIndex: 0, role: "region", ariaLabel: "Failures"})),
      make("details", {id: `${id}-remarks`, hidden: true}, make("summary"), make("ul", {className: "list"})),
      make("div", {className: "choices"}, make("label", {}, "Variants with ", filter)),
      make("div", {className: "wide", tabIndex: 0, role: "region", ariaLabel: `Variants of ${study.study || study.directory}`},
        make("table", {}, make("thead", {}, head), body)),
      make("p", {className: "soft", id: `${id}-chosen`, hidden: true},
        "* Of the cell chosen on these test rows; beside it, that of the one chosen on validation rows.")));
}

function told(study) {
  const {total, committed, running, failed, pending} = study.trials;
  const parts = [`${count(committed)} of ${count(total)} trials`];
  if (running) parts.push(`${count(running)} running`);
  if (failed) parts.push(`${count(failed)} failed`);
  if (pending) parts.push(`${count(pending)} to come`);
  let line = parts.join(", ");
  if (study.state === "running") {
    line += study.seconds_left === null ? "; time left not known yet" : `; about ${duration(study.seconds_left)} left`;
    if (study.generations_per_second) line += `, ${number(study.generations_per_second, 3)} generations a second`;
  }
  const who = study.driver && study.driver.pid ? `process ${study.driver.pid} on ${study.driver.host}` : "an unknown process";
  const nodes = study.nodes === null ? "" : `, with ${count(study.nodes)} ${study.nodes === 1 ? "node" : "nodes"} of ${number(study.cpus)} processors`;
  if (study.state === "running") line += `. Driver: ${who}${nodes}.`;
  if (study.state === "killed") line += `. The driver, ${who}, was killed or lost; run the study's command again to go on.`;
  if (study.state === "stopped") line += ". Run the study's command again to go on.";
  if (study.without_model) line += ` ${count(study.without_model)} without a model.`;
  return line;
}

function runningLine(each) {
  const loss = each.mean_L1 === null ? "" : `, L1 ${number(each.mean_L1)}`;
  return make("li", {textContent: `${each.label}, trial ${each.trial}: generation ${count(each.generations)} of ${count(each.epochs)}${loss}`});
}

function showFailures(id, study) {
  const details = $(`${id}-failures`), told = JSON.stringify(study.failures);
  details.hidden = !study.failures.length;
  if (details.dataset.told === told) return;
  details.dataset.told = told;
  details.firstChild.textContent = `${count(study.failures.length)} failed: why`;
  const rows = study.failures.map((each) => [each.variant_name, each.trial, each.error, each.host]);
  details.lastChild.replaceChildren(table(["variant", "trial", "error", "machine"], rows));
}

function showRemarks(id, study) {
  const details = $(`${id}-remarks`), newest = study.remarks[study.remarks.length - 1];
  details.hidden = !newest;
  if (!newest) return;
  const when = (each) => new Date(1000 * each.at).toLocaleTimeString();
  details.firstChild.textContent = `The driver says, at ${when(newest)}: ${newest.text}`;
  details.lastChild.replaceChildren(...[...study.remarks].reverse().map(
    (each) => make("li", {textContent: `${when(each)}: ${each.text}`})));
}

function showVariant(study, each) {
  const key = `${study.number}:${each.variant}`;
  if (!$(key)) {
    const box = make("input", {type: "checkbox"});
    box.addEventListener("change", () => choose(key, box.checked));
    const cells = [1, 2, 3, 4, 5, 6, 7].map(() => make("td", {className: "number"}));
    const name = make("th", {scope: "row"}, make("label", {}, box, make("span")));
    $(`study-${study.number}-variants`).append(make("tr", {id: key}, name, ...cells));
  }
  const row = $(key), trials = each.trials;
  row.querySelector("span").textContent = each.label;
  const losses = [each.median_mean_L1, each.median_test_L1, each.median_test_L1_by_validation].map((loss) => number(loss));
  [trials.committed, trials.running, trials.failed, trials.pending, ...losses].forEach(
    (value, place) => { row.children[place + 1].textContent = value; });
}

function filterRows(body, text) {
  for (const row of body.rows) row.hidden = !row.querySelector("span").textContent.toLowerCase().includes(text.toLowerCase());
}

// What is chosen.

function everyVariant() {
  return state.studies.flatMap((study) => (study.variants || []).map((each) => [`${study.number}:${each.variant}`, each, study]));
}

function chooseBest() {
  state.chosen = new Set(state.first);
}

// A study that was made afresh may have other variants; of one that cannot be read now nothing is known.
function forgetGone() {
  const gone = [...state.chosen].filter((key) => {
    const study = state.studies.find((each) => key.startsWith(`${each.number}:`));
    return !study || (study.variants && !study.variants.some((each) => key === `${study.number}:${each.variant}`));
  });
  gone.forEach((key) => state.chosen.delete(key));
  if (gone.length && !state.chosen.size) state.touched = false;
}

function choose(key, wanted) {
  state.touched = true;
  if (wanted) state.chosen.add(key); else state.chosen.delete(key);
  if (state.chosen.size > state.most) state.chosen.delete([...state.chosen][0]);
  chosenAnew();
}

function chosenAnew() {
  showChoice();
  next = 0;
  drawAll().catch((error) => say("trouble", error.message));
}

function showChoice() {
  const all = everyVariant();
  for (const [key] of all) $(key).querySelector("input").checked = state.chosen.has(key);
  say("chosen", `${state.chosen.size} of ${all.length} variants are drawn, at most ${state.most}.`);
  const several = state.studies.length > 1;
  const pairs = all.filter(([key]) => state.chosen.has(key)).map(
    ([key, each, study]) => [key, several ? `${study.study}: ${each.label}` : each.label]);
  if (!pairs.some(([key]) => key === state.ring[0])) state.ring = ["", ""];
  options($("ring-variant"), [["", "of the newest trial that runs, or the first"], ...pairs], state.ring[0]);
  const found = all.find(([key]) => key === ringVariant());
  const trials = found ? [...Array(found[1].trials.total).keys()] : [];
  if (!trials.includes(Number(state.ring[1]))) state.ring[1] = "";
  options($("ring-trial"), [["", "the newest that runs, or the first"], ...trials.map((k) => [String(k), String(k)])], state.ring[1]);
  const kept = new URLSearchParams({measure: state.measure});
  if (state.touched) for (const key of state.chosen) kept.append("variant", key);
  history.replaceState(null, "", `/#${kept}`);
}

function remembered() {
  const kept = new URLSearchParams(location.hash.slice(1));
  state.measure = kept.get("measure") || state.measure;
  state.touched = kept.has("variant");
  state.chosen = new Set(kept.getAll("variant"));
  history.replaceState(null, "", `/#${kept}`);  // the token stands no longer in the address
}

function underWay() {
  const found = state.studies.flatMap((study) => (study.running || []).map((each) => [`${study.number}:${each.variant}`, each]));
  return found.filter(([key, each]) => state.chosen.has(key) && each.generations).reverse();
}

function ringVariant() {
  if (state.ring[0]) return state.ring[0];
  const [newest] = underWay();
  return newest ? newest[0] : [...state.chosen][0] || "";
}

function ringTrial() {
  if (state.ring[1]) return state.ring[1];
  const newest = underWay().find(([key]) => key === ringVariant());
  return String(newest ? newest[1].trial : 0);
}

// Figures.

function stamp(keys) {
  const numbers = new Set([...keys].map((key) => key.split(":")[0]));
  const studies = state.studies.filter((each) => numbers.has(String(each.number)));
  return JSON.stringify([[...keys], state.measure, studies.map((each) => [each.trials, each.running, each.content])]);
}

// Until figures are made anew: what they take is taken from trials on their way, a tenth of a core at most.
function redrawPause(tookMs, isAtWork) {
  return isAtWork ? Math.max(REDRAW_MS, SPARED * tookMs) : REDRAW_MS;
}

async function drawAll() {
  const begin = Date.now();
  next = begin + REDRAW_MS;
  await drawFigures();
  await drawRing();
  const end = Date.now();
  next = end + redrawPause(end - begin, isAtWork());
}

function isAtWork() {
  return state.studies.some((each) => each.state === "running");
}

async function drawFigures() {
  const wanted = stamp(state.chosen);
  if (wanted === drawn) return;
  if (!state.chosen.size) {
    drawn = wanted;
    $("ran").hidden = true;
    await fill($("plots"), []);
    say("refused", state.studies.length ? "Choose variants above." : "");
    return;
  }
  const query = new URLSearchParams({measure: state.measure});
  for (const key of state.chosen) query.append("variant", key);
  try {
    const {content} = await ask(`/api/figures?${query}`);
    await drawing;
    drawn = wanted;
    say("refused", [...content.notes, ...(isAtWork() ? [] : content.skipped)].join(". "));  // half-written trials are no news
    await fill($("plots"), content.figures);
    const rows = content.machines.map((each) => [each.host, each.processor, each.device_used, each.trials, number(each.median_s)]);
    $("ran").hidden = !rows.length;
    $("machines").replaceChildren(table(["machine", "processor", "device", "trials", "median seconds"], rows));
  } catch (error) {
    if (error instanceof TypeError) throw error;
    say("refused", error.message);
  }
}

async function drawRing() {
  const variant = ringVariant(), wanted = stamp([variant]) + ringTrial();
  if (!variant && ringDrawn) {
    ringDrawn = "";
    await fill($("ring-plots"), []);
  }
  if (!variant || wanted === ringDrawn) return;
  try {
    const {content} = await ask(`/api/ring?${new URLSearchParams({variant, trial: ringTrial()})}`);
    await drawing;
    say("ring-note", content.note);
    await fill($("ring-plots"), content.figures);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    say("ring-note", error.message);
    await fill($("ring-plots"), []);
  }
  ringDrawn = wanted;
}

async function fill(place, figures) {
  const names = new Set(figures.map((each) => each.name));
  for (const old of [...place.children]) {
    if (names.has(old.id)) continue;
    Plotly.purge(old.querySelector(".plot"));
    specs.delete(old.id);
    old.remove();
  }
  for (const spec of figures) {  // all of them first: they share the width
    if (!$(spec.name)) place.append(figureFrame(spec.name));
    $(spec.name).querySelector(".plot").style.minHeight = `${spec.layout.height}px`;
    specs.set(spec.name, spec);
  }
  for (const spec of figures) {  // one at a time: the first is seen, and keys are answered, meanwhile
    if (specs.get(spec.name) === spec) draw(spec);
    await new Promise((resolve) => setTimeout(resolve));
  }
}

function figureFrame(name) {
  const button = (text, act) => {
    const made = make("button", {type: "button", textContent: text});
    made.addEventListener("click", () => act(specs.get(name)));
    return made;
  };
  const values = make("details", {}, make("summary", {textContent: "Values"}),
    make("div", {className: "wide", tabIndex: 0, role: "region"}));
  values.addEventListener("toggle", () => showValues(values, specs.get(name)));
  return make("figure", {id: name}, make("h3"), make("div", {className: "plot", role: "img"}), make("figcaption"),
    make("div", {className: "tools"},
      button("PNG", (spec) => picture(spec, "png")), button("SVG", (spec) => picture(spec, "svg")), button("CSV", saveValues)),
    values);
}

function draw(spec) {
  const frame = $(spec.name), plot = frame.querySelector(".plot");
  frame.querySelector("h3").textContent = spec.title;
  frame.querySelector("figcaption").textContent = spec.caption;
  plot.setAttribute("aria-label", `${spec.title}. ${spec.caption}`);
  for (const made of frame.querySelectorAll(".tools button")) made.ariaLabel = `${made.textContent} of ${spec.title}`;
  frame.querySelector("details .wide").ariaLabel = `Values of ${spec.title}`;
  const {data, layout} = coloured(spec);
  Plotly.react(plot, data, layout, OPTIONS);
  sizes.observe(plot);
  showValues(frame.querySelector("details"), spec);
}

function coloured(spec) {
  const style = getComputedStyle(document.documentElement);
  const [ink, ground] = ["--ink", "--ground"].map((name) => style.getPropertyValue(name).trim());
  const text = JSON.stringify({data: spec.data, layout: spec.layout});
  return JSON.parse(text.replaceAll(`"${INK}"`, `"${ink}"`).replaceAll(`"${PAPER}"`, `"${ground}"`));
}

function picture(spec, format) {
  const {data, layout} = coloured(spec);
  const ground = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim();
  const plot = $(spec.name).querySelector(".plot");
  Plotly.downloadImage({data, layout: {...layout, paper_bgcolor: ground, title: {text: ""}}},
    {format, filename: spec.name, width: plot.clientWidth, height: layout.height, scale: 2});
}

// As in the report's tables: a spreadsheet takes such text for a formula, unless an apostrophe is in front.
function isFormula(value) {
  return typeof value === "string" && /^[=+\-@\t\r]/.test(value) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value);
}

function saveValues(spec) {
  const quoted = (value) => {
    const text = value === null ? "" : isFormula(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [spec.head, ...spec.rows].map((row) => row.map(quoted).join(","));
  const address = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], {type: "text/csv"}));
  make("a", {href: address, download: `${spec.name}.csv`}).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function showValues(details, spec) {
  if (!details.open) return;
  const rows = spec.rows.slice(0, MOST_ROWS).map((row) => row.map((value) => typeof value === "number" && !Number.isInteger(value) ? number(value, 6) : value));
  const more = spec.rows.length > MOST_ROWS ? [make("p", {className: "soft", textContent: `The first ${MOST_ROWS} of ${count(spec.rows.length)}; all are in the CSV.`})] : [];
  details.lastChild.replaceChildren(table(spec.head, rows), ...more);
}

function table(head, rows) {
  const cells = (row) => row.map((value) => make("td", {
    textContent: value === null || value === undefined ? "–" : value, className: typeof value === "number" ? "number" : ""}));
  return make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", {scope: "col", textContent: text})))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))));
}

remembered();
$("measure").addEventListener("change", (event) => { state.measure = event.target.value; chosenAnew(); });
$("best").addEventListener("click", () => { state.touched = false; chooseBest(); chosenAnew(); });
$("none").addEventListener("click", () => { state.touched = true; state.chosen.clear(); chosenAnew(); });
$("ring-variant").addEventListener("change", (event) => { state.ring = [event.target.value, ""]; chosenAnew(); });
$("ring-trial").addEventListener("change", (event) => { state.ring[1] = event.target.value; chosenAnew(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => specs.forEach(draw));
look();
const drawing = library();
