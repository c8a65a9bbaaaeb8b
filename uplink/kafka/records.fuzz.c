/* A batch as a broker may give it back, and a round trip: what is built from the input
 * reads as it was. */
#include "uplink/kafka/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(struct slice body, struct slice key, uint8_t *memory, size_t room)
{
    struct message message = {.key = key, .body = body, .event_count = 1};
    struct records_options options = {0};
    struct out o = out_over(memory, room);
    struct records_numbers numbers = {.producer_id = 1};
    struct records_head head;
    struct record record;
    if (records_build(&options, &message, 1, &o)) {
        abort();
    }
    records_patch(o.data, o.size, &numbers);
    if (records_head_parse(out_slice(&o), &head) || records_next(&head.records, &record) ||
        !slice_equal(record.body, body) || !slice_equal(record.key, key)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {data, size};
    struct records_head head;
    struct record record;
    uint8_t memory[4096 + RECORDS_HEAD_SIZE + 64];
    if (!records_head_parse(rest, &head)) {
        rest = head.records;
    }
    while (!records_next(&rest, &record)) {
    }
    if (size > 0 && size <= 4096) {
        size_t key_size = data[0] % size;
        round_trip((struct slice){data + key_size, size - key_size}, (struct slice){data, key_size},
                   memory, sizeof memory);
    }
    return 0;
}
