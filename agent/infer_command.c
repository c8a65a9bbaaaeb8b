/* weir schema infer: an Avro schema from samples, which takes all of them back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/infer.h"
#include "agent/map.h"
#include "ports/file.h"
#include "uplink/avro/schema.h"

#define INPUT_SIZE_MAX (64 * 1024 * 1024)
#define NAME_DEFAULT "Event"

struct inferring {
    struct infer *infer;
    struct mapper *mapper;
    struct avro_schema *schema;
    struct out text;  /* of the schema */
    struct out datum; /* of one sample */
};

/* The next line that is not empty. */
static bool next_line(struct slice *rest, struct slice *ret, unsigned *number)
{
    while (rest->size > 0) {
        const uint8_t *end = memchr(rest->data, '\n', rest->size);
        size_t size = end ? (size_t)(end - rest->data) : rest->size;
        *ret = (struct slice){rest->data, size};
        *rest =
            (struct slice){rest->data + size + (end ? 1 : 0), rest->size - size - (end ? 1 : 0)};
        ++*number;
        size_t at = 0;
        while (at < size && memchr(" \t\r", ret->data[at], 3)) {
            at++;
        }
        if (at < size) {
            return true;
        }
    }
    return false;
}

static enum err sample_seen(struct inferring *s, struct slice line, struct why *why)
{
    return infer_add(s->infer, line, why);
}

static enum err sample_taken_back(struct inferring *s, struct slice line, struct why *why)
{
    struct map_result result;
    struct map_task task = {.record = avro_schema_root(s->schema),
                            .body_kind = BODY_JSON,
                            .body = line,
                            .unknown_is_refused = true};
    s->datum.size = 0;
    s->datum.overflow = false;
    return map_run(s->mapper, &task, &s->datum, &result, why);
}

static enum err each_sample(struct inferring *s, const char *path,
                            enum err (*work)(struct inferring *, struct slice, struct why *),
                            struct why *why)
{
    struct slice input = {NULL, 0};
    struct slice line;
    unsigned number = 0;
    enum err e = file_read(path, INPUT_SIZE_MAX, &input, why);
    struct slice rest = input;
    while (!e && next_line(&rest, &line, &number)) {
        e = work(s, line, why);
        if (e) {
            why_add(why, "line %u", number);
        }
    }
    free((void *)(uintptr_t)input.data);
    return e;
}

static enum err all_samples(struct inferring *s, char **paths, size_t count,
                            enum err (*work)(struct inferring *, struct slice, struct why *))
{
    for (size_t i = 0; i < count; i++) {
        struct why why = {""};
        enum err e = each_sample(s, paths[i], work, &why);
        if (e) {
            fprintf(stderr, "%s: %s\n", paths[i], why.text[0] ? why.text : err_name(e));
            return e;
        }
    }
    return ERR_OK;
}

static enum err open_all(struct inferring *s)
{
    enum err e = infer_open(&s->infer);
    e = e ? e : mapper_open(&s->mapper);
    s->text = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    s->datum = out_over(malloc(INPUT_SIZE_MAX), INPUT_SIZE_MAX);
    return e ? e : s->text.data && s->datum.data ? ERR_OK : ERR_NOMEM;
}

static void close_all(struct inferring *s)
{
    infer_close(s->infer);
    mapper_close(s->mapper);
    avro_schema_close(s->schema);
    free(s->text.data);
    free(s->datum.data);
}

/* The schema, and proof that it takes its samples back. */
static enum err infer_all(struct inferring *s, const char *name, const char *namespace_,
                          char **paths, size_t count)
{
    struct why why = {""};
    enum err e = all_samples(s, paths, count, sample_seen);
    if (e) {
        return e;
    }
    e = infer_put(s->infer, name, namespace_, &s->text, &why);
    e = e ? e : avro_schema_parse(&s->schema, out_slice(&s->text), &why);
    if (e) {
        fprintf(stderr, "weir schema infer: %s\n", why.text[0] ? why.text : err_name(e));
        return e;
    }
    return all_samples(s, paths, count, sample_taken_back);
}

static bool is_dotted_name(const char *text)
{
    for (;;) {
        size_t size = strcspn(text, ".");
        if (!infer_is_name((struct slice){(const uint8_t *)text, size})) {
            return false;
        }
        if (!text[size]) {
            return true;
        }
        text += size + 1;
    }
}

int schema_infer_command(int argc, char **argv)
{
    const char *name = NAME_DEFAULT;
    const char *namespace_ = NULL;
    size_t count = 0;
    for (int i = 0; i < argc; i++) {
        const char *value = command_option(argc, argv, &i, "--name");
        if (value) {
            name = value;
        } else if ((value = command_option(argc, argv, &i, "--namespace"))) {
            namespace_ = value;
        } else if (argv[i][0] == '-' && argv[i][1]) {
            return command_misuse("schema infer", "usage: weir " SCHEMA_INFER_USAGE);
        } else {
            argv[count++] = argv[i];
        }
    }
    if (count == 0) {
        return command_misuse("schema infer", "usage: weir " SCHEMA_INFER_USAGE);
    }
    if (!infer_is_name(slice_of_text(name)) || strlen(name) > INFER_NAME_SIZE_MAX / 2 ||
        (namespace_ && (!is_dotted_name(namespace_) || strlen(namespace_) > INFER_NAME_SIZE_MAX))) {
        return command_misuse("schema infer",
                              "--name is of letters, digits and _, --namespace of such names with "
                              "dots between them");
    }
    struct inferring s = {0};
    enum err e = open_all(&s);
    e = e ? e : infer_all(&s, name, namespace_, argv, count);
    if (!e) {
        fwrite(s.text.data, 1, s.text.size, stdout);
    }
    close_all(&s);
    return !e ? command_finish() : e == ERR_NOMEM || e == ERR_IO ? EXIT_FAILED : EXIT_USAGE;
}
