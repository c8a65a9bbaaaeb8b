package weir.columns;

/** A schema that is known and is none of Avro's: what has it is neither a batch nor a row of ours. */
public final class OtherSchemaException extends ColumnsException {
    private static final long serialVersionUID = 1L;

    private final String text;

    public OtherSchemaException(String text) {
        super("schema", text);
        this.text = text;
    }

    String text() {
        return text;
    }
}
