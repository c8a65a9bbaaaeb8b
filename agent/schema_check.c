/* weir schema check: may a new schema take the place of the old ones, which are files, or the versions
 * that a buffer keeps of a stream? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/kept.h"
#include "agent/raw.h"
#include "agent/schema_impl.h"

#define OLD_COUNT_MAX 128
#define VALUE_SIZE_MAX 2048 /* of the texts in JSON */
#define NAME_SIZE_MAX 24    /* of a version in a buffer: "schema 3" */

struct check {
    enum avro_mode mode;
    bool is_json;
    const char *new_path;
    const char *old_paths[OLD_COUNT_MAX]; /* or names, of versions in a buffer */
    uint32_t old_count;
    const char *stream; /* whose versions these are; NULL: the old ones are files */
    const char *buffer_path;
    const char *socket_path;
    const char *key_path;
    char names[OLD_COUNT_MAX][NAME_SIZE_MAX];
    struct avro_schema *schema;
    struct avro_schema *olds[OLD_COUNT_MAX];
};

static bool parse_mode(const char *value, enum avro_mode *ret)
{
    if (avro_mode_of(slice_of_text(value), ret)) {
        return true;
    }
    fprintf(stderr,
            "weir schema check: there is no mode \"%s\"; there are none, backward, "
            "forward, full, backward_transitive, forward_transitive and "
            "full_transitive\n",
            value);
    return false;
}

/* An option with a value. False: it is none. */
static bool parse_option(struct check *check, int argc, char **argv, int *index)
{
    const struct {
        const char *name;
        const char **ret;
    } options[] = {{"--new", &check->new_path},
                   {"--stream", &check->stream},
                   {"--buffer", &check->buffer_path},
                   {"--socket", &check->socket_path},
                   {"--key", &check->key_path}};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        const char *value =
            *options[i].ret ? NULL : command_option(argc, argv, index, options[i].name);
        if (value) {
            *options[i].ret = value;
            return true;
        }
    }
    return false;
}

/* False: it is no usage of "check", or there is no such mode. */
static bool parse(struct check *check, int argc, char **argv)
{
    check->mode = AVRO_MODE_BACKWARD;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if ((value = command_option(argc, argv, &i, "--mode"))) {
            if (!parse_mode(value, &check->mode)) {
                return false;
            }
        } else if (check->old_count < OLD_COUNT_MAX &&
                   (value = command_option(argc, argv, &i, "--old"))) {
            check->old_paths[check->old_count++] = value;
        } else if (strcmp(argv[i], "--json") == 0) {
            check->is_json = true;
        } else if (!parse_option(check, argc, argv, &i)) {
            (void)command_misuse("schema check", "usage: weir " SCHEMA_USAGE);
            return false;
        }
    }
    bool is_buffer = check->stream || check->buffer_path || check->socket_path || check->key_path;
    if (!check->new_path || (check->old_count == 0) != is_buffer || (is_buffer && !check->stream)) {
        (void)command_misuse(
            "schema check",
            "--new FILE is needed, and at least one --old FILE, or --stream S of a --buffer PATH");
        return false;
    }
    return true;
}

/* What the gate would compare with: not weir.Raw, nor what can't be read, which is told. */
static enum err take_kept(struct check *check, const struct kept_all *all, struct why *why)
{
    for (size_t i = 0; i < all->count; i++) {
        if (slice_equal(all->items[i].version.json, avro_schema_text(check->schema))) {
            return ERR_OK; /* it was accepted before */
        }
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct gate_version *version = &all->items[i].version;
        struct why unread = {""};
        if (slice_equal(version->json, raw_schema())) {
            continue;
        }
        if (check->old_count == OLD_COUNT_MAX) {
            why_set(why, "the buffer keeps more than %d versions", OLD_COUNT_MAX);
            return ERR_REJECTED;
        }
        char *name = check->names[check->old_count];
        (void)snprintf(name, NAME_SIZE_MAX, "schema %u", version->number); /* fits */
        enum err e = avro_schema_parse(&check->olds[check->old_count], version->json, &unread);
        if (e == ERR_NOMEM) {
            return e;
        }
        if (e) {
            fprintf(stderr, "weir schema check: %s of the buffer is not compared: %s\n", name,
                    unread.text);
            continue;
        }
        check->old_paths[check->old_count++] = name;
    }
    return ERR_OK;
}

static int read_kept(struct check *check)
{
    char beside[4200];
    struct why why = {""};
    struct kept_all all = {.count = 0};
    struct source_setup setup = {.buffer_path =
                                     check->buffer_path ? check->buffer_path : BUFFER_PATH_DEFAULT,
                                 .socket_path = check->socket_path,
                                 .key_path = check->key_path};
    if (!setup.socket_path) {
        command_socket_beside(setup.buffer_path, beside, sizeof beside);
        setup.socket_path = beside;
    }
    enum err e = kept_ask(&all, &setup, check->stream, &why);
    e = e ? e : take_kept(check, &all, &why);
    kept_release(&all);
    if (!e) {
        return EXIT_FINE;
    }
    fprintf(stderr, "weir schema check: %s\n", why.text[0] ? why.text : err_name(e));
    return e == ERR_CONFIG || e == ERR_REJECTED ? EXIT_USAGE : EXIT_FAILED;
}

