#include "tests/avro/help.h"

#include <stdio.h>
#include <string.h>

#include "tests/cmocka.h"

struct avro_schema *schema_of(const char *text)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    if (avro_schema_parse(&schema, slice_of_text(text), &why)) {
        fail_msg("%s: %s", text, why.text);
    }
    return schema;
}

const char *hex_of(struct slice bytes)
{
    static char text[2 * 2048 + 1];
    assert_true(bytes.size <= 2048);
    for (size_t i = 0; i < bytes.size; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
    }
    text[2 * bytes.size] = 0;
    return text;
}

static unsigned digit_of(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = strchr(digits, c);
    assert_non_null(at);
    return (unsigned)(at - digits);
}

void hex_put(struct out *ret, const char *hex)
{
    for (; hex[0] && hex[1]; hex += 2) {
        out_put_byte(ret, (uint8_t)(digit_of(hex[0]) << 4 | digit_of(hex[1])));
    }
}

void assert_starts(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", text, start);
    }
}
