/* JSON to Avro as intake does it: each line of a file becomes a datum of the schema. usage:
 * map_bench SCHEMA FILE TIMES. Prints events, and microseconds of CPU for one; with TIMES 0 the
 * datums of all lines instead. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "agent/map.h"
#include "ports/file.h"

#define FILE_SIZE_MAX (64 * 1024 * 1024)
#define DATUM_SIZE_MAX (256 * 1024)

struct bench {
    struct avro_schema *schema;
    struct mapper *mapper;
    struct slice text;
    struct out datum;
    unsigned long events;
    bool is_shown;
};

static double cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static enum err bench_open(struct bench *bench, const char *schema, const char *path,
                           struct why *why)
{
    struct slice text;
    bench->datum = out_over(malloc(DATUM_SIZE_MAX), DATUM_SIZE_MAX);
    enum err e = bench->datum.data ? file_read(schema, FILE_SIZE_MAX, &text, why) : ERR_NOMEM;
    if (e) {
        return e;
    }
    e = avro_schema_parse(&bench->schema, text, why);
    free((void *)(uintptr_t)text.data);
    e = e ? e : mapper_open(&bench->mapper);
    return e ? e : file_read(path, FILE_SIZE_MAX, &bench->text, why);
}

static void bench_close(struct bench *bench)
{
    mapper_close(bench->mapper);
    avro_schema_close(bench->schema);
    free((void *)(uintptr_t)bench->text.data);
    free(bench->datum.data);
}

/* All lines of the file, once. */
static enum err map_lines(struct bench *bench, struct why *why)
{
    struct map_task task = {.record = avro_schema_root(bench->schema), .body_kind = BODY_JSON};
    struct slice rest = bench->text;
    const uint8_t *end;
    while (rest.size && (end = memchr(rest.data, '\n', rest.size))) {
        struct map_result result;
        bench->datum.size = 0;
        if (!slice_take(&rest, (size_t)(end - rest.data), &task.body)) {
            break;
        }
        enum err e = map_run(bench->mapper, &task, &bench->datum, &result, why);
        if (e) {
            return e;
        }
        rest.data++;
        rest.size--;
        bench->events++;
        if (bench->is_shown) {
            fwrite(bench->datum.data, 1, bench->datum.size, stdout);
        }
    }
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct why why = {"out of memory"};
    if (argc != 4) {
        return 2;
    }
    unsigned long times = strtoul(argv[3], NULL, 10);
    bench.is_shown = times == 0;
    enum err e = bench_open(&bench, argv[1], argv[2], &why);
    double begin = cpu_us();
    for (unsigned long t = 0; !e && (t < times || (t == 0 && bench.is_shown)); t++) {
        e = map_lines(&bench, &why);
    }
    double us = cpu_us() - begin;
    if (e) {
        fprintf(stderr, "event %lu: %s\n", bench.events + 1, why.text);
    } else if (!bench.is_shown) {
        printf("%lu %.4f\n", bench.events, us / (double)bench.events);
    }
    bench_close(&bench);
    return e ? 1 : 0;
}
