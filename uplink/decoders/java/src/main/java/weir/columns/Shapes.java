package weir.columns;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Texts that were put together from shapes (section 6 of the layout's page): their columns, numbered on behind those of the row schema. */
final class Shapes {
    private static final int NESTING_MAX = 4;
    private static final int COLUMNS_MAX = 65536; // of all shapes of a batch
    private static final int TEXT_FREE = 16; // characters of a text that is put together that cost one value of the budget
    private static final int DIGITS_MAX = 18;
    private static final int WITH_POINT = 32;
    private static final int BARE = 64;
    private static final char NUMBER = '\u0001';
    private static final char TEXT = '\u0002';
    private static final char TIME = '\u0003';
    private static final char LIST = '\u0004';
    private static final long DAY_FIRST = -719528; // 0000-01-01
    private static final long DAY_LAST = 2932896; // 9999-12-31
    private static final long DAY_SECONDS = 86400;

    private final Columns columns;
    private int first;
    private int count;
    private int tables;
    private int depth;

    Shapes(Columns columns) {
        this.columns = columns;
    }

    /** columnCount: of the row schema. */
    void begin(int columnCount) {
        first = columnCount;
    }

    String[] texts(long[] indices, List<String> entries, Columns.Here here) {
        if (depth == NESTING_MAX) {
            throw new ColumnsException("nesting", "shapes nest deeper than " + NESTING_MAX);
        }
        depth++;
        Map<Integer, List<Integer>> uses = new LinkedHashMap<>();
        for (int i = 0; i < indices.length; i++) {
            uses.computeIfAbsent((int) indices[i], id -> new ArrayList<>()).add(i);
        }
        String[] texts = new String[indices.length];
        for (Map.Entry<Integer, List<Integer>> use : uses.entrySet()) {
            int[] at = use.getValue().stream().mapToInt(i -> i).toArray();
            int[] rows = at.length == indices.length ? here.rows : Arrays.stream(at).map(here::row).toArray();
            List<String> literals = new ArrayList<>();
            List<String[]> leaves = leaves(entries.get(use.getKey()), here.table, rows, at.length, literals);
            fill(literals, leaves, at, texts);
        }
        depth--;
        return texts;
    }

    /** What the marks of a shape stand for; what is between them is added to literals. */
    private List<String[]> leaves(String shape, int table, int[] rows, int n, List<String> literals) {
        List<String[]> leaves = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < shape.length(); i++) {
            char mark = shape.charAt(i);
            if (mark >= NUMBER && mark <= LIST) {
                literals.add(shape.substring(start, i));
                leaves.add(mark == TIME ? times(shape, i, here(table, rows, n)) : mark(mark, here(table, rows, n)));
                i += mark == TIME ? 2 : 0;
                start = i + 1;
            }
        }
        literals.add(shape.substring(start));
        return leaves;
    }

    private void fill(List<String> literals, List<String[]> leaves, int[] at, String[] texts) {
        int free = literals.stream().mapToInt(String::length).sum();
        for (int use = 0; use < at.length; use++) {
            long size = free;
            for (String[] leaf : leaves) {
                size += leaf[use].length();
            }
            columns.budget().pay(size / TEXT_FREE);
            StringBuilder text = new StringBuilder((int) size).append(literals.get(0));
            for (int k = 0; k < leaves.size(); k++) {
                text.append(leaves.get(k)[use]).append(literals.get(k + 1));
            }
            texts[at[use]] = text.toString();
        }
    }

    private Columns.Here here(int table, int[] rows, int n) {
        if (count == COLUMNS_MAX) {
            throw new ColumnsException("shapes", "over " + COLUMNS_MAX + " columns of shapes");
        }
        return new Columns.Here(first + count++, table, rows, n);
    }

    private String[] mark(char mark, Columns.Here here) {
        return mark == NUMBER ? numbers(here) : mark == TEXT ? columns.texts(here.count, List.of(), here) : lists(here);
    }

    private long[] integers(Columns.Here here) {
        long[] values = columns.integers(here.count, here);
        columns.register(here, values);
        return values;
    }

    private String[] numbers(Columns.Here here) {
        long mode = columns.one();
        if (mode == -1) {
            return columns.texts(here.count, List.of(), here);
        }
        int digits = (int) (mode & 31);
        long style = mode - digits;
        if (mode < 0 || digits > DIGITS_MAX || !(style == 0 || digits > 0 && (style == WITH_POINT || style == BARE))) {
            throw new ColumnsException("mode", "mode " + mode + " of printed numbers");
        }
        return Arrays.stream(integers(here)).mapToObj(m -> printed(m, digits, (int) style)).toArray(String[]::new);
    }

    private static String printed(long m, int digits, int style) {
        String text = Long.toString(m);
        boolean isNegative = m < 0;
        StringBuilder out = new StringBuilder(isNegative ? text.substring(1) : text);
        while (out.length() <= digits) {
            out.insert(0, '0');
        }
        int point = out.length() - digits;
        int end = out.length();
        while (style != 0 && end > point + (style == WITH_POINT ? 1 : 0) && out.charAt(end - 1) == '0') {
            end--;
        }
        out.setLength(end);
        if (end > point) {
            out.insert(point, '.');
        }
        return isNegative ? "-" + out : out.toString();
    }

    private String[] times(String shape, int at, Columns.Here here) {
        char between = at + 2 < shape.length() ? shape.charAt(at + 1) : 0;
        int digits = at + 2 < shape.length() ? shape.charAt(at + 2) - '0' : -1;
        if (between != 'T' && between != ' ' || digits < 0 || digits > 9) {
            throw new ColumnsException("mark", "a mark of a time is not whole");
        }
        return Arrays.stream(integers(here)).mapToObj(v -> time(v, between, digits)).toArray(String[]::new);
    }

    private static String time(long value, char between, int digits) {
        long unit = 1;
        for (int i = 0; i < digits; i++) {
            unit *= 10;
        }
        long seconds = Math.floorDiv(value, unit);
        long second = Math.floorMod(seconds, DAY_SECONDS);
        StringBuilder out = new StringBuilder(32);
        date(Math.floorDiv(seconds, DAY_SECONDS), out);
        out.append(between);
        padded(second / 3600, 2, out);
        padded(second / 60 % 60, 2, out.append(':'));
        padded(second % 60, 2, out.append(':'));
        if (digits > 0) {
            padded(Math.floorMod(value, unit), digits, out.append('.'));
        }
        return out.toString();
    }

    /** Years that begin with March: the day that some have more is their last. */
    private static void date(long day, StringBuilder out) {
        if (day < DAY_FIRST || day > DAY_LAST) {
            throw new ColumnsException("value", "a time's year has not four digits");
        }
        long era = Math.floorDiv(day + 719468, 146097);
        long ofEra = Math.floorMod(day + 719468, 146097L);
        long year = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146096) / 365;
        long ofYear = ofEra - (365 * year + year / 4 - year / 100);
        long shifted = (5 * ofYear + 2) / 153;
        long month = shifted < 10 ? shifted + 3 : shifted - 9;
        padded(era * 400 + year + (month <= 2 ? 1 : 0), 4, out);
        padded(month, 2, out.append('-'));
        padded(ofYear - (153 * shifted + 2) / 5 + 1, 2, out.append('-'));
    }

    private static void padded(long v, int digits, StringBuilder out) {
        String text = Long.toString(v);
        for (int i = text.length(); i < digits; i++) {
            out.append('0');
        }
        out.append(text);
    }

    private String[] lists(Columns.Here here) {
        Columns.Here unnumbered = here(--tables, null, 0);
        long[] lengths = integers(here);
        long total = 0;
        for (long length : lengths) {
            if (length < 0) {
                throw new ColumnsException("length", "below 0");
            }
            columns.budget().can(length);
            total += length;
        }
        int n = columns.budget().pay(total);
        String[] items = columns.texts(n, List.of(), new Columns.Here(unnumbered.column, unnumbered.table, null, n));
        String[] lists = new String[lengths.length];
        int at = 0;
        for (int i = 0; i < lists.length; i++) {
            lists[i] = join(items, at, at + (int) lengths[i]);
            at += (int) lengths[i];
        }
        return lists;
    }

    private String join(String[] items, int start, int end) {
        long size = Math.max(end - start - 1, 0);
        for (int i = start; i < end; i++) {
            size += items[i].length();
        }
        columns.budget().pay(size / TEXT_FREE);
        return String.join(",", Arrays.asList(items).subList(start, end));
    }
}
