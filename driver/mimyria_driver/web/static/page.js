// @ts-check
/** Page: asks the server what is new, and shows it.
 *
 * The state is asked for every two seconds, the spectra when it says that they are
 * others. Where nobody answers, the page keeps what it has, says so, and asks again. */
import { Chart } from "./charts.js";
import { at, make, showBands, showChecks, showConvergence, showEvents } from "./tables.js";
import { ago, counted, duration, fixed, percent, shortName, significant, spectrumName, unitText } from "./words.js";

const EVERY = 2000;
const PATIENCE = 20000;
const RANGES = /** @type {[string, [number, number]|null][]} */ ([
  ["all", null], ["0–1200", [0, 1200]], ["1200–2400", [1200, 2400]], ["2400–4000", [2400, 4000]],
]);
const GEOMETRIES = ["raman_vv", "raman_vh", "raman_iso", "raman_aniso", "raman_unpolarised", "depolarisation_ratio"];
const COLOURS = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

/** @type {any} */ let state = null;
/** @type {any} */ let data = null;
/** @type {any[]} */ let experiments = [];
let dataVersion = "";
let asking = false;
let heard = 0;
let aged = 0;
/** @type {number|null} */ let lostSince = null;

/** What the user has chosen; kept by the browser. */
const chosen = {
  geometry: kept("geometry", "raman_vv"), resolution: "", width: kept("width", "1"),
  experiment: kept("experiment", ""), range: "all",
  off: new Set(JSON.parse(kept("off", "[]"))), on: new Set(JSON.parse(kept("on", "[]"))),
};

/** @param {string} name @param {string} otherwise */
function kept(name, otherwise) {
  try { return localStorage.getItem(`mimyria-${name}`) ?? otherwise; } catch { return otherwise; }
}
/** @param {string} name @param {string} value */
function keep(name, value) {
  try { localStorage.setItem(`mimyria-${name}`, value); } catch { /* not allowed: then not */ }
}

const charts = {
  ir: new Chart(at("plot-ir"), (i) => readOut("ir", i)),
  raman: new Chart(at("plot-raman"), (i) => readOut("raman", i)),
};

// -- asking ---------------------------------------------------------------------------

/** @param {string} path */
async function ask(path) {
  const answer = await fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401) throw new Error("token");
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function look() {
  try {
    const found = await ask("api/state");
    const same = JSON.stringify({ ...found, age: 0 }) === JSON.stringify({ ...state, age: 0 });
    const first = state === null || lostSince !== null;
    if (!same || first || found.driver !== "up") aged = found.age ?? 0;
    heard = Date.now();
    state = found;
    lostSince = null;
    if (!same || first) showState();
    showBanner("");
    if (state.result !== dataVersion) void fetchSpectra();
  } catch (error) {
    lostSince ??= Date.now();
    showBanner(error instanceof Error && error.message === "token" ? "token" : "lost");
  }
}

async function fetchSpectra() {
  if (asking) return;
  asking = true;
  const version = state.result;
  try {
    const query = chosen.resolution ? `?resolution=${chosen.resolution}` : "";
    data = await ask(`api/spectra${query}`);
    dataVersion = version;
    showSpectra();
  } catch (error) {
    // Perhaps a resolution that this result does not have any more.
    if (chosen.resolution) chosen.resolution = "";
  } finally {
    asking = false;
  }
}

async function live() {
  if (!document.hidden) await look();
  setTimeout(live, EVERY);
}

// -- what the driver does -------------------------------------------------------------

const BADGES = /** @type {Record<string, [string, string]>} */ ({
  OK: ["good", ""], WARN: ["look", " · warning"], CRIT: ["bad", " · problem"], UNKNOWN: ["wait", ""],
});

function showState() {
  const status = state.status;
  at("name").textContent = state.name;
  const [kind, more] = BADGES[state.verdict] ?? ["wait", ""];
  const word = status === null ? "no status" : state.driver === "down" ? "driver is down" : status.state + more;
  at("badge").dataset.kind = state.driver === "down" && status ? "bad" : kind;
  at("badge").toggleAttribute("data-live", state.driver === "up");
  at("badge-text").textContent = word;
  at("badge").title = state.reason;
  const engine = status?.engine ? `${status.engine} · ${status.atoms} atoms` : "no engine yet";
  at("subtitle").textContent = status ? `${engine}${status.device ? ` · networks on ${status.device}` : ""}` : "";
  const left = worstLeft(status);
  document.title = `${left ? `${left} · ` : ""}${word} · ${state.name}`;
  showTiles(status);
  showConvergence(status);
  showEvents(state);
  showAbout(status);
}

/** Time to the last target. @param {any} status */
function worstLeft(status) {
  const times = /** @type {number[]} */ (Object.values(status?.target_seconds ?? {}));
  return state.driver === "up" && times.length ? duration(Math.max(...times)) : "";
}

