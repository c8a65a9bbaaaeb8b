/* weir: the program. A table of contents; each command is a file. */
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "drivers/drivers.h"
#include "uplink/file/file.h"
#include "uplink/kafka/kafka.h"

static const struct uplink_class *const uplink_classes[] = {&file_class, &kafka_class, NULL};

const struct config_parts known_parts = {.drivers = driver_classes, .uplinks = uplink_classes};

static int version_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("weir %s\n", WEIR_VERSION);
    return EXIT_FINE;
}

static int config_words(int argc, char **argv)
{
    return config_command(argc, argv, &known_parts);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
    const char *help;
} commands[] = {
    {"run", run_command, "run [CONFIG]",
     "Runs the agent until SIGTERM or SIGINT; then everything that was taken is stored and the "
     "agent ends."},
    {"check", check_command, "check [CONFIG]",
     "Finds every mistake of a configuration without running it. One line each on "
     "stderr,\nFILE:LINE:COL: $.json.path: text; exit code 1 when there are any."},
    {"status", status_command, "status [--socket PATH] [--buffer PATH] [--json]",
     "Asks the running agent how it is."},
    {"buffer", buffer_command,
     "buffer ls|cat [STREAM] [--buffer PATH] [--first N] [--count N] [--json]",
     "Lists the streams of the buffer, or prints stored events as JSON lines. Works with the agent "
     "running or\nstopped."},
    {"aside", aside_command, "aside ls [--buffer PATH] [--json]",
     "Lists the events that were set aside, with their reasons."},
    {"config", config_words, "config show CONFIG | schema | reference",
     "show: the configuration with every default filled in, secrets as ***. schema: a JSON Schema "
     "of the\nconfiguration. reference: every option, as Markdown."},
    {"avro", avro_command, "avro encode SCHEMA JSON [--plain] | decode SCHEMA BIN | cat FILE",
     "Avro's binary encoding from and to Avro's JSON encoding (--plain: from a payload, as intake "
     "maps "
     "it), and\ncontainer files as lines. \"-\" is standard input."},
    {"schema", schema_command, "schema canonical FILE | fingerprint FILE",
     "The Parsing Canonical Form of an Avro schema, and its fingerprints."},
    {"version", version_command, "version", "Prints the version."},
};

static int help(void)
{
    printf("weir %s: collects events at a site, keeps each one safely, and delivers it "
           "once.\n\nusage: weir COMMAND ...\n\n",
           WEIR_VERSION);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        printf("  weir %s\n", commands[i].usage);
    }
    printf("\nweir COMMAND --help says more. CONFIG is %s unless given.\n"
           "Exit codes: 0 fine, 1 a negative answer, 2 bad usage or bad input, 3 failed.\n",
           CONFIG_PATH_DEFAULT);
    return EXIT_FINE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)help();
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return help();
    }
    if (strcmp(argv[1], "--version") == 0) {
        return version_command(0, NULL);
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0) {
            continue;
        }
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            printf("usage: weir %s\n\n%s\n", commands[i].usage, commands[i].help);
            return EXIT_FINE;
        }
        return commands[i].run(argc - 2, argv + 2);
    }
    fprintf(stderr, "weir: there is no command \"%s\"; see weir --help\n", argv[1]);
    return EXIT_USAGE;
}
