/* Whatever the body: the count is right, the events lie in order inside it, none is empty; and put
 * together as an array again, they split into the same events. */
#include <assert.h>

#include "drivers/http_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct slice again, const struct http_body *original)
{
    struct http_body first = *original;
    struct http_body second;
    uint64_t count;
    if (http_body_init(&second, again, HTTP_BODY_LINES, &count, NULL) != ERR_OK) {
        assert(0);
    }
    struct slice a;
    struct slice b;
    uint64_t line;
    while (http_body_next(&first, &a, &line)) {
        bool has = http_body_next(&second, &b, &line);
        assert(has && slice_equal(a, b));
    }
    bool has = http_body_next(&second, &b, &line);
    assert(!has);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice text = {data + 1, size - 1};
    struct http_body body;
    uint64_t count = 0;
    enum http_body_kind kind = (enum http_body_kind)(data[0] % 3);
    if (http_body_init(&body, text, kind, &count, NULL) != ERR_OK) {
        assert(kind != HTTP_BODY_LINES);
        return 0;
    }
    struct http_body walk = body;
    struct slice event;
    uint64_t line;
    uint64_t seen = 0;
    const uint8_t *behind = text.data;
    uint8_t *joined = malloc(2 * size + 2);
    struct out out = out_over(joined, 2 * size + 2);
    bool is_flat = true;
    while (http_body_next(&walk, &event, &line)) {
        assert(event.size && event.data >= behind && event.data + event.size <= data + size);
        behind = event.data + event.size;
        is_flat = is_flat && !memchr(event.data, '\n', event.size);
        out_put_slice(&out, event);
        out_put_byte(&out, '\n');
        seen++;
    }
    assert(seen == count && !out.overflow);
    if (is_flat) {
        check_again(out_slice(&out), &body);
    }
    free(joined);
    return 0;
}
