/* JSON: every text is either refused, or its tokens spell a text that is read as the same tokens; a
 * value skipped is the value read; members read at once are those read as key and value. */
#include "ports/lib/json.h"

#include <assert.h>

#define FUZZ_SIZE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the value again, compact, strings unescaped and escaped anew. */
static enum err fuzz_copy(struct slice input, struct out *ret, struct json_reader *reader)
{
    static uint8_t memory[FUZZ_SIZE_MAX];
    struct json_token token;
    bool is_first = true;
    enum err e;
    json_init(reader, input);
    while (!(e = json_next(reader, &token))) {
        assert(token.offset <= input.size && token.text.data >= input.data);
        assert(token.text.data + token.text.size <= input.data + input.size);
        bool is_end = token.kind == JSON_OBJECT_END || token.kind == JSON_ARRAY_END;
        if (!is_first && !is_end) {
            out_put_byte(ret, ',');
        }
        is_first = token.kind == JSON_OBJECT_BEGIN || token.kind == JSON_ARRAY_BEGIN ||
                   token.kind == JSON_KEY;
        if (token.kind == JSON_STRING || token.kind == JSON_KEY) {
            struct out scratch = out_over(memory, sizeof memory);
            struct slice text;
            enum err unescaped = json_string(&token, &scratch, &text);
            assert(!unescaped && slice_is_utf8(text));
            out_put_json(ret, text);
        } else {
            out_put_slice(ret, token.text);
        }
        if (token.kind == JSON_KEY) {
            out_put_byte(ret, ':');
        }
    }
    return e;
}

static void fuzz_members(struct slice input)
{
    static uint8_t memory[2][FUZZ_SIZE_MAX];
    struct out scratch[2] = {out_over(memory[0], FUZZ_SIZE_MAX),
                             out_over(memory[1], FUZZ_SIZE_MAX)};
    struct json_reader members;
    struct json_reader tokens;
    struct json_token token;
    struct slice name, key, value, skipped;
    json_init(&members, input);
    json_init(&tokens, input);
    if (json_next(&members, &token) || json_next(&tokens, &token) ||
        token.kind != JSON_OBJECT_BEGIN) {
        return;
    }
    for (enum err e = ERR_OK; !e;) {
        e = json_next(&tokens, &token);
        bool is_end = !e && token.kind == JSON_OBJECT_END;
        e = is_end ? ERR_CLOSED : e ? e : json_skip(&tokens, &skipped);
        assert(json_member(&members, &scratch[0], &name, &value) == e);
        assert(e == ERR_OK || e == ERR_CLOSED ? members.at == tokens.at
                                              : members.error_offset == tokens.error_offset);
        assert(e || (!json_string(&token, &scratch[1], &key) && slice_equal(name, key)));
        assert(e || (value.data == skipped.data && value.size == skipped.size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t first[8 * FUZZ_SIZE_MAX];
    static uint8_t second[8 * FUZZ_SIZE_MAX];
    if (size > FUZZ_SIZE_MAX) {
        return 0;
    }
    struct slice input = {data, size};
    struct json_reader reader;
    fuzz_members(input);
    struct out copy = out_over(first, sizeof first);
    enum err e = fuzz_copy(input, &copy, &reader);
    size_t end = reader.at;
    struct slice skipped;
    json_init(&reader, input);
    enum err skip = json_skip(&reader, &skipped);
    assert((e == ERR_CLOSED) == !skip);
    if (e != ERR_CLOSED) {
        assert(e == skip && reader.error_offset <= size && reader.why.text[0]);
        return 0;
    }
    assert(!copy.overflow && reader.at == end && json_end(&reader) >= end);
    struct out again = out_over(second, sizeof second);
    e = fuzz_copy(out_slice(&copy), &again, &reader);
    assert(e == ERR_CLOSED && slice_equal(out_slice(&copy), out_slice(&again)));
    return 0;
}
