// @ts-check
/** Words: numbers as people read them. It touches no element of the page. */

/** @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** How long ago. @param {number} seconds */
export function ago(seconds) {
  const [number, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"]
    : seconds < 172800 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  const whole = Math.round(Number(number));
  return `${counted(whole, String(unit))} ago`;
}

/** @param {number|null|undefined} value @param {number} digits */
export function fixed(value, digits = 0) {
  return value == null || !Number.isFinite(value) ? "–" : value.toFixed(digits).replace("-", "−");
}

/** So many of them. @param {number} number @param {string} word */
export function counted(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** So many significant digits, no exponent where it can be helped.
 * @param {number|null|undefined} value @param {number} digits */
export function significant(value, digits = 3) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    return `${mantissa.replace("-", "−")}·10${raised(Number(power))}`;
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** A relative error. @param {number|null|undefined} error */
export function percent(error) {
  if (error == null || !Number.isFinite(error)) return "–";
  if (error >= 1) return "> 100 %";
  return `${(100 * error).toFixed(error >= 0.1 ? 0 : 1)} %`;
}

/** @param {number} power */
export function raised(power) {
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const text = [...String(Math.abs(power))].map((d) => digits[Number(d)]).join("");
  return (power < 0 ? "⁻" : "") + text;
}

/** `cm^-1` as people write it. @param {string} unit */
export function unitText(unit) {
  return unit
    .replace(/\^(-?\d+)/g, (_, power) => raised(Number(power)))
    .replace(/a0/g, "a₀").replace(/Eh/g, "Eₕ").replace(/ /g, " ");
}

/** @type {Record<string, string>} */
const NAMES = {
  ir: "IR", raman: "Raman", raman_vv: "VV", raman_vh: "VH", raman_iso: "isotropic",
  raman_aniso: "anisotropic", raman_unpolarised: "unpolarised",
  depolarisation_ratio: "ρ = VH/VV",
};

/** Of a spectrum, where there is little room. @param {string} name */
export function shortName(name) {
  return { raman_iso: "iso", raman_aniso: "aniso", depolarisation_ratio: "ρ" }[name] ?? spectrumName(name);
}

/** Of a spectrum. @param {string} name */
export function spectrumName(name) {
  return NAMES[name] ?? name;
}

/** Moment of an event, in the time of whoever looks. @param {string} text */
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const today = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return today ? time : `${date.toLocaleDateString()} ${time}`;
}
