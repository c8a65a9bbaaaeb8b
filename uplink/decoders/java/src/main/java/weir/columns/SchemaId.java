package weir.columns;

import java.util.Arrays;

/** How a schema is found: by a registry's number, by CRC-64-AVRO (8 bytes, little endian) or by Glue's version (16 bytes). */
public final class SchemaId {
    private final int number;
    private final byte[] bytes;

    private SchemaId(int number, byte[] bytes) {
        this.number = number;
        this.bytes = bytes;
    }

    public static SchemaId of(int number) {
        return new SchemaId(number, null);
    }

    public static SchemaId of(byte[] bytes) {
        return new SchemaId(0, bytes.clone());
    }

    public boolean isNumber() {
        return bytes == null;
    }

    /** Of a registry. */
    public int number() {
        return number;
    }

    /** 8 or 16; null of a registry. */
    public byte[] bytes() {
        return bytes == null ? null : bytes.clone();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SchemaId && number == ((SchemaId) other).number && Arrays.equals(bytes, ((SchemaId) other).bytes);
    }

    @Override
    public int hashCode() {
        return 31 * number + Arrays.hashCode(bytes);
    }

    /** The number in decimal, bytes in hexadecimal. */
    @Override
    public String toString() {
        if (bytes == null) {
            return Integer.toString(number);
        }
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }
}
