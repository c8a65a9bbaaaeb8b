/* Two schemas with a zero byte between: every schema can read itself; what is found has texts; full
 * is backward and forward; and the types of the schemas give the same as the schemas. */
#include "uplink/avro/compat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SIZE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The number of findings, or -1. */
static int64_t count_of(const struct avro_schema *schema, const struct avro_schema *old,
                        enum avro_mode mode)
{
    struct avro_compat *compat = NULL;
    struct why why = {""};
    enum err e = avro_compat_open(&compat, schema, &old, 1, mode, &why);
    if (e) {
        assert((e == ERR_CORRUPT || e == ERR_REJECTED) && why.text[0] == '/' && !compat);
        return -1;
    }
    int64_t count = avro_compat_count(compat);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t text[TEXT_SIZE_MAX];
        struct out location = out_over(text, sizeof text);
        const struct avro_finding *finding = avro_compat_finding(compat, i);
        avro_finding_put_location(finding, &location);
        assert(location.overflow || (location.size > 0 && text[0] == '/'));
        struct out o = out_over(text, sizeof text);
        avro_finding_put_sentence(finding, &o);
        avro_finding_put_way_out(finding, &o);
        avro_finding_put_field(finding, &o);
        assert(o.size > 0);
    }
    count = avro_compat_is_cut(compat) ? AVRO_COMPAT_FINDING_MAX : count;
    avro_compat_close(compat);
    return count;
}

static void check_pair(const struct avro_schema *a, const struct avro_schema *b)
{
    int64_t backward = count_of(a, b, AVRO_MODE_BACKWARD);
    int64_t forward = count_of(a, b, AVRO_MODE_FORWARD_TRANSITIVE);
    int64_t full = count_of(a, b, AVRO_MODE_FULL);
    int64_t both = backward + forward;
    both = both > AVRO_COMPAT_FINDING_MAX ? AVRO_COMPAT_FINDING_MAX : both;
    assert(backward < 0 || forward < 0 ? full < 0 : full == both);
    assert(forward == count_of(b, a, AVRO_MODE_BACKWARD));
    assert(count_of(a, a, AVRO_MODE_FULL) <= 0); /* no answer: an alias is another field's name */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    struct avro_schema *a = NULL;
    struct avro_schema *b = NULL;
    if (zero) {
        size_t first = (size_t)(zero - data);
        if (!avro_schema_parse(&a, (struct slice){data, first}, NULL) &&
            !avro_schema_parse(&b, (struct slice){zero + 1, size - first - 1}, NULL)) {
            check_pair(a, b);
        }
    }
    avro_schema_close(a);
    avro_schema_close(b);
    return 0;
}
