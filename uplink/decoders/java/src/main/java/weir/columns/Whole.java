package weir.columns;

/** 64-bit integers, modulo 2^64. */
final class Whole {
    private Whole() {
    }

    static long unzigzag(long v) {
        return (v >>> 1) ^ -(v & 1);
    }

    static long min(long[] values) {
        long least = Long.MAX_VALUE;
        for (long v : values) {
            least = Math.min(least, v);
        }
        return least;
    }

    static long max(long[] values) {
        long greatest = Long.MIN_VALUE;
        for (long v : values) {
            greatest = Math.max(greatest, v);
        }
        return greatest;
    }

    /** Residuals to values, in place. */
    static long[] undo(int order, boolean divided, long divisor, long[] r) {
        for (int i = 1; divided && i < r.length; i++) {
            r[i] = r[i] * divisor + (order == 0 ? r[0] : 0);
        }
        for (int i = 2; order == 2 && i < r.length; i++) {
            r[i] += r[i - 1];
        }
        for (int i = 1; order > 0 && i < r.length; i++) {
            r[i] += r[i - 1];
        }
        return r;
    }

    /** Residuals to values, each series alone. {@code series}: from 0, one for each residual. */
    static long[] undoKeyed(int order, int[] series, int seriesCount, long[] r) {
        long[] last = new long[seriesCount];
        long[] delta = new long[seriesCount];
        int[] seen = new int[seriesCount];
        for (int i = 0; order > 0 && i < r.length; i++) {
            int s = series[i];
            if (seen[s] > 0) {
                delta[s] = order == 2 && seen[s] > 1 ? delta[s] + r[i] : r[i];
                r[i] = last[s] + delta[s];
            }
            last[s] = r[i];
            seen[s]++;
        }
        return r;
    }
}
