#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/print.h"

#define REPORT_SIZE_MAX (256 * 1024)

int config_print_report(const char *path, const struct config_report *report)
{
    fwrite(report->text.data, 1, report->text.size, stderr);
    if (report->error_count > 0) {
        return 1;
    }
    if (report->warning_count > 0) {
        printf("%s: no mistakes; warnings: %u\n", path, report->warning_count);
    } else {
        printf("%s: all is well\n", path);
    }
    return 0;
}

static int command_flush(const struct out *out)
{
    assert(!out->overflow); /* PRINT_SIZE_MAX is far more than CONFIG_SIZE_MAX can ask for */
    bool is_written = fwrite(out->data, 1, out->size, stdout) == out->size && fflush(stdout) == 0;
    if (!is_written) {
        fprintf(stderr, "weir: can't write the output\n");
    }
    return is_written ? 0 : 3;
}

static int command_show(const char *path, const struct config_parts *parts, struct out *out)
{
    uint8_t *memory = malloc(REPORT_SIZE_MAX);
    if (!memory) {
        fprintf(stderr, "weir: not enough memory\n");
        return 3;
    }
    struct config_report report = {.text = out_over(memory, REPORT_SIZE_MAX)};
    struct config *config = NULL;
    enum err e = config_load(&config, path, parts, &report);
    if (e) {
        (void)config_print_report(path, &report); /* its code is that of `check` */
    } else {
        print_config(config, out);
    }
    config_close(config);
    free(memory);
    return e == ERR_NOMEM ? 3 : e ? 2 : command_flush(out);
}

int config_command(int argc, char **argv, const struct config_parts *parts)
{
    const char *verb = argc > 0 ? argv[0] : "";
    int code = 2;
    uint8_t *memory = malloc(PRINT_SIZE_MAX);
    if (!memory) {
        fprintf(stderr, "weir: not enough memory\n");
        return 3;
    }
    struct out out = out_over(memory, PRINT_SIZE_MAX);
    if (strcmp(verb, "show") == 0 && argc <= 2) {
        code = command_show(argc == 2 ? argv[1] : CONFIG_PATH_DEFAULT, parts, &out);
    } else if (strcmp(verb, "schema") == 0 && argc == 1) {
        print_schema(parts, &out);
        code = command_flush(&out);
    } else if (strcmp(verb, "reference") == 0 && argc == 1) {
        print_reference(parts, &out);
        code = command_flush(&out);
    } else {
        fprintf(stderr, "usage: weir config show [CONFIG] | schema | reference\n");
    }
    free(memory);
    return code;
}
