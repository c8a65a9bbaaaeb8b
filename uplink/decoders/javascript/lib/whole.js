// 64-bit integers, modulo 2^64, in their one form: a number where that is exact, else a BigInt. No -0.

const LOW = BigInt(Number.MIN_SAFE_INTEGER);
const HIGH = BigInt(Number.MAX_SAFE_INTEGER);

/** The form of any BigInt. */
export function whole(big) {
  const wrapped = BigInt.asIntN(64, big);
  return wrapped >= LOW && wrapped <= HIGH ? Number(wrapped) : wrapped;
}

export function add(a, b) {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) {
      return sum;
    }
  }
  return whole(BigInt(a) + BigInt(b));
}

export function multiply(a, b) {
  if (typeof a === "number" && typeof b === "number") {
    const product = a * b;
    if (Number.isSafeInteger(product)) {
      return product + 0;
    }
  }
  return whole(BigInt(a) * BigInt(b));
}

/** Of an unsigned BigInt or number. */
export function unzigzag(v) {
  if (typeof v === "number") {
    return v % 2 === 0 ? v / 2 : -(v + 1) / 2;
  }
  return whole(v & 1n ? -(v + 1n) / 2n : v / 2n);
}
