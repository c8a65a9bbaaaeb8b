// Logical types as JavaScript has them, where it has one that is exact.

const DAY = 86400000;

function date(milliseconds, otherwise) {
  const d = new Date(Number(milliseconds));
  return Number.isNaN(d.getTime()) ? otherwise : d;
}

function decimal(raw, scale) {
  const hex = Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const unscaled = BigInt.asIntN(8 * raw.length, BigInt(`0x0${hex}`)); // byte by byte it would take the square of their number
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  return (unscaled < 0n ? "-" : "") + digits.slice(0, point) + (scale > 0 ? "." + digits.slice(point) : "");
}

function uuid(raw) {
  return Array.from(raw, (b, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + b.toString(16).padStart(2, "0")).join("");
}

/** A function for values of this type, or null. */
export function converter(type) {
  switch (type.logical) {
    case "date":
      return (v) => date(v * DAY, v);
    case "timestamp-millis":
    case "local-timestamp-millis":
      return (v) => date(v, v);
    case "decimal":
      return (raw) => decimal(raw, type.scale);
    case "uuid":
      return type.kind === "fixed" ? uuid : null;
    default:
      return null;
  }
}
