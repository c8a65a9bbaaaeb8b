package weir.columns;

import java.io.IOException;
import org.apache.avro.Schema;

/** Where schemas are found by their ids: a registry, or what else a consumer has. Any thread. */
@FunctionalInterface
public interface SchemaSource {
    /**
     * The parsed schema, with its properties.
     *
     * @throws IOException it can't be asked now: whoever asks may try again
     * @throws OtherSchemaException it is no Avro schema
     * @throws ColumnsException there is none of this id
     */
    Schema schema(SchemaId id) throws IOException;
}
