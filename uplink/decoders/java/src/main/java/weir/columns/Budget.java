package weir.columns;

/** Every value is paid for before there is memory for it. */
final class Budget {
    private long left;

    Budget(long values) {
        this.left = values;
    }

    void can(long count) {
        if (count > left) {
            throw new ColumnsException("budget", "the batch has more values than its reader allows");
        }
    }

    /** The count, now known to be one of an array. */
    int pay(long count) {
        can(count);
        left -= count;
        return (int) count;
    }
}