/** @param {any} status */
function showTiles(status) {
  const tiles = [];
  if (status) {
    const up = state.driver === "up";
    tiles.push(tile("Simulated", `${fixed(status.sampled, status.sampled < 100 ? 2 : 0)} ps`, counted(status.durable, "frame"), status.progress));
    tiles.push(tile("Frames per second", up ? fixed(status.rate, 1) : "–", up && status.time_per_day ? `${significant(status.time_per_day, 3)} ns a day` : "not running"));
    tiles.push(tile("Lag", counted(status.in_flight, "frame"), !up ? "not running" : status.engine_waits ? "the engine waits for the networks" : "keeping up"));
    const targets = Object.entries(status.targets ?? {}).map(([n, t]) => `${spectrumName(n)} ± ${percent(Number(t))}`).join(", ");
    tiles.push(tile("Time left", worstLeft(status) || (status.state === "ended" ? "ended" : "–"), targets ? `to ${targets}` : ""));
    for (const [name, error] of Object.entries(status.errors ?? {})) {
      const target = status.targets?.[name];
      const done = target ? Math.min(1, (target / Number(error)) ** 2) : null;
      tiles.push(tile(`Error ${spectrumName(name)}`, `± ${percent(Number(error))}`, target ? `wanted ${percent(target)}` : "", done));
    }
    tiles.push(tile("Temperature", `${fixed(status.temperature)} K`, status.segments > 1 ? `${status.segments} segments, ${counted(status.missing, "frame")} missing` : "kinetic mean"));
  }
  at("tiles").replaceChildren(...tiles);
}

/** @param {string} name @param {string} value @param {string} note @param {number|null} [part] */
function tile(name, value, note, part) {
  const box = make("div", {}, make("dt", {}, name), make("dd", {}, value), make("dd", {}, note || " "));
  if (part != null) box.append(make("progress", { max: "1", value: String(part), "aria-label": `${Math.floor(100 * part)} %` }));
  return box;
}

/** @param {any} status */
function showAbout(status) {
  /** @type {[string, string][]} */
  const rows = [["Status", state.reason]];
  if (status) {
    rows.push(["Networks", `${status.device || "loading"}${status.hardware ? ` (${status.hardware})` : ""}`]);
    if (status.replicas) rows.push(["Replicas", `${status.replicas.number}: ${Object.entries(status.replicas.states).map(([s, n]) => `${n} ${s}`).join(", ")}`]);
    if (status.job) rows.push(["Job", `${status.job.id}${status.job.seconds_left == null ? "" : `, ends in ${duration(status.job.seconds_left)}`}`]);
    if (status.disk?.hours_to_full != null) rows.push(["Disk", `full in ${duration(3600 * status.disk.hours_to_full)}`]);
    rows.push(["Journal", `${fixed((status.journal_bytes ?? 0) / 1e6, 1)} MB`]);
    if (status.uncertain) rows.push(["Uncertain", counted(status.uncertain, "frame")]);
    if (status.unusual) rows.push(["Unusual", counted(status.unusual, "frame")]);
    if (status.restarts) rows.push(["Restarts", `${status.restarts} of the evaluator`]);
    rows.push(["Last step", String(status.step)]);
    rows.push(["Host", String(status.host ?? "–")], ["Version", `mimyria ${status.version}`], ["Run", String(status.run_id || "–")]);
  }
  if (data?.spectra) rows.push(["Result", `${counted(data.n_samples, "frame")}, ${significant(data.picoseconds, 4)} ps, ${data.window} window, ${significant(data.temperature, 4)} K`]);
  at("about").replaceChildren(...rows.flatMap(([n, t]) => [make("dt", {}, n), make("dd", {}, t)]));
}

/** @param {string} trouble "", "lost" or "token" */
function showBanner(trouble) {
  const age = aged + (Date.now() - heard) / 1000;
  let kind = "look";
  let text = "";
  if (trouble === "token") {
    kind = "bad";
    text = "This link is not valid any more. Open the one that `mimyria-driver watch --web` prints now.";
  } else if (trouble === "lost") {
    const since = heard ? ` What you see came ${ago((Date.now() - heard) / 1000)}.` : "";
    text = `The server of this page does not answer; asking again.${since}`;
  } else if (state?.status === null) {
    text = state.reason;
  } else if (state?.driver === "down") {
    kind = "bad";
    text = `The driver is down: it was last heard of ${ago(age)}. What you see is its last result. All acknowledged frames are safe; the same command goes on with the run.`;
  } else if (state?.driver === "over") {
    text = `The run has ${state.status.state} (${ago(age)}): ${state.status.message || "no reason given"}.`.replace("..", ".");
    kind = state.status.state === "failed" ? "bad" : "";
  }
  if (!trouble && data?.problem && data.spectra) text = `${text} ${data.problem} The last good one is shown.`.trim();
  const banner = at("banner");
  banner.hidden = !text;
  banner.dataset.kind = kind;
  if (banner.textContent !== text) banner.textContent = text;
}

