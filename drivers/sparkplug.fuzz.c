/* The first byte chooses the topic. Whatever the payload: what is read is one JSON object, whole and
 * without anything behind it, and reading it again gives the same; so births do not change what
 * they themselves say. */
#include <assert.h>
#include <stdlib.h>

#include "drivers/sparkplug.h"
#include "ports/lib/json.h"

#define TEXT_SIZE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct slice text)
{
    struct json_reader reader;
    struct slice value;
    json_init(&reader, text);
    enum err e = json_skip(&reader, &value);
    /* The names of properties are the sender's: two may be alike, or too many. */
    assert(e == ERR_OK || e == ERR_REJECTED || strstr(reader.why.text, "has already"));
    assert(e || (text.data[0] == '{' && json_end(&reader) == text.size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const topics[] = {
        "spBv1.0/G/NBIRTH/N", "spBv1.0/G/NDATA/N",  "spBv1.0/G/DBIRTH/N/D", "spBv1.0/G/DDATA/N/D",
        "spBv1.0/STATE/host", "spBv1.0/G/NDEATH/N", "spBv1.0/G/DDEATH/N/D"};
    if (size == 0) {
        return 0;
    }
    struct sparkplug *sparkplug;
    struct sparkplug_message first;
    struct sparkplug_message second;
    struct why why = {.text = ""};
    struct slice topic = slice_of_text(topics[data[0] % ARRAY_COUNT(topics)]);
    struct slice payload = {data + 1, size - 1};
    if (sparkplug_open(&sparkplug, TEXT_SIZE_MAX)) {
        return 0;
    }
    enum err e = sparkplug_read(sparkplug, topic, payload, &first, &why);
    if (e) {
        assert(why.text[0]);
    } else if (first.text.data != payload.data) {
        check_json(first.text);
        uint8_t *copy = malloc(first.text.size);
        if (copy) {
            memcpy(copy, first.text.data, first.text.size);
            struct slice before = {copy, first.text.size};
            e = sparkplug_read(sparkplug, topic, payload, &second, &why);
            assert(e == ERR_OK && slice_equal(second.text, before));
        }
        free(copy);
    }
    sparkplug_close(sparkplug);
    return 0;
}
