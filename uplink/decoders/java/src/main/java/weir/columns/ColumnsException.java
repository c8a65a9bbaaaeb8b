package weir.columns;

/** Input that is not a batch of the row schema it was decoded with. {@link #rule()} names the rule that it breaks. */
public class ColumnsException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String rule;

    public ColumnsException(String rule, String text) {
        super(rule + ": " + text);
        this.rule = rule;
    }

    /**
     * truncated, left-over, varint, count, mode, key, dictionary, width, index, length, branch, symbol, value, mantissa, utf8, nesting, budget, schema or
     * envelope: the same word in every decoder of the layout.
     */
    public String rule() {
        return rule;
    }
}
