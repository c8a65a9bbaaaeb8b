package weir.columns;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** A cursor over Avro binary. Everything read lies within the data. */
final class Reader {
    private final ByteBuffer data;

    Reader(byte[] data) {
        this.data = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
    }

    long readLong() {
        long value = 0;
        for (int shift = 0;; shift += 7) {
            if (!data.hasRemaining()) {
                throw new ColumnsException("truncated", "the input ends within a number");
            }
            int b = data.get();
            if (shift == 63 && (b & 0xff) > 1) {
                throw new ColumnsException("varint", "a number has over 64 bits");
            }
            value |= (b & 0x7fL) << shift;
            if (b >= 0) {
                return Whole.unzigzag(value);
            }
        }
    }

    int readInt() {
        long value = readLong();
        if (value != (int) value) {
            throw new ColumnsException("value", value + " is no int");
        }
        return (int) value;
    }

    byte[] raw(long size) {
        if (size < 0) {
            throw new ColumnsException("length", "a length of " + size);
        }
        if (size > data.remaining()) {
            throw new ColumnsException("truncated", size + " bytes wanted, " + data.remaining() + " left");
        }
        byte[] raw = new byte[(int) size];
        data.get(raw);
        return raw;
    }

    byte[] readBytes() {
        return raw(readLong());
    }

    String readString() {
        return text(readBytes());
    }

    private ByteBuffer fixed(int size) {
        if (size > data.remaining()) {
            throw new ColumnsException("truncated", size + " bytes wanted, " + data.remaining() + " left");
        }
        return data;
    }

    float readFloat() {
        return fixed(4).getFloat();
    }

    double readDouble() {
        return fixed(8).getDouble();
    }

    /** The count of the next block of an array or map; 0: there is none. */
    long block() {
        long count = readLong();
        if (count >= 0) {
            return count;
        }
        long size = readLong();
        if (size < 0) {
            throw new ColumnsException("length", "a block of " + size + " bytes");
        }
        return count == Long.MIN_VALUE ? Long.MAX_VALUE : -count;
    }

    /** As block(), of items that have a byte each at least. */
    int smallBlock() {
        long count = block();
        if (count > data.remaining()) {
            throw new ColumnsException("truncated", count + " items wanted in " + data.remaining() + " bytes");
        }
        return (int) count;
    }

    void end(String what) {
        if (data.hasRemaining()) {
            throw new ColumnsException("left-over", data.remaining() + " bytes after " + what);
        }
    }

    private static String text(byte[] raw) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(raw)).toString();
        } catch (CharacterCodingException e) {
            throw new ColumnsException("utf8", "a string is not UTF-8");
        }
    }
}
