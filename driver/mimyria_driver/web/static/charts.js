// @ts-check
/** Charts: a spectrum with its parts and error bands, drawn by uPlot.
 *
 * A chart gets curves and says which point the pointer is at. It asks no server. */
import uPlot from "./uplot/uPlot.esm.js";
import { raised, significant } from "./words.js";

/** @typedef {{label: string, colour: string, shown: boolean,
 *   intensity: (number|null)[], error: (number|null)[]|null}} Curve */
/** @typedef {{position: number, name: string}} Mark */

const GUTTER = 46;
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** Value of a colour of the style sheet. @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** @param {string} hex @param {number} alpha */
function faded(hex, alpha) {
  return hex + Math.round(255 * alpha).toString(16).padStart(2, "0");
}

export class Chart {
  /** @param {HTMLElement} place @param {(index: number|null) => void} pointed */
  constructor(place, pointed) {
    this.place = place;
    this.pointed = pointed;
    /** @type {any} */
    this.plot = null;
    /** @type {number[]} */
    this.grid = [];
    /** @type {Curve[]} */
    this.curves = [];
    /** @type {Mark[]} */
    this.marks = [];
    this.width = 1;
    /** @type {[number, number]|null} */
    this.range = null;
    this.exponent = 0;
    this.signature = "";
    /** @type {number|null} */
    this.index = null;
    new ResizeObserver(() => this.resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    place.addEventListener("keydown", (event) => this.key(event));
  }

  /** Show curves; those of before stay in place where they are the same kind.
   * @param {number[]} grid @param {Curve[]} curves @param {number} width errors in a band
   * @param {Mark[]} marks */
  show(grid, curves, width, marks) {
    // The total is drawn last, over its parts.
    Object.assign(this, { grid, width, marks, curves: [...curves.slice(1), curves[0]] });
    const largest = curves[0].intensity.reduce((/** @type {number} */ most, y) => Math.max(most, Math.abs(y ?? 0)), 0);
    this.exponent = largest > 0 ? 3 * Math.floor(Math.log10(largest) / 3) : 0;
    if (this.exponent === -3 && largest >= 0.1) this.exponent = 0;
    const signature = JSON.stringify([marks.length > 0, curves.map((c) => [c.label, c.colour]), width > 0]);
    if (this.plot && signature === this.signature) {
      this.plot.batch(() => {
        this.curves.forEach((c, i) => {
          for (const j of [0, 1, 2]) this.plot.setSeries(1 + 3 * i + j, { show: c.shown });
        });
        this.plot.setData(this.data(), false);
        this.zoom(this.range);
      });
      return;
    }
    this.signature = signature;
    this.rebuild();
  }

  /** @param {string} text instead of a chart */
  empty(text) {
    this.plot?.destroy();
    this.plot = null;
    this.signature = "";
    const note = document.createElement("p");
    note.className = "empty";
    note.textContent = text;
    this.place.replaceChildren(note);
  }

  /** @param {[number, number]|null} range cm⁻¹; null: all */
  zoom(range) {
    this.range = range;
    if (!this.plot || !this.grid.length) return;
    const [min, max] = range ?? [0, Math.min(4000, this.grid[this.grid.length - 1])];
    this.plot.setScale("x", { min, max });
  }

  /** x, and of each curve its lower and upper edge and itself. */
  data() {
    /** @type {any[]} */
    const columns = [this.grid];
    for (const { intensity, error } of this.curves) {
      const edge = (/** @type {number} */ sign) => intensity.map((y, i) =>
        y == null || error?.[i] == null ? null : y + sign * this.width * Number(error[i]));
      columns.push(edge(-1), edge(1), intensity);
    }
    return columns;
  }

  rebuild() {
    if (!this.curves.length) return;
    this.plot?.destroy();
    this.place.replaceChildren();
    const axis = {
      stroke: colour("quiet"), font: FONT,
      grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("line"), width: 1, size: 5 },
    };
    const series = this.curves.flatMap((curve, i) => {
      const line = colour(curve.colour);
      const edge = { stroke: "transparent", width: 0, points: { show: false }, show: curve.shown, auto: false };
      return [edge, edge, {
        label: curve.label, stroke: line, width: i === this.curves.length - 1 ? 1.8 : 1.3, show: curve.shown,
        points: { show: false }, dash: curve.label.includes("×") ? [5, 3] : undefined,
      }];
    });
    const bands = this.width > 0 ? this.curves.map((curve, i) => ({
      series: [3 * i + 2, 3 * i + 1], fill: faded(colour(curve.colour), 0.22),
    })) : [];
    this.plot = new uPlot({
      width: this.place.clientWidth, height: this.place.clientHeight,
      legend: { show: false }, padding: [this.marks.length ? 32 : 12, 10, 0, 0],
      cursor: {
        y: false, drag: { x: true, y: false, setScale: true },
        points: { size: 7, show: (/** @type {any} */ u, /** @type {number} */ i) => i % 3 === 0 && this.dot(u, i) },
      },
      scales: { x: { time: false }, y: { range: (/** @type {any} */ _u, /** @type {number|null} */ low, /** @type {number|null} */ high) => this.limits(low, high) } },
      axes: [
        { ...axis, space: 64, size: 30, label: "ν̃ / cm⁻¹", labelSize: 20, labelGap: 0, labelFont: axis.font, values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((t) => String(t)) },
        { ...axis, size: GUTTER, space: 40, values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) =>
          ticks.map((t) => significant(t / 10 ** this.exponent, 4)) },
      ],
      series: [{}, ...series], bands,
      hooks: {
        setCursor: [(/** @type {any} */ u) => this.point(u.cursor.idx ?? null)],
        draw: [(/** @type {any} */ u) => this.drawMarks(u)],
      },
    }, this.data(), this.place);
    this.zoom(this.range);
  }

  /** @param {any} u @param {number} index of a series */
  dot(u, index) {
    const point = document.createElement("div");
    point.style.background = u.series[index]._stroke ?? colour(this.curves[index / 3 - 1].colour);
    return point;
  }

  /** Of the ordinate: the curves in the range, zero, and a little room.
   * @param {number|null} low @param {number|null} high of what is shown */
  limits(low, high) {
    const bottom = Math.min(0, low ?? 0);
    const top = Math.max(0, high ?? 0);
    if (!(top > bottom)) return [0, 1];
    const room = (top - bottom) * 0.14;
    return [bottom < 0 ? bottom - room : 0, top + room];
  }

  /** Positions of an experiment, as dashed lines with their names. @param {any} u */
  drawMarks(u) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("quiet");
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 4 * ratio]);
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    const free = [-Infinity, -Infinity]; // of two rows of names
    for (const { position, name } of [...this.marks].sort((a, b) => a.position - b.position)) {
      if (position < u.scales.x.min || position > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(position, "x", true));
      const half = ctx.measureText(name).width / 2;
      const middle = Math.min(Math.max(x, bbox.left + half), bbox.left + bbox.width - half);
      const row = free.findIndex((end) => middle - half > end);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (row < 0) continue;
      ctx.textAlign = "center";
      ctx.fillText(name, middle, bbox.top - (5 + 14 * row) * ratio);
      free[row] = middle + half + 8 * ratio;
    }
    ctx.restore();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.place;
    if (this.plot && width && height) this.plot.setSize({ width, height });
  }

  /** @param {number|null} index of the grid that the pointer is at */
  point(index) {
    this.index = index;
    this.pointed(index);
  }

  /** Arrows move along the curve, Escape shows all. @param {KeyboardEvent} event */
  key(event) {
    if (!this.plot) return;
    if (event.key === "Escape") return this.zoom(null);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const { min, max } = this.plot.scales.x;
    const visible = this.grid.findIndex((x) => x >= min);
    const now = this.index ?? visible;
    const next = Math.min(Math.max(now + step * (event.shiftKey ? 20 : 2), 0), this.grid.length - 1);
    if (this.grid[next] < min || this.grid[next] > max) return;
    this.plot.setCursor({ left: this.plot.valToPos(this.grid[next], "x"), top: 20 });
    this.point(next);
  }

  /** Factor of the ordinate, for its title; empty: one. */
  get factor() {
    return this.exponent ? `10${raised(this.exponent)} ` : "";
  }
}