// -- spectra --------------------------------------------------------------------------

function showSpectra() {
  showResolutions();
  showGeometries();
  showChart("ir", "ir");
  showChart("raman", chosen.geometry);
  showBands(data, ["ir", chosen.geometry], measured());
  showChecks(data.diagnostics ?? []);
  showFiles();
  showAbout(state?.status);
  showBanner("");
}

/** Bands of the chosen experiment; of two sources the one with a table. */
function measured() {
  const bands = experiments.find((e) => e.name === chosen.experiment)?.bands ?? [];
  const tabled = bands.filter((/** @type {any} */ b) => !b.memory);
  const known = new Set(tabled.map((/** @type {any} */ b) => `${b.spectrum} ${b.name}`));
  return bands.filter((/** @type {any} */ b) => !b.memory || !known.has(`${b.spectrum} ${b.name}`));
}

/** @param {"ir"|"raman"} where @param {string} name of the spectrum */
function showChart(where, name) {
  const chart = charts[where];
  const found = data?.spectra?.[name];
  const card = at(`card-${where}`);
  card.hidden = Boolean(data?.spectra) && !found;
  if (!found) {
    chart.empty(data?.problem || "There is no such spectrum in this run.");
    return;
  }
  const parts = data.parts?.[name] ?? [];
  const curves = [{ label: "total", colour: "curve", shown: isShown(where, "total"), intensity: found.intensity, error: found.error },
    ...parts.map((/** @type {any} */ p, /** @type {number} */ i) => ({
      label: p.label, colour: COLOURS[i % COLOURS.length], shown: isShown(where, p.label), intensity: p.intensity, error: p.error }))];
  const marks = measured().filter((m) => where === "ir" ? m.spectrum === "ir" : m.spectrum === name)
    .map((m) => ({ position: m.position, name: m.name }));
  chart.show(data.grids[found.grid], curves, Number(chosen.width), marks);
  const unit = found.unit === "1" ? "" : `/ ${chart.factor}${unitText(found.unit)}`;
  at(`unit-${where}`).textContent = where === "ir" ? `α·n ${unit}` : `${spectrumName(name)} ${unit}`;
  at(`error-${where}`).textContent = found.relative_error == null ? "no error known" : `± ${percent(found.relative_error)} (${found.error_source})`;
  const tops = found.bands.map((/** @type {any} */ b) => fixed(b.position)).join(", ");
  at(`plot-${where}`).setAttribute("aria-label", `${where === "ir" ? "Infrared" : "Raman"} spectrum from ${data.picoseconds} ps. Bands at ${tops || "none"} cm⁻¹. Arrow keys read values, Escape shows all.`);
  showChips(where, name, curves);
}

/** @param {string} where @param {string} label */
function isShown(where, label) {
  const key = `${where} ${label}`;
  return label === "total" ? !chosen.off.has(key) : chosen.on.has(key);
}

/** @param {"ir"|"raman"} where @param {string} name @param {any[]} curves */
function showChips(where, name, curves) {
  const place = at(`parts-${where}`);
  const wanted = JSON.stringify([name, curves.map((c) => c.label)]);
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  const chips = curves.map((c) => {
    const box = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox" }));
    box.checked = c.shown;
    box.addEventListener("change", () => {
      const key = `${where} ${c.label}`;
      if (c.label === "total") box.checked ? chosen.off.delete(key) : chosen.off.add(key);
      else box.checked ? chosen.on.add(key) : chosen.on.delete(key);
      keep("off", JSON.stringify([...chosen.off]));
      keep("on", JSON.stringify([...chosen.on]));
      showChart(where, name);
      showFiles();
    });
    return make("label", { class: "chip", "data-colour": c.colour }, box, make("i", { "aria-hidden": "true" }), c.label);
  });
  const only = curves.length === 1 && where === "raman" && (data.parts?.raman_iso || data.parts?.raman_aniso);
  if (only) chips.push(make("span", { class: "quiet" }, "parts: choose isotropic or anisotropic"));
  place.replaceChildren(...chips);
}

