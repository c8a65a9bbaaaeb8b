package weir.columns;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The columns of one batch in the order of the walk: from three tapes to values. */
final class Columns {
    private static final int TEXT_FREE = 16; // characters of a text, or bytes, that cost one value of the budget more, in each row
    private static final long NUMBER_MAX = 999_999_999_999_999L; // in a template
    private static final int FREQUENT = 8; // uses from which a template has columns of its own
    private static final char SLOT = '\u0001';
    private static final long BYTES_AS_TEXTS = 3; // in place of a bytes column's first mode
    private static final long MANTISSA_MAX = 1L << 53;
    private static final double[] POWERS = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22};

    /** Whose values a column holds: these rows of its table; rows null: the first {@code count}, which are all. */
    static final class Here {
        final int column;
        final int table;
        final int[] rows;
        final int count;

        Here(int column, int table, int[] rows, int count) {
            this.column = column;
            this.table = table;
            this.rows = rows;
            this.count = count;
        }

        int row(int i) {
            return rows == null ? i : rows[i];
        }
    }

    private static final class Key {
        final Here here;
        final long[] values;

        Key(Here here, long[] values) {
            this.here = here;
            this.values = values;
        }
    }

    private final Batch batch;
    private final Budget budget;
    private final Map<Integer, Key> keys = new HashMap<>();
    private final Shapes shapes = new Shapes(this);
    private int atInts;
    private int atStrings;
    private int atPlanes;

    Columns(Batch batch, Budget budget) {
        this.batch = batch;
        this.budget = budget;
    }

    Budget budget() {
        return budget;
    }

    Shapes shapes() {
        return shapes;
    }

    /** From now on the column may be the key of later ones. */
    void register(Here here, long[] values) {
        keys.put(here.column, new Key(here, values));
    }

    // --- tapes ---

    long one() {
        return ints(1)[0];
    }

    private long[] ints(int n) {
        if (n > batch.ints.length - atInts) {
            throw new ColumnsException("truncated", "`ints` ends early");
        }
        atInts += n;
        return Arrays.copyOfRange(batch.ints, atInts - n, atInts);
    }

    private List<String> strings(int n) {
        if (n > batch.strings.size() - atStrings) {
            throw new ColumnsException("truncated", "`strings` ends early");
        }
        atStrings += n;
        return batch.strings.subList(atStrings - n, atStrings);
    }

    /** Where the next bytes of `planes` begin. */
    private int planes(long size) {
        if (size > batch.planes.length - atPlanes) {
            throw new ColumnsException("truncated", "`planes` ends early");
        }
        atPlanes += (int) size;
        return atPlanes - (int) size;
    }

    void end() {
        if (atInts != batch.ints.length || atStrings != batch.strings.size() || atPlanes != batch.planes.length) {
            throw new ColumnsException("left-over", "a tape is not used up");
        }
    }

    // --- integers ---

    /** Values without a key. */
    long[] integers(int n) {
        return integers(n, null);
    }

    /** Values; with {@code here} an earlier column of its table may be the key. */
    long[] integers(int n, Here here) {
        if (n == 0) {
            return new long[0];
        }
        budget.pay(n);
        long mode = one();
        if (mode < 0) {
            long[] values = new long[n];
            Arrays.fill(values, Whole.unzigzag(-1 - mode));
            return values;
        }
        int order = (int) (mode & 3);
        long key = mode >>> 6;
        boolean isDictionary = (mode & 16) != 0;
        boolean isDivided = (mode & 32) != 0;
        if (order == 3 || isDictionary && isDivided || key > 0 && (isDictionary || isDivided)) {
            throw new ColumnsException("mode", "mode " + mode + " of an integer column");
        }
        Key found = key > 0 ? key(key - 1, here) : null;
        long m = (mode & 4) != 0 ? one() : n;
        if (m < 0 || m > n) {
            throw new ColumnsException("count", m + " residuals for " + n + " values");
        }
        long divisor = isDivided ? one() : 1;
        long[] entries = isDictionary ? dictionary(n) : null;
        long[] residuals = Arrays.copyOf((mode & 8) != 0 ? fromPlanes((int) m) : ints((int) m), n);
        if (found != null) {
            return undoKeyed(order, found, here, residuals);
        }
        long[] values = Whole.undo(order, isDivided, divisor, residuals);
        for (int i = 0; entries != null && i < n; i++) {
            if (values[i] < 0 || values[i] >= entries.length) {
                throw new ColumnsException("index", "beyond a dictionary's entries");
            }
            values[i] = entries[(int) values[i]];
        }
        return values;
    }

    private long[] dictionary(int n) {
        long u = one();
        if (u < 1 || u > n) {
            throw new ColumnsException("dictionary", "a dictionary of " + u + " for " + n + " values");
        }
        return Whole.undo(1, false, 1, ints((int) u));
    }

    private long[] fromPlanes(int m) {
        if (m < 1) {
            throw new ColumnsException("count", "planes without a residual");
        }
        long[] residuals = new long[m];
        residuals[0] = one();
        long width = one();
        if (width < 1 || width > 8) {
            throw new ColumnsException("width", "planes of " + width + " bytes");
        }
        int size = m - 1;
        int start = planes(size * width);
        for (int i = 0; i < size; i++) {
            long v = 0;
            for (int p = 0; p < width; p++) {
                v = v << 8 | batch.planes[start + p * size + i] & 0xffL;
            }
            residuals[i + 1] = Whole.unzigzag(v);
        }
        return residuals;
    }

    private Key key(long column, Here here) {
        Key found = here != null && column < here.column ? keys.get((int) column) : null;
        if (found == null || found.here.table != here.table) {
            throw new ColumnsException("key", "column " + column + " can't be the key here");
        }
        return found;
    }

    private static long[] undoKeyed(int order, Key key, Here here, long[] residuals) {
        Map<Long, Integer> numbers = new HashMap<>();
        int[] series = new int[residuals.length];
        int absent = -1;
        int at = 0;
        for (int i = 0; i < residuals.length; i++) {
            while (at < key.here.count && key.here.row(at) < here.row(i)) {
                at++;
            }
            boolean isThere = at < key.here.count && key.here.row(at) == here.row(i);
            if (!isThere && absent < 0) {
                absent = numbers.size();
                numbers.put(null, absent);
            }
            int next = numbers.size();
            series[i] = isThere ? numbers.computeIfAbsent(key.values[at], v -> next) : absent;
        }
        return Whole.undoKeyed(order, series, numbers.size(), residuals);
    }

    // --- numbers ---

    /** The bits of doubles, or of floats. */
    long[] numberBits(int n, boolean isDouble, Here here) {
        if (n == 0) {
            return new long[0];
        }
        long mode = one();
        if (mode == -1) {
            long[] bits = integers(n, here);
            if (!isDouble && (Whole.min(bits) < Integer.MIN_VALUE || Whole.max(bits) > Integer.MAX_VALUE)) {
                throw new ColumnsException("value", "the bits of a float have over 32 bits");
            }
            return bits;
        }
        int scale = (int) (mode & 31);
        boolean isSingle = (mode & 64) != 0;
        if (mode < -1 || mode > 127 || scale > 22 || isSingle && !isDouble) {
            throw new ColumnsException("mode", "mode " + mode + " of a number column");
        }
        long[] values = integers(n, here);
        if (Whole.max(values) >= MANTISSA_MAX || Whole.min(values) <= -MANTISSA_MAX) {
            throw new ColumnsException("mantissa", "2^53 or more");
        }
        long[] corrections = (mode & 32) != 0 ? integers(n) : null;
        for (int i = 0; i < n; i++) {
            double value = values[i] / POWERS[scale];
            long correction = corrections == null ? 0 : corrections[i];
            if (isDouble && !isSingle) {
                values[i] = Double.doubleToRawLongBits(value) + correction;
            } else {
                int bits = Float.floatToRawIntBits((float) value) + (int) correction;
                values[i] = isDouble ? Double.doubleToRawLongBits((double) Float.intBitsToFloat(bits)) : bits;
            }
        }
        return values;
    }

    // --- strings ---

    /** Values, each distinct one a single object; the column is registered. */
    String[] texts(int n, List<String> known, Here here) {
        if (n == 0) {
            return new String[0];
        }
        long mode = one();
        if (mode < 0) {
            return constantText(-1 - mode, n, known, here);
        }
        if (mode == 2) {
            budget.pay(n);
            long[] indices = new long[n];
            Arrays.setAll(indices, i -> i);
            register(here, indices);
            return strings(n).toArray(new String[0]);
        }
        if (mode > 3) {
            throw new ColumnsException("mode", "mode " + mode + " of a string column");
        }
        long[] indices = integers(n);
        List<String> entries = new ArrayList<>(known);
        entries.addAll(fresh(Whole.max(indices), n, known));
        if (Whole.min(indices) < 0) {
            throw new ColumnsException("index", "below 0");
        }
        if (mode == 1) {
            return templated(indices, entries);
        }
        if (mode == 3) {
            return shapes.texts(indices, entries, here);
        }
        register(here, indices);
        String[] values = new String[n];
        Arrays.setAll(values, i -> entries.get((int) indices[i]));
        for (String value : values) {
            budget.pay(value.length() / TEXT_FREE); // rows share it here, but not where they go to
        }
        return values;
    }

    private String[] constantText(long index, int n, List<String> known, Here here) {
        budget.pay(n);
        List<String> fresh = fresh(index, n, known);
        long[] indices = new long[n];
        Arrays.fill(indices, index);
        register(here, indices);
        String[] values = new String[n];
        Arrays.fill(values, index < known.size() ? known.get((int) index) : fresh.get(fresh.size() - 1));
        budget.pay((long) n * (values[0].length() / TEXT_FREE));
        return values;
    }

    private List<String> fresh(long largest, int n, List<String> known) {
        if (largest >= (long) known.size() + n) {
            throw new ColumnsException("index", "string " + largest + " of " + known.size() + " known ones and " + n + " values");
        }
        return strings(largest < known.size() ? 0 : (int) (largest + 1 - known.size()));
    }

    private String[] templated(long[] indices, List<String> entries) {
        Map<Integer, List<Integer>> uses = new LinkedHashMap<>();
        for (int row = 0; row < indices.length; row++) {
            uses.computeIfAbsent((int) indices[row], i -> new ArrayList<>()).add(row);
        }
        Map<Integer, long[][]> numbers = new HashMap<>();
        long rare = 0;
        for (Map.Entry<Integer, List<Integer>> use : uses.entrySet()) {
            int slots = slots(entries.get(use.getKey()));
            if (use.getValue().size() >= FREQUENT) {
                budget.can((long) slots * use.getValue().size());
                long[][] columns = new long[slots][];
                for (int slot = 0; slot < slots; slot++) {
                    columns[slot] = printable(use.getValue().size());
                }
                numbers.put(use.getKey(), columns);
            } else {
                rare += (long) slots * use.getValue().size();
            }
        }
        budget.can(rare);
        long[] rest = printable((int) rare);
        int start = 0;
        String[] values = new String[indices.length];
        for (Map.Entry<Integer, List<Integer>> use : uses.entrySet()) {
            String template = entries.get(use.getKey());
            List<Integer> rows = use.getValue();
            long[][] columns = numbers.get(use.getKey());
            budget.pay((long) rows.size() * (template.length() / TEXT_FREE));
            for (int i = 0; i < rows.size(); i++) {
                values[rows.get(i)] = fill(template, columns, rest, start, rows.size(), i);
            }
            start += columns == null ? slots(template) * rows.size() : 0;
        }
        return values;
    }

    private static int slots(String template) {
        return (int) template.chars().filter(c -> c == SLOT).count();
    }

    private static String fill(String template, long[][] columns, long[] rest, int start, int uses, int use) {
        StringBuilder out = new StringBuilder(template.length() + 8);
        int slot = 0;
        for (int i = 0; i < template.length(); i++) {
            if (template.charAt(i) == SLOT) {
                out.append(columns != null ? columns[slot][use] : rest[start + slot * uses + use]);
                slot++;
            } else {
                out.append(template.charAt(i));
            }
        }
        return out.toString();
    }

    private long[] printable(int n) {
        long[] numbers = integers(n);
        for (long v : numbers) {
            if (v < 0 || v > NUMBER_MAX) {
                throw new ColumnsException("value", "a number in a text is negative or has over 15 digits");
            }
        }
        return numbers;
    }

    // --- bytes ---

    /** fixed: size of each value, or -1: each has a length. The column is registered. */
    byte[][] raws(int n, int fixed, Here here) {
        if (n == 0) {
            return new byte[0][];
        }
        if (fixed < 0 && atInts < batch.ints.length && batch.ints[atInts] == BYTES_AS_TEXTS) {
            atInts++;
            byte[][] raws = new byte[n][];
            String[] texts = texts(n, List.of(), here);
            Arrays.setAll(raws, i -> texts[i].getBytes(StandardCharsets.UTF_8));
            return raws;
        }
        long[] indices = integers(n, here);
        register(here, indices);
        long largest = Whole.max(indices);
        if (Whole.min(indices) < 0 || largest >= n) {
            throw new ColumnsException("index", largest + " of " + n + " rows");
        }
        int count = (int) largest + 1;
        long[] lengths = fixed < 0 ? integers(count) : new long[count];
        if (fixed >= 0) {
            Arrays.fill(lengths, fixed);
        }
        if (Whole.min(lengths) < 0) {
            throw new ColumnsException("length", "below 0");
        }
        byte[][] distinct = new byte[count][];
        for (int i = 0; i < count; i++) {
            int start = planes(lengths[i]);
            distinct[i] = Arrays.copyOfRange(batch.planes, start, start + (int) lengths[i]);
        }
        byte[][] values = new byte[n][];
        Arrays.setAll(values, i -> distinct[(int) indices[i]]);
        for (byte[] value : values) {
            budget.pay(value.length / TEXT_FREE);
        }
        return values;
    }

    /** As raws(), of a decimal. */
    byte[][] decimals(int n, int fixed, Here here) {
        if (n == 0) {
            return new byte[0][];
        }
        long mode = one();
        if (mode == 1) {
            return raws(n, fixed, here);
        }
        if (mode != 0) {
            throw new ColumnsException("mode", "mode " + mode + " of a decimal");
        }
        long[] numbers = integers(n, here);
        register(here, numbers);
        budget.pay(fixed < 0 ? 0 : (long) n * (fixed / TEXT_FREE));
        byte[][] values = new byte[n][];
        Arrays.setAll(values, i -> twosComplement(numbers[i], fixed));
        return values;
    }

    private static byte[] twosComplement(long v, int fixed) {
        byte[] shortest = BigInteger.valueOf(v).toByteArray();
        if (fixed < 0) {
            return shortest;
        }
        if (shortest.length > fixed) {
            throw new ColumnsException("value", "a decimal of over " + fixed + " bytes");
        }
        byte[] raw = new byte[fixed];
        Arrays.fill(raw, (byte) (v < 0 ? -1 : 0));
        System.arraycopy(shortest, 0, raw, fixed - shortest.length, shortest.length);
        return raw;
    }
}
