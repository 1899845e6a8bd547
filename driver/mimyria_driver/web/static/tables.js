// @ts-check
/** Tables: what is known of bands, convergence, checks and events, as elements.
 *
 * Texts of a run are set as text, never as markup. */
import { duration, fixed, moment, percent, significant, spectrumName } from "./words.js";

/** An element. @param {string} tag @param {Record<string, string>} attributes
 * @param {...(Node|string)} children */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} id */
export function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/** @param {string[]} names */
function head(...names) {
  return make("thead", {}, make("tr", {}, ...names.map((n) => make("th", { scope: "col" }, n))));
}

/** Bands of the shown spectra. @param {any} data @param {string[]} names
 * @param {any[]} measured bands of an experiment */
export function showBands(data, names, measured) {
  const rows = names.flatMap((name) => (data?.spectra?.[name]?.bands ?? []).map((/** @type {any} */ band) => {
    const family = name === "ir" ? "ir" : "raman";
    const known = measured.find((m) => m.spectrum.startsWith(family) && m.low <= band.position && band.position <= m.high);
    const error = band.position_error == null ? "" : ` ± ${significant(band.position_error, 2)}`;
    const label = family === "ir" ? "IR" : `Raman ${spectrumName(name)}`;
    const cells = [`${fixed(band.position, 1)}${error}`, significant(band.height, 4), percent(band.error)];
    if (measured.length) cells.push(known ? `${known.position}${known.memory ? "*" : ""}` : "");
    return make("tr", { "data-spectrum": name, "data-position": String(band.position) },
      make("th", { scope: "row" }, label), ...cells.map((c) => make("td", {}, c)));
  }));
  if (!rows.length) {
    at("bands").replaceChildren();
    at("bands-note").textContent = "None stands out from the noise yet.";
    return;
  }
  const titles = ["Spectrum", "Position / cm⁻¹", "Height", "Error"];
  if (measured.length) titles.push("Experiment");
  at("bands").replaceChildren(head(...titles), make("tbody", {}, ...rows));
  const unknown = names.some((n) => (data.spectra[n]?.bands ?? []).some((/** @type {any} */ b) => b.position_error == null));
  const notes = [unknown ? "Errors of positions come with the blocks of a longer run." : "± is one standard error, from blocks of the run."];
  if (measured.some((m) => m.memory)) notes.push("* quoted from memory of the literature.");
  at("bands-note").textContent = notes.join(" ");
}

/** @param {any} status */
export function showConvergence(status) {
  const bands = status?.bands ?? [];
  if (!bands.length) {
    at("convergence").replaceChildren();
    at("convergence-note").textContent = "Nothing is known before the first result.";
    return;
  }
  const rows = bands.map((/** @type {any} */ band) => {
    const name = band.name === "ir" ? "IR" : "Raman VV";
    const left = band.target == null ? "–" : timeLeft(band, status);
    const done = band.target == null || !band.error ? 0 : Math.min(1, (band.target / band.error) ** 2);
    const words = `${Math.floor(100 * done)} % of the frames needed`;
    const bar = make("progress", { max: "1", value: String(done), "aria-label": words });
    return make("tr", { "data-band": band.name },
      make("th", { scope: "row" }, `${name} ${fixed(band.low)}–${fixed(band.high)}`),
      make("td", {}, `± ${percent(band.error)}`),
      make("td", {}, band.target == null ? "–" : percent(band.target)),
      make("td", {}, bar, `${Math.floor(100 * done)} %`),
      make("td", {}, left));
  });
  at("convergence").replaceChildren(
    head("Range / cm⁻¹", "Error", "Wanted", "Done", "Time left"), make("tbody", {}, ...rows));
  const blocks = bands.every((/** @type {any} */ b) => b.from_blocks);
  at("convergence-note").textContent = blocks
    ? "Errors come from the scatter between blocks of the run."
    : "Errors come from theory until the run has enough blocks.";
}

/** @param {any} band @param {any} status */
function timeLeft(band, status) {
  if (band.error == null || band.needed == null) return "–";
  const frames = band.needed - (status.durable ?? 0);
  if (frames <= 0) return "reached";
  if (status.state !== "running" || !(status.rate > 0)) return "–";
  return duration(frames / status.rate);
}

const SIGNS = /** @type {Record<string, string>} */ ({ ok: "✓ ok", look: "! look", wrong: "✕ wrong" });

/** @param {any[]} diagnostics */
export function showChecks(diagnostics) {
  const place = at("checks");
  const open = place.querySelector("details")?.open ?? false;
  const count = (/** @type {string} */ verdict) => diagnostics.filter((d) => d.verdict === verdict).length;
  const words = [["wrong", "wrong"], ["look", "to look at"], ["ok", "ok"]]
    .map(([verdict, word]) => [count(verdict), word]).filter(([n]) => n);
  at("checks-summary").textContent = words.map(([n, word]) => `${n} ${word}`).join(", ");
  if (!diagnostics.length) {
    place.replaceChildren(make("p", { class: "quiet" }, "There are none yet."));
    return;
  }
  const doubtful = ["wrong", "look"].flatMap((v) => diagnostics.filter((d) => d.verdict === v));
  const fine = diagnostics.filter((d) => d.verdict === "ok");
  const parts = doubtful.length ? [checkTable(doubtful)] : [make("p", {}, "All checks are well.")];
  if (fine.length) {
    const details = make("details", open ? { open: "" } : {}, make("summary", {}, `${fine.length} checks that are ok`), checkTable(fine));
    parts.push(details);
  }
  place.replaceChildren(...parts);
}

/** @param {any[]} diagnostics */
function checkTable(diagnostics) {
  const rows = diagnostics.flatMap((d) => {
    const error = d.error == null ? "" : ` ± ${significant(d.error, 2)}`;
    const told = d.verdict !== "ok" && d.sentence;
    const row = make("tr", told ? { class: "told" } : {},
      make("th", { scope: "row" }, d.name), make("td", {}, `${significant(d.value, 3)}${error}`),
      make("td", {}, significant(d.expected, 3)),
      make("td", {}, make("span", { class: "verdict", "data-verdict": d.verdict }, SIGNS[d.verdict] ?? d.verdict)));
    return told ? [row, make("tr", {}, make("td", { class: "sentence", colspan: "4" }, d.sentence))] : [row];
  });
  return make("div", { class: "wide" }, make("table", { class: "checks" },
    head("Check", "Found", "Expected", "Verdict"), make("tbody", {}, ...rows)));
}

/** @param {any} state */
export function showEvents(state) {
  const item = (/** @type {any} */ e) => make("li", { "data-level": e.level },
    make("time", { datetime: e.ts }, moment(e.ts)), make("b", {}, e.level === "info" ? e.code : `${e.level}: ${e.code}`), e.msg);
  const now = (state.status?.conditions ?? []).map((/** @type {any} */ c) =>
    make("li", { "data-level": c.level === "critical" ? "error" : "warning" }, make("b", {}, `now: ${c.name}`), c.text));
  const bad = state.events.filter((/** @type {any} */ e) => e.level !== "info").slice(0, 12).map(item);
  const none = make("li", {}, "None.");
  at("warnings").replaceChildren(...(now.length + bad.length ? [...now, ...bad] : [none]));
  at("events").replaceChildren(...state.events.map(item));
}