/** @param {"ir"|"raman"} where @param {number|null} index of the grid */
function readOut(where, index) {
  const chart = charts[where];
  const place = at(`readout-${where}`);
  if (index == null || !chart.plot) {
    place.textContent = "Point at the curve to read it; drag to zoom, double-click for all.";
    return;
  }
  const scale = 10 ** chart.exponent;
  const total = chart.curves.length - 1;
  const texts = [chart.curves[total], ...chart.curves.slice(0, total)].filter((c) => c.shown && c.intensity[index] != null).flatMap((c) => {
    const error = c.error?.[index];
    const value = significant(Number(c.intensity[index]) / scale, 3);
    return [` · ${c.label} `, make("b", {}, error == null ? value : `${value} ± ${significant(error / scale, 2)}`)];
  });
  place.replaceChildren(make("b", {}, `${fixed(chart.grid[index])} cm⁻¹`), ...texts);
}

// -- controls -------------------------------------------------------------------------

/** Buttons of which one is pressed. @param {string} id @param {[string, string][]} options
 * @param {string} value @param {(value: string) => void} changed */
function segments(id, options, value, changed) {
  const place = at(id);
  const wanted = JSON.stringify(options);
  if (place.dataset.shown !== wanted) {
    place.dataset.shown = wanted;
    for (const old of place.querySelectorAll("label")) old.remove();
    for (const [key, text] of options) {
      const input = make("input", { type: "radio", name: id, value: key });
      input.addEventListener("change", () => changed(key));
      place.append(make("label", {}, input, make("span", {}, text)));
    }
  }
  for (const input of place.querySelectorAll("input")) input.checked = input.value === value;
}

function showGeometries() {
  const there = GEOMETRIES.filter((name) => data?.spectra?.[name]);
  if (there.length && !there.includes(chosen.geometry)) chosen.geometry = there[0];
  segments("geometries", there.map((name) => [name, shortName(name)]), chosen.geometry, (value) => {
    chosen.geometry = value;
    keep("geometry", value);
    showSpectra();
  });
}

function showResolutions() {
  const select = /** @type {HTMLSelectElement} */ (at("resolution"));
  const offered = data?.resolutions ?? [];
  const wanted = JSON.stringify(offered);
  if (select.dataset.shown !== wanted) {
    select.dataset.shown = wanted;
    select.replaceChildren(...offered.map((/** @type {number} */ r, /** @type {number} */ i) =>
      make("option", { value: i ? String(r) : "" }, `${significant(r, 4)} cm⁻¹${i ? "" : " (as stored)"}`)));
  }
  select.value = chosen.resolution;
}

function showFiles() {
  const link = (/** @type {string} */ path, /** @type {[string, string][]} */ query, /** @type {string} */ text, /** @type {string} */ label) => {
    const all = new URLSearchParams(query);
    if (chosen.resolution) all.append("resolution", chosen.resolution);
    return make("a", { href: `download/${path}?${all}`, download: "", "aria-label": label }, text);
  };
  for (const [where, name, title] of [["ir", "ir", "infrared"], ["raman", chosen.geometry, "Raman"]]) {
    const parts = charts[/** @type {"ir"|"raman"} */ (where)].curves.slice(0, -1).some((c) => c.shown);
    const query = /** @type {[string, string][]} */ ([["spectrum", name], ...(parts ? [["parts", "1"]] : [])]);
    at(`files-${where}`).replaceChildren("Figure", ...["png", "pdf", "svg"].map((kind) =>
      link(`figure.${kind}`, query, kind.toUpperCase(), `${title} figure as ${kind}`)),
    " Data", link("spectrum.jdx", [["spectrum", name]], "JCAMP-DX", `${title} spectrum as JCAMP-DX`));
  }
  at("files-all").replaceChildren(link("spectra.csv", [], "All spectra as CSV", "All spectra as CSV"),
    make("a", { href: "download/spectrum.h5", download: "" }, "Result file (HDF5)"));
}

/** @param {string} id @param {(value: string) => void} changed */
function onSelect(id, changed) {
  const select = /** @type {HTMLSelectElement} */ (at(id));
  select.addEventListener("change", () => changed(select.value));
  return select;
}

async function begin() {
  segments("ranges", RANGES.map(([name]) => [name, name]), "all", (value) => {
    const range = RANGES.find(([name]) => name === value)?.[1] ?? null;
    charts.ir.zoom(range);
    charts.raman.zoom(range);
  });
  onSelect("resolution", (value) => { chosen.resolution = value; dataVersion = ""; void fetchSpectra(); });
  const width = onSelect("width", (value) => { chosen.width = value; keep("width", value); if (data) showSpectra(); });
  width.value = chosen.width;
  const experiment = onSelect("experiment", (value) => { chosen.experiment = value; keep("experiment", value); if (data) showSpectra(); });
  readOut("ir", null);
  readOut("raman", null);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void look(); });
  void live();
  try {
    experiments = await ask("api/experiments");
    experiment.append(...experiments.map((e) => make("option", { value: e.name }, e.title)));
    experiment.value = chosen.experiment;
    if (data) showSpectra();
  } catch { /* without them */ }
}

void begin();
