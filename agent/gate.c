#include "agent/gate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/raw.h"

/* --- what stands in the way --- */

/* Cut to its room, between characters. */
static void keep_text(void (*put)(const struct avro_finding *, struct out *),
                      const struct avro_finding *finding, char *ret, size_t size)
{
    uint8_t memory[4096];
    struct out text = out_over(memory, sizeof memory);
    put(finding, &text);
    size_t kept = text.size < size ? text.size : size - 1;
    while (kept > 0 && kept < text.size && (memory[kept] & 0xC0) == 0x80) {
        kept--;
    }
    memcpy(ret, memory, kept);
    ret[kept] = '\0';
}

static void keep_finding(const struct avro_finding *finding, uint32_t old, struct gate_finding *ret)
{
    ret->old = old;
    ret->is_forward = finding->is_forward;
    ret->kind = avro_finding_kind_name(finding->kind);
    keep_text(avro_finding_put_location, finding, ret->location, sizeof ret->location);
    keep_text(avro_finding_put_sentence, finding, ret->text, sizeof ret->text);
    keep_text(avro_finding_put_way_out, finding, ret->way_out, sizeof ret->way_out);
}

bool gate_refusal_line(const struct gate_refusal *refusal, uint32_t index, char *ret, size_t size)
{
    uint32_t kept = refusal->count < GATE_FINDING_MAX ? refusal->count : GATE_FINDING_MAX;
    if (index < kept) {
        const struct gate_finding *f = &refusal->findings[index];
        (void)snprintf(ret, size, "%s %s (schema %" PRIu32 "): %s: %s", f->kind, f->location,
                       f->old, f->text, f->way_out); /* cut is fine */
        return true;
    }
    if (refusal->count == 0 && index == 0) {
        (void)snprintf(ret, size, "%s", refusal->why.text); /* cut is fine */
        return true;
    }
    if (index == kept && refusal->count > kept) {
        (void)snprintf(ret, size, "and %" PRIu32 " more: weir schema check lists all",
                       refusal->count - kept); /* cut is fine */
        return true;
    }
    return false;
}

void gate_refusal_text(const struct gate_refusal *refusal, char *ret, size_t size)
{
    char line[GATE_TEXT_SIZE];
    size_t used = 0;
    ret[0] = '\0';
    for (uint32_t i = 0; used + 1 < size && gate_refusal_line(refusal, i, line, sizeof line); i++) {
        (void)snprintf(ret + used, size - used, "%s%s", i ? "; " : "", line); /* cut is fine */
        used += strlen(ret + used);
    }
}

static void finding_put(const struct gate_finding *f, struct out *json)
{
    out_put_format(
        json, "{\"schema\":%" PRIu32 ",\"direction\":\"%s\",\"kind\":\"%s\",\"location\":", f->old,
        f->is_forward ? "forward" : "backward", f->kind);
    out_put_json(json, slice_of_text(f->location));
    out_put_text(json, ",\"text\":");
    out_put_json(json, slice_of_text(f->text));
    out_put_text(json, ",\"way_out\":");
    out_put_json(json, slice_of_text(f->way_out));
    out_put_byte(json, '}');
}

void gate_refusal_put(const struct gate_refusal *refusal, struct out *json)
{
    out_put_format(json, "{\"compatibility\":\"%s\",\"count\":%" PRIu32 ",\"text\":",
                   avro_mode_name(refusal->mode), refusal->count);
    out_put_json(json, slice_of_text(refusal->why.text));
    out_put_text(json, ",\"findings\":[");
    for (uint32_t i = 0; i < refusal->count && i < GATE_FINDING_MAX; i++) {
        out_put_text(json, i ? "," : "");
        finding_put(&refusal->findings[i], json);
    }
    out_put_text(json, "]}");
}

/* --- the versions of before --- */

struct olds {
    struct avro_schema **parsed; /* oldest first, from `first` on */
    uint32_t *numbers;
    size_t first;
    size_t count; /* room */
};

static bool is_transitive(enum avro_mode mode)
{
    return mode == AVRO_MODE_BACKWARD_TRANSITIVE || mode == AVRO_MODE_FORWARD_TRANSITIVE ||
           mode == AVRO_MODE_FULL_TRANSITIVE;
}

static void olds_release(struct olds *olds)
{
    for (size_t i = olds->first; olds->parsed && i < olds->count; i++) {
        avro_schema_close(olds->parsed[i]);
    }
    free(olds->parsed);
    free(olds->numbers);
}

/* From the newest back to what the mode looks at. */
static enum err olds_parse(struct olds *olds, const struct gate_version *versions,
                           enum avro_mode mode, struct gate_answer *answer)
{
    struct slice raw = raw_schema();
    for (size_t i = olds->count; i-- > 0 && (is_transitive(mode) || olds->first == olds->count);) {
        bool is_raw = slice_equal(versions[i].json, raw);
        struct avro_schema *parsed = NULL;
        enum err e = is_raw ? ERR_OK : avro_schema_parse(&parsed, versions[i].json, NULL);
        if (e == ERR_NOMEM) {
            return e;
        }
        if (e) {
            answer->unread = versions[i].number;
            continue;
        }
        answer->number = answer->number ? answer->number : versions[i].number;
        if (!is_raw) {
            olds->first--;
            olds->parsed[olds->first] = parsed;
            olds->numbers[olds->first] = versions[i].number;
        }
    }
    return ERR_OK;
}

