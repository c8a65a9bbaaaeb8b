/* What a broker answers while a log is read back: the first byte says which answer. A search never goes
 * backwards. */
#include "uplink/kafka/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(struct slice records, int64_t from)
{
    struct scan scan = {
        .producer_id = 7, .base_sequence = 100, .record_count = 3, .next_offset = from};
    if (!scan_batches(&scan, records) && scan.found && scan.next_offset <= from) {
        abort();
    }
    if (scan.next_offset < from) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scan_listed listed;
    struct scan_fetched fetched;
    if (size == 0) {
        return 0;
    }
    struct slice body = {data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        if (!scan_listed_parse(body, &listed) && body.size < 32) {
            abort(); /* it was cut short */
        }
        break;
    case 1:
        if (!scan_fetched_parse(body, &fetched)) {
            search(fetched.records, 0);
        }
        break;
    default:
        search(body, data[0]);
        break;
    }
    return 0;
}
