#include "drivers/tail_impl.h"

static const char *const tail_formats[] = {"json", "raw", NULL};
static const char *const tail_froms[] = {"beginning", "end", NULL};
static const struct option tail_path_item = {.kind = OPTION_TEXT, .min = 1, .max = PLACE_PATH_MAX};

const struct option tail_options_table[] = {
    {.name = "paths",
     .kind = OPTION_LIST,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct tail_options, paths),
     .min = 1,
     .max = 64,
     .item = &tail_path_item,
     .help = "Files to follow; each may hold the wildcards * ? [...]. With a pattern that also "
             "fits the rotated files (\"/var/log/app.log*\") nothing is missed by a rotation while "
             "weir is not running."},
    {.name = "exclude",
     .kind = OPTION_LIST,
     .offset = offsetof(struct tail_options, exclude),
     .max = 64,
     .initial = "[\"*.gz\",\"*.xz\",\"*.zst\",\"*.bz2\"]",
     .item = &tail_path_item,
     .help = "Files to leave out: patterns for the name, or, with a slash in them, for the path."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tail_options, format),
     .initial = "json",
     .words = tail_formats,
     .help = "json: each line is one JSON value, and is set aside when it is none; raw: each line "
             "is taken as it is."},
    {.name = "from",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tail_options, from),
     .initial = "beginning",
     .words = tail_froms,
     .help = "Where to begin in the files that are there when this driver runs for the first time. "
             "Files that appear later are always read from their beginning."},
    {.name = "poll",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, poll_ms),
     .min = 10,
     .max = 3600000,
     .initial = "1 s",
     .help = "How often to look for new lines and new files."},
    {.name = "line_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct tail_options, line_size_max),
     .min = 64,
     .max = 1024 * 1024,
     .initial = "64 KiB",
     .help = "Longer lines are set aside, cut, with their true size."},
    {.name = "flush_partial_after",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, flush_partial_after_ms),
     .max = 86400000,
     .initial = "0 s",
     .help = "Take a last line without a newline as a line when nothing was written for so long; "
             "what is written to it later is a line of its own. 0 s: wait for the newline."},
    {.name = "rotate_wait",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct tail_options, rotate_wait_ms),
     .max = 86400000,
     .initial = "30 s",
     .help =
         "A file that no path leads to any more, renamed or deleted, is let go when that was so "
         "and nothing was written to it for so long."},
    {.name = "files_max",
     .kind = OPTION_INT,
     .offset = offsetof(struct tail_options, files_max),
     .min = 1,
     .max = 1024,
     .initial = "64",
     .help = "How many files are followed at one time; each takes a file descriptor and a cursor."},
    {.name = NULL},
};