static int read_all(struct check *check)
{
    struct why why = {""};
    enum err e = command_read_schema(check->new_path, &check->schema, &why);
    const char *path = check->new_path;
    if (!e && check->stream) {
        return read_kept(check);
    }
    for (uint32_t i = 0; !e && i < check->old_count; i++) {
        path = check->old_paths[i];
        e = command_read_schema(path, &check->olds[i], &why);
    }
    return e ? command_complain(path, e, &why) : EXIT_FINE;
}

/* `text` has room for a value, which is cut when it is longer. */
static void put_json(struct out *line, struct out *text, const struct check *check,
                     const struct avro_finding *f)
{
    static const struct {
        const char *key;
        void (*put)(const struct avro_finding *, struct out *);
    } values[] = {{"location", avro_finding_put_location},
                  {"field", avro_finding_put_field},
                  {"text", avro_finding_put_sentence},
                  {"way_out", avro_finding_put_way_out}};
    out_put_text(line, "{\"old\":");
    out_put_json(line, slice_of_text(check->old_paths[f->old]));
    out_put_format(line, ",\"direction\":\"%s\",\"kind\":\"%s\"",
                   f->is_forward ? "forward" : "backward", avro_finding_kind_name(f->kind));
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        text->size = 0;
        text->overflow = false;
        values[i].put(f, text);
        out_put_format(line, ",\"%s\":", values[i].key);
        out_put_json(line, out_slice(text));
    }
    out_put_byte(line, '}');
}

static void print_json(struct out *line, const struct check *check,
                       const struct avro_compat *compat)
{
    uint8_t memory[VALUE_SIZE_MAX];
    struct out text = out_over(memory, sizeof memory);
    uint32_t count = avro_compat_count(compat);
    out_put_text(line, "{\"new\":");
    out_put_json(line, slice_of_text(check->new_path));
    out_put_format(line, ",\"mode\":\"%s\",\"compatible\":%s,\"more\":%s,\"findings\":[",
                   avro_mode_name(check->mode), count == 0 ? "true" : "false",
                   avro_compat_is_cut(compat) ? "true" : "false");
    for (uint32_t i = 0; i < count; i++) {
        schema_line_print(line);
        put_json(line, &text, check, avro_compat_finding(compat, i));
        out_put_text(line, i + 1 < count ? "," : "");
    }
    out_put_text(line, "]}");
    schema_line_print(line);
}

static void print_lines(struct out *line, const struct check *check,
                        const struct avro_compat *compat)
{
    for (uint32_t i = 0; i < avro_compat_count(compat); i++) {
        const struct avro_finding *f = avro_compat_finding(compat, i);
        out_put_format(line, "%s: %s ", check->old_paths[f->old], avro_finding_kind_name(f->kind));
        avro_finding_put_location(f, line);
        out_put_text(line, ": ");
        avro_finding_put_sentence(f, line);
        out_put_text(line, ": ");
        avro_finding_put_way_out(f, line);
        schema_line_print(line);
    }
    if (avro_compat_is_cut(compat)) {
        fprintf(stderr, "weir schema check: there are more, which are not listed\n");
    }
}

static int answer(const struct check *check)
{
    struct why why = {""};
    struct avro_compat *compat = NULL;
    struct out line;
    enum err e =
        avro_compat_open(&compat, check->schema, (const struct avro_schema *const *)check->olds,
                         check->old_count, check->mode, &why);
    if (e) {
        return command_complain(check->new_path, e, &why);
    }
    if (!schema_line_open(&line)) {
        avro_compat_close(compat);
        return EXIT_FAILED;
    }
    if (check->is_json) {
        print_json(&line, check, compat);
    } else {
        print_lines(&line, check, compat);
    }
    int code = avro_compat_count(compat) > 0 ? EXIT_NEGATIVE : EXIT_FINE;
    free(line.data);
    avro_compat_close(compat);
    int finished = command_finish();
    return finished ? finished : code;
}

int schema_check_command(int argc, char **argv)
{
    struct check *check = calloc(1, sizeof *check);
    if (!check) {
        fprintf(stderr, "weir schema check: no memory\n");
        return EXIT_FAILED;
    }
    int code = parse(check, argc, argv) ? read_all(check) : EXIT_USAGE;
    code = code ? code : answer(check);
    avro_schema_close(check->schema);
    for (uint32_t i = 0; i < check->old_count; i++) {
        avro_schema_close(check->olds[i]);
    }
    free(check);
    return code;
}
