/** The one error of this package: input that is not a batch of the row schema it was decoded with. `code` names the rule that it breaks. */
export class ColumnsError extends Error {
  constructor(code, text) {
    super(`${code}: ${text}`);
    this.name = "ColumnsError";
    this.code = code;
  }
}
