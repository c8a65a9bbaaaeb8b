#include "uplink/file/disk.h"

static const char *const file_codecs[] = {"null", "deflate", "zstandard", NULL};

static enum err file_check_name(const void *value, struct why *why)
{
    static const char *const parts[] = {"{stream}", NULL};
    const char *pattern = *(const char *const *)value;
    enum err e = object_name_check(pattern, parts, why);
    if (!e && strstr(pattern, "{last}")) { /* a file begins before its end is known */
        why_set(why, "the name pattern \"%s\" has {last}, which only objects have", pattern);
        e = ERR_CONFIG;
    }
    if (!e && !strstr(pattern, "{number}") && !strstr(pattern, "{first}")) {
        why_set(why, "the name pattern \"%s\" must hold {number} or {first}", pattern);
        e = ERR_CONFIG;
    }
    return e;
}

const struct option file_table[] = {
    {.name = "path",
     .kind = OPTION_PATH,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct file_options, path),
     .help = "The folder for the files; made when missing."},
    {.name = "name",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct file_options, name),
     .min = 1,
     .max = 512,
     .initial = "{stream}/%Y-%m-%d/{agent}-{incarnation}-{number}.avro",
     .check = file_check_name,
     .help = "Name of a file below the folder: {stream}, {agent}, {incarnation}, {number} of the "
             "file, {first} sequence in it; %Y %m %d %H %M of the time of its first event, in "
             "UTC."},
    {.name = "codec",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct file_options, codec),
     .initial = "deflate",
     .words = file_codecs,
     .help = "Compression inside the Avro containers. Every reader knows deflate; zstandard is "
             "smaller."},
    {.name = "level",
     .kind = OPTION_INT,
     .offset = offsetof(struct file_options, level),
     .max = 19,
     .initial = "0",
     .help = "How hard to compress: deflate 1-9, zstandard 1-19; 0: the codec's usual one."},
    {.name = "size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct file_options, size_max),
     .min = 1024,
     .max = INT64_C(1) << 40,
     .initial = "64 MiB",
     .help = "A file that reaches this size is finished."},
    {.name = "time_max",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct file_options, time_max_ms),
     .min = 100,
     .max = 31 * INT64_C(86400000),
     .initial = "1 h",
     .help = "A file that has been open for so long is finished."},
    {.name = "free_min",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct file_options, free_min),
     .max = INT64_C(1) << 50,
     .initial = "16 MiB",
     .help = "Nothing is written while the file system has less room than this: events wait in "
             "the buffer."},
    {.name = NULL},
};
