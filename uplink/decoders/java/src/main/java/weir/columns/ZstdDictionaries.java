package weir.columns;

import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/**
 * Unpacks zstd frames by trained dictionaries, which frames name by their numbers; frames without one, too. By zstd-jni, which kafka-clients brings; it
 * is looked for when a frame comes. Any thread.
 */
public final class ZstdDictionaries implements Zstd {
    private static final int MAGIC = 0xec30a437;

    private final Map<Integer, byte[]> byNumber = new HashMap<>();

    /** Each the bytes of a dictionary. */
    public ZstdDictionaries(Collection<byte[]> dictionaries) {
        for (byte[] dictionary : dictionaries) {
            ByteBuffer in = ByteBuffer.wrap(dictionary).order(ByteOrder.LITTLE_ENDIAN);
            if (dictionary.length < 8 || in.getInt() != MAGIC) {
                throw new IllegalArgumentException("not a trained zstd dictionary");
            }
            byNumber.put(in.getInt(), dictionary.clone());
        }
    }

    /** Of files. */
    public static ZstdDictionaries of(Collection<String> paths) throws IOException {
        Collection<byte[]> dictionaries = new java.util.ArrayList<>();
        for (String path : paths) {
            dictionaries.add(Files.readAllBytes(Path.of(path)));
        }
        return new ZstdDictionaries(dictionaries);
    }

    /** The number of the dictionary that a frame needs; 0: none. */
    static int number(byte[] frame) {
        int at = 6 - (frame[4] >> 5 & 1);
        int width = new int[] {0, 1, 2, 4}[frame[4] & 3];
        int number = 0;
        for (int i = 0; i < width && at + i < frame.length; i++) {
            number |= (frame[at + i] & 0xff) << 8 * i;
        }
        return number;
    }

    @Override
    public byte[] unpack(byte[] frame, int size) throws IOException {
        int number = number(frame);
        byte[] dictionary = byNumber.get(number);
        if (number != 0 && dictionary == null) {
            throw new IOException("it needs dictionary " + Integer.toUnsignedString(number) + ", which is not there");
        }
        try {
            Class<?> type = Class.forName("com.github.luben.zstd.ZstdDecompressCtx");
            Constructor<?> constructor = type.getConstructor();
            Method decompress = type.getMethod("decompress", byte[].class, int.class);
            try (AutoCloseable context = (AutoCloseable) constructor.newInstance()) {
                if (dictionary != null) {
                    type.getMethod("loadDict", byte[].class).invoke(context, (Object) dictionary);
                }
                return (byte[]) decompress.invoke(context, frame, size);
            }
        } catch (InvocationTargetException e) {
            throw new IOException(e.getCause().getMessage(), e.getCause());
        } catch (ClassNotFoundException e) {
            throw new IOException("zstd-jni is missing", e);
        } catch (Exception e) {
            throw new IOException(e);
        }
    }
}