static enum err olds_compare(const struct olds *olds, const struct avro_schema *schema,
                             enum avro_mode mode, struct gate_refusal *ret)
{
    struct avro_compat *compat = NULL;
    const struct avro_schema *const *parsed =
        (const struct avro_schema *const *)olds->parsed + olds->first;
    enum err e = avro_compat_open(&compat, schema, parsed, (uint32_t)(olds->count - olds->first),
                                  mode, &ret->why);
    ret->mode = mode;
    if (!e) {
        ret->count = avro_compat_count(compat);
        for (uint32_t i = 0; i < ret->count && i < GATE_FINDING_MAX; i++) {
            const struct avro_finding *finding = avro_compat_finding(compat, i);
            keep_finding(finding, olds->numbers[olds->first + finding->old], &ret->findings[i]);
        }
    }
    avro_compat_close(compat);
    return e;
}

static enum err check_changed(const struct gate_version *versions, size_t count,
                              const struct avro_schema *schema, enum avro_mode mode,
                              struct gate_answer *ret)
{
    struct olds olds = {.parsed = calloc(count + 1, sizeof(struct avro_schema *)),
                        .numbers = calloc(count + 1, sizeof(uint32_t)),
                        .first = count,
                        .count = count};
    struct gate_refusal *refusal = calloc(1, sizeof *refusal);
    enum err e = olds.parsed && olds.numbers && refusal ? ERR_OK : ERR_NOMEM;
    e = e ? e : olds_parse(&olds, versions, mode, ret);
    if (!e && olds.first < olds.count) {
        e = olds_compare(&olds, schema, mode, refusal);
    }
    /* No answer, or too long a way to it: that is no yes. */
    bool is_refused = e == ERR_CORRUPT || e == ERR_REJECTED || (!e && refusal->count > 0);
    e = is_refused ? ERR_OK : e;
    if (is_refused) {
        ret->refusal = refusal;
        refusal = NULL;
    }
    free(refusal);
    olds_release(&olds);
    return e;
}

/* All of them are kept for ever, and are in memory. */
static enum err refuse_more(const struct gate_version *versions, size_t count, enum avro_mode mode,
                            struct gate_answer *ret)
{
    struct gate_refusal *refusal = calloc(1, sizeof *refusal);
    if (!refusal) {
        return ERR_NOMEM;
    }
    refusal->mode = mode;
    why_set(&refusal->why,
            "the buffer has %zu versions of it, and keeps no more of a stream: go back to one of "
            "them, or give the events a stream of another name",
            count);
    *ret = (struct gate_answer){.number = versions[count - 1].number, .refusal = refusal};
    return ERR_OK;
}

enum err gate_check(const struct gate_version *versions, size_t count,
                    const struct avro_schema *schema, enum avro_mode mode, struct gate_answer *ret)
{
    struct slice text = avro_schema_text(schema);
    struct gate_answer answer = {.number = 0};
    enum err e = ERR_OK;
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(versions[i].json, text)) {
            *ret = (struct gate_answer){.number = versions[i].number};
            return ERR_OK;
        }
    }
    if (count >= GATE_VERSION_MAX) {
        return refuse_more(versions, count, mode, ret);
    }
    if (mode != AVRO_MODE_NONE && !slice_equal(text, raw_schema())) {
        e = check_changed(versions, count, schema, mode, &answer);
    }
    if (!e) {
        answer.number = answer.refusal ? answer.number : 0;
        *ret = answer;
    }
    return e;
}

/* --- with the buffer --- */

enum err gate_fingerprint(const struct avro_schema *schema, uint8_t ret[8])
{
    size_t room = AVRO_SCHEMA_SIZE_MAX * 2;
    struct out canonical = out_over(malloc(room), room);
    struct out o = out_over(ret, 8);
    if (!canonical.data) {
        return ERR_NOMEM;
    }
    avro_canonical(schema, &canonical);
    if (canonical.overflow) {
        free(canonical.data);
        return ERR_REJECTED; /* names that take so much in full */
    }
    out_put_u64_le(&o, avro_crc64(out_slice(&canonical)));
    free(canonical.data);
    return ERR_OK;
}

struct gathering {
    uint16_t stream;
    struct gate_version *versions; /* NULL: only counted */
    size_t count;
};

static void gather(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct gathering *g = context;
    if (stream != g->stream) {
        return;
    }
    if (g->versions) {
        g->versions[g->count] = (struct gate_version){number, json};
    }
    g->count++;
}

enum err gate_admit(struct buffer *buffer, uint16_t stream, const struct avro_schema *schema,
                    enum avro_mode mode, struct gate_answer *ret, struct why *why)
{
    struct gathering g = {.stream = stream};
    struct gate_answer answer;
    uint8_t fingerprint[8];
    buffer_schema_each(buffer, gather, &g);
    g.versions = calloc(g.count + 1, sizeof *g.versions);
    g.count = 0;
    if (!g.versions) {
        return ERR_NOMEM;
    }
    buffer_schema_each(buffer, gather, &g);
    enum err e = gate_check(g.versions, g.count, schema, mode, &answer);
    free(g.versions);
    if (e) {
        return e;
    }
    if (!answer.refusal) {
        e = gate_fingerprint(schema, fingerprint);
        e = e ? e
              : buffer_schema_add(buffer, stream, avro_schema_text(schema), fingerprint,
                                  &answer.number, why);
    }
    if (!e) {
        *ret = answer;
    }
    return e;
}
