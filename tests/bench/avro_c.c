/* The baseline: JSON to Avro with jansson and avro-c, as a careful user writes it. Each line of a
 * file is parsed; its members are looked up by the names of the schema's fields and set into a
 * generic value that is used again for each event; that is written to memory. Members named "ts"
 * are time stamps (RFC 3339, UTC) for a field of milliseconds: avro-c knows no logical types.
 * usage: avro_c SCHEMA FILE TIMES. Prints what map_bench prints. */
#include <avro.h>
#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DATUM_SIZE_MAX (256 * 1024)

static double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static char *file_text(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    size_t size = (size_t)ftell(file);
    char *text = malloc(size + 1);
    rewind(file);
    if (!text || fread(text, 1, size, file) != size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    *ret_size = size;
    return text;
}

/* Two digits, or -1. */
static int pair(const char *text)
{
    return text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9'
               ? (text[0] - '0') * 10 + text[1] - '0'
               : -1;
}

/* 2006-12-16T17:24:00Z, with or without a fraction. */
static bool millis_of(const char *text, size_t size, int64_t *ret)
{
    if (size < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[size - 1] != 'Z') {
        return false;
    }
    int year = pair(text) * 100 + pair(text + 2);
    struct tm t = {.tm_year = year - 1900,
                   .tm_mon = pair(text + 5) - 1,
                   .tm_mday = pair(text + 8),
                   .tm_hour = pair(text + 11),
                   .tm_min = pair(text + 14),
                   .tm_sec = pair(text + 17)};
    int64_t millis = 0;
    for (size_t i = 20, unit = 100; i + 1 < size; i++, unit /= 10) {
        millis += (text[i] - '0') * (int64_t)unit;
    }
    *ret = (int64_t)timegm(&t) * 1000 + millis;
    return true;
}

static int set(avro_value_t *value, json_t *json, const char *name);

static int set_record(avro_value_t *value, json_t *json)
{
    size_t count;
    int e = avro_value_get_size(value, &count);
    for (size_t i = 0; !e && i < count; i++) {
        avro_value_t field;
        const char *name;
        e = avro_value_get_by_index(value, i, &field, &name);
        e = e ? e : set(&field, json_object_get(json, name), name);
    }
    return e;
}

static int set_array(avro_value_t *value, json_t *json)
{
    int e = 0;
    for (size_t i = 0; !e && i < json_array_size(json); i++) {
        avro_value_t element;
        e = avro_value_append(value, &element, NULL);
        e = e ? e : set(&element, json_array_get(json, i), "");
    }
    return e;
}

static bool takes(avro_schema_t branch, const json_t *json)
{
    switch (avro_typeof(branch)) {
    case AVRO_NULL:
        return !json || json_is_null(json);
    case AVRO_BOOLEAN:
        return json_is_boolean(json);
    case AVRO_INT32:
    case AVRO_INT64:
        return json_is_integer(json);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return json_is_number(json);
    case AVRO_STRING:
        return json_is_string(json);
    case AVRO_ENUM:
        return json_is_string(json) &&
               avro_schema_enum_get_by_name(branch, json_string_value(json)) >= 0;
    case AVRO_RECORD:
        return json_is_object(json);
    case AVRO_ARRAY:
        return json_is_array(json);
    default:
        return false;
    }
}

static int set_union(avro_value_t *value, json_t *json, const char *name)
{
    avro_schema_t schema = avro_value_get_schema(value);
    for (size_t i = 0; i < avro_schema_union_size(schema); i++) {
        if (takes(avro_schema_union_branch(schema, (int)i), json)) {
            avro_value_t branch;
            int e = avro_value_set_branch(value, (int)i, &branch);
            return e ? e : set(&branch, json, name);
        }
    }
    return EINVAL;
}

static int set_long(avro_value_t *value, json_t *json, const char *name)
{
    int64_t millis;
    if (json_is_integer(json)) {
        return avro_value_set_long(value, json_integer_value(json));
    }
    if (!json_is_string(json) || strcmp(name, "ts") != 0 ||
        !millis_of(json_string_value(json), json_string_length(json), &millis)) {
        return EINVAL;
    }
    return avro_value_set_long(value, millis);
}

static int set(avro_value_t *value, json_t *json, const char *name)
{
    switch (avro_value_get_type(value)) {
    case AVRO_NULL:
        return avro_value_set_null(value);
    case AVRO_BOOLEAN:
        return json_is_boolean(json) ? avro_value_set_boolean(value, json_is_true(json)) : EINVAL;
    case AVRO_INT64:
        return set_long(value, json, name);
    case AVRO_DOUBLE:
        return json_is_number(json) ? avro_value_set_double(value, json_number_value(json))
                                    : EINVAL;
    case AVRO_STRING:
        return json_is_string(json) ? avro_value_set_string_len(value, json_string_value(json),
                                                                json_string_length(json) + 1)
                                    : EINVAL;
    case AVRO_ENUM:
        return avro_value_set_enum(value, avro_schema_enum_get_by_name(avro_value_get_schema(value),
                                                                       json_string_value(json)));
    case AVRO_RECORD:
        return set_record(value, json);
    case AVRO_ARRAY:
        return set_array(value, json);
    case AVRO_UNION:
        return set_union(value, json, name);
    default:
        return EINVAL;
    }
}

static char datum[DATUM_SIZE_MAX];

/* All lines of the text, once: how many. */
static unsigned long write_lines(avro_value_t *value, avro_writer_t writer, const char *text,
                                 size_t size, bool is_shown)
{
    unsigned long events = 0;
    const char *end;
    for (const char *line = text; (end = memchr(line, '\n', (size_t)(text + size - line)));
         line = end + 1) {
        json_error_t why;
        json_t *json = json_loadb(line, (size_t)(end - line), 0, &why);
        avro_writer_reset(writer);
        if (!json || avro_value_reset(value) || set(value, json, "") ||
            avro_value_write(writer, value)) {
            fprintf(stderr, "event %lu: %s\n", events + 1, json ? avro_strerror() : why.text);
            exit(1);
        }
        json_decref(json);
        events++;
        if (is_shown) {
            fwrite(datum, 1, (size_t)avro_writer_tell(writer), stdout);
        }
    }
    return events;
}

int main(int argc, char **argv)
{
    size_t schema_size;
    size_t size;
    avro_schema_t schema;
    avro_value_t value;
    if (argc != 4) {
        return 2;
    }
    char *schema_text = file_text(argv[1], &schema_size);
    char *text = file_text(argv[2], &size);
    if (avro_schema_from_json_length(schema_text, schema_size, &schema)) {
        fprintf(stderr, "%s: %s\n", argv[1], avro_strerror());
        return 2;
    }
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_writer_t writer = avro_writer_memory(datum, sizeof datum);
    avro_generic_value_new(class, &value);
    unsigned long times = strtoul(argv[3], NULL, 10);
    unsigned long events = times == 0 ? write_lines(&value, writer, text, size, true) : 0;
    double begin = cpu_us();
    for (unsigned long t = 0; t < times; t++) {
        events += write_lines(&value, writer, text, size, false);
    }
    if (times) {
        printf("%lu %.4f\n", events, (cpu_us() - begin) / (double)events);
    }
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    avro_writer_free(writer);
    free(text);
    free(schema_text);
    return 0;
}
