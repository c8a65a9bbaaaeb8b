#include "ports/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "ports/clock.h"
#include "ports/slice.h"

#define LOG_TEXT_SIZE_MAX 1024
#define LOG_LINE_SIZE_MAX (LOG_TEXT_SIZE_MAX + 256)

static atomic_int level_now = LOG_INFO;

void log_level_set(enum log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum log_level log_level_get(void)
{
    return (enum log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

/* systemd names the socket of the journal in JOURNAL_STREAM as "device:inode"; stderr may have been
 * redirected since. */
static bool log_goes_to_journal(void)
{
    const char *named = getenv("JOURNAL_STREAM");
    struct stat s;
    if (!named || fstat(STDERR_FILENO, &s) != 0) {
        return false;
    }
    char ours[64];
    snprintf(ours, sizeof ours, "%llu:%llu", (unsigned long long)s.st_dev,
             (unsigned long long)s.st_ino);
    return strcmp(ours, named) == 0;
}

static void log_put_start(struct out *line, enum log_level level, const char *part)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    static const unsigned syslog_levels[] = {3, 4, 6, 7};
    if (log_goes_to_journal()) {
        out_put_format(line, "<%u>", syslog_levels[level]);
    } else {
        char now[CLOCK_TEXT_SIZE];
        clock_format(clock_wall_us(), 3, now);
        out_put_format(line, "%s ", now);
    }
    out_put_format(line, "%s %.64s: ", names[level], part);
}

/* A peer's text must not forge lines or move the cursor of a terminal. */
static void log_put_escaped(struct out *line, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f) {
            out_put_format(line, "\\x%02x", c);
        } else {
            out_put_byte(line, c);
        }
    }
}

void log_put(enum log_level level, const char *part, const char *format, ...)
{
    if (level > log_level_get()) {
        return;
    }
    char text[LOG_TEXT_SIZE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof text) {
        memcpy(text + sizeof text - 4, "...", 4);
    }
    char memory[LOG_LINE_SIZE_MAX];
    struct out line = out_over(memory, sizeof memory - 1);
    log_put_start(&line, level, part);
    log_put_escaped(&line, text);
    memory[line.size] = '\n';
    /* One write, so that lines of several threads do not mix. Nobody can be told when it fails. */
    ssize_t written = write(STDERR_FILENO, memory, line.size + 1);
    (void)written;
}
