package weir.columns;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Unpacks zstd frames, as batches of Kinesis and Pub/Sub come: for instance {@code com.github.luben.zstd.Zstd::decompress} of zstd-jni. */
@FunctionalInterface
public interface Zstd {
    int UNPACKED_MAX = 64 * 1024 * 1024;

    /** The content of a frame, which says that it has this size. */
    byte[] unpack(byte[] frame, int size) throws IOException;

    /** The content of a message that is a frame and says its size, as frames with batches do; any other message as it is. */
    static byte[] content(byte[] message, Zstd zstd) {
        long size = size(message);
        if (size >= 0 && zstd == null && ZstdDictionaries.number(message) != 0) {
            throw new ColumnsException("envelope", "a zstd frame that needs dictionary "
                + Integer.toUnsignedString(ZstdDictionaries.number(message)) + ", and none is set");
        }
        if (size < 0 || zstd == null) {
            return message;
        }
        if (size > UNPACKED_MAX) {
            throw new ColumnsException("envelope", "a zstd frame of " + size + " bytes, over " + UNPACKED_MAX);
        }
        byte[] content;
        try {
            content = zstd.unpack(message, (int) size);
        } catch (IOException | RuntimeException e) {
            throw new ColumnsException("envelope", "not a zstd frame: " + e.getMessage());
        }
        if (content.length != size) {
            throw new ColumnsException("envelope", "a zstd frame of " + content.length + " bytes that says " + size);
        }
        return content;
    }

    /** What a frame says it holds; -1: nothing, or it is no frame. */
    private static long size(byte[] frame) {
        ByteBuffer in = ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN);
        if (frame.length < 5 || in.getInt() != 0xfd2fb528) {
            return -1;
        }
        int descriptor = in.get();
        int single = descriptor >> 5 & 1;
        int at = 6 - single + new int[] {0, 1, 2, 4}[descriptor & 3];
        int width = new int[] {single, 2, 4, 8}[descriptor >> 6 & 3];
        if (width == 0 || frame.length < at + width) {
            return -1;
        }
        long size = width == 2 ? 256 : 0;
        for (int i = 0; i < width; i++) {
            size += (frame[at + i] & 0xffL) << 8 * i;
        }
        return size < 0 ? Long.MAX_VALUE : size;
    }
}
