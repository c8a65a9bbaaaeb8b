/* weir: the program. A table of contents; each command is a file. */
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "drivers/drivers.h"
#include "uplink/aws/firehose.h"
#include "uplink/aws/kinesis.h"
#include "uplink/file/file.h"
#include "uplink/google/pubsub.h"
#include "uplink/http/http_uplink.h"
#include "uplink/kafka/kafka.h"
#include "uplink/object/azure.h"
#include "uplink/object/gcs.h"
#include "uplink/object/s3.h"

static const struct uplink_class *const uplink_classes[] = {
    &azure_class, &file_class,    &firehose_class, &gcs_class, &http_uplink_class,
    &kafka_class, &kinesis_class, &pubsub_class,   &s3_class,  NULL};

static int help_of(size_t index)
{
    printf("usage: weir %s\n\n%s\n", commands[index].usage, commands[index].help);
    return EXIT_FINE;
}

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

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool has_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)help();
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        return version_command(0, NULL);
    }
    bool is_asked = strcmp(argv[1], "help") == 0;
    if (is_help(argv[1]) || (is_asked && argc == 2)) {
        return help();
    }
    argv += is_asked ? 1 : 0; /* "help run" is "run --help" */
    argc -= is_asked ? 1 : 0;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0) {
            continue;
        }
        return is_asked || has_help(argc - 2, argv + 2) ? help_of(i)
                                                        : commands[i].run(argc - 2, argv + 2);
    }
    fprintf(stderr, "weir: there is no command \"%s\"; see weir --help\n", argv[1]);
    return EXIT_USAGE;
}
