/* weir: the program. A table of contents; each command is a file. */
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "commands_built.h"
#include "drivers/drivers.h"
#include "uplinks_built.h"

/* Which ones: weir_parts(UPLINK ...) in agent/CMakeLists.txt. */
#define DECLARATION(name) extern const struct uplink_class name##_uplink_class;
#define CLASS(name) &name##_uplink_class,
#define TYPE(name) #name,

UPLINKS_BUILT(DECLARATION)

static const struct uplink_class *const uplink_classes[] = {UPLINKS_BUILT(CLASS) NULL};
static const char *const uplinks_left_out[] = {UPLINKS_LEFT_OUT(TYPE) NULL};
static const char *const commands_left_out[] = {COMMANDS_LEFT_OUT(TYPE) NULL};

const struct config_parts known_parts = {.drivers = driver_classes,
                                         .uplinks = uplink_classes,
                                         .drivers_left_out = drivers_left_out,
                                         .uplinks_left_out = uplinks_left_out};

#define BUFFER_HELP \
    "Works with the agent running (through its socket) or stopped (on the file).\n\n" \
    "ls       the streams: events, what is stored, the oldest, what is owed to whom\n" \
    "cat      STREAM: stored events as lines of JSON. FILTERS, --count N\n" \
    "stats    the file: size, log, pages, rows, compression, tail, gaps, drops\n" \
    "verify   reads everything and compares checksums, with the agent stopped every page too;\n" \
    "         exit code 1, and the place of each, when something is damaged\n" \
    "export   --format avro|ndjson [--out FILE|FOLDER|-] [--codec deflate|null|zstandard]\n" \
    "         [--stream S] FILTERS. avro: a container for each stream and schema, into a\n" \
    "         folder that exists; or of one stream\n" \
    "import   FILE [--stream S] [--plain] [--again]: what export wrote, another container, or\n" \
    "         lines of JSON (Avro's encoding; --plain: as payloads are mapped), as new events.\n" \
    "         All of it is looked at first: of a file that does not fit nothing is taken. A\n" \
    "         file goes in once; --again takes it once more; an import that was interrupted\n" \
    "         goes on where it stood\n" \
    "replay   --uplink U [--stream S] FILTERS: what is still stored is owed to this uplink\n" \
    "         (again); what it has delivered before arrives twice. Asks, or needs --yes\n" \
    "drop     [--uplink U] [--stream S] FILTERS: is no longer owed, to this uplink or to all;\n" \
    "         counted, and reported as a gap. What is being sent stays. Asks, or needs --yes\n" \
    "salvage  FILE: what can be read of a damaged file that was kept comes over\n" \
    "compact  gives free pages back to the file system; only with the agent stopped\n" \
    "rekey    writes everything anew under another key; only with the agent stopped\n" \
    "wear     what was written to the flash, and what other intervals would cost\n\n" \
    "FILTERS: --from-seq N, --to-seq N: sequences; --since TIME, --until TIME: the times of\n" \
    "the events, as 2026-03-01 or 2026-03-01T12:00:00Z; both ends are included.\n" \
    "--json where data is printed. --key FILE, --old-key FILE: of a buffer that is\n" \
    "encrypted, with the agent stopped. export, import, replay and drop on a running agent\n" \
    "are for root and for the agent's own user."

#define SCHEMA_HELP \
    "check    May the new schema take the place of the old ones (oldest first)? What stands in\n" \
    "         the way, one line each: OLDFILE: KIND LOCATION: what is wrong: what to do. KIND " \
    "and\n" \
    "         LOCATION are those of Apache Avro for Java. Exit code 0: nothing, 1: something.\n" \
    "         MODE, in any case (backward unless given):\n" \
    "           backward  the new schema reads what the last old one wrote\n" \
    "           forward   the last old schema reads what the new one writes\n" \
    "           full      both\n" \
    "           none      anything goes\n" \
    "         backward_transitive, forward_transitive, full_transitive: all the old ones\n" \
    "         --stream S: the old ones are the versions that the buffer keeps of the stream\n" \
    "show     a schema to read: fields, types, defaults, aliases, doc\n" \
    "diff     what changed, field by field, and which modes forbid it\n" \
    "infer    a schema from samples, a JSON object in each line, that takes all of them back\n" \
    "canonical, fingerprint: the Parsing Canonical Form, and its fingerprints\n" \
    "register the schemas of these streams (of all) at the registries of their uplinks: each is\n" \
    "         looked up, asked about and, if need be, registered, also where the agent itself\n" \
    "         only looks up. Prints subject, version and id. --dry-run: only looks up and asks.\n" \
    "         Exit code 1: one is refused; 3: a registry gave no answer\n\n" \
    "FILE is an Avro schema, or has samples; that of a schema may be \"-\", standard input."

#define ASIDE_HELP \
    "Events that were set aside: because they did not fit, or because a destination refused them " \
    "for " \
    "good.\nWorks with the agent running, and on the file of one that is stopped.\n\n" \
    "ls       lists them with their reasons\n" \
    "cat      the original bytes, one event a line; --json: with everything that is known of " \
    "them\n" \
    "export   FILE: an Avro container that every reader opens; - is standard output\n" \
    "replay   sends them through the whole intake again, by the routes and schemas of now; of a " \
    "datum that " \
    "a\n         destination refused, only that one gets it again. What still does not fit " \
    "stays. Exit " \
    "code 1: some do.\n         With the agent running\n" \
    "drop     removes them for good; asks, or --yes\n\n" \
    "Which ones: --stream S, --id A[..B], --reason TEXT (a part of it), --since TIME, --until " \
    "TIME " \
    "(when they were\nset aside), --count N. --json where data is printed."

#define PLAN_HELP \
    "MB a month that a configuration will put on its links, by stream and cause, what other\n" \
    "intervals, layouts and levels of compression would cost, and whether the budgets do. " \
    "Nothing\n" \
    "is sent or stored.\n\n" \
    "SAMPLE is a file of payloads, one a line, as a source gives them: an hour or a day of a " \
    "site's\n" \
    "own. With several streams: a folder that has STREAM.ndjson of each, or a file that\n" \
    "weir buffer export wrote as ndjson; or --stream says whose lines they are.\n\n" \
    "--rate N        events a second; S=N: of stream S. Else their own times say it\n" \
    "                (streams.S.time)\n" \
    "--duration D    for how long the sample stands (\"1 d\"); else from its first event to its " \
    "last\n" \
    "--reconnects N  a day: connections that are cut, and made anew (24)\n" \
    "--outages NxD   a day: the link says nothing for so long, and goes on (\"4x30 s\"; none)\n" \
    "--loss PERCENT  of the packets (0)\n" \
    "--round-trip MS from a request to its answer (100)\n" \
    "--mtu N         bytes of a packet on the link (1500)\n" \
    "--partitions N  of each topic; shards of each Kinesis stream (1)\n" \
    "--certificates N bytes of the brokers' chain of certificates, with TLS (2500)\n" \
    "--http1         there is no HTTP/2 on the way to services over HTTPS\n" \
    "--json          the same as one JSON document, in bytes"

static int version_command(int argc, char **argv)
{
    (void)argv;
    if (argc > 0) {
        return command_misuse("version", "usage: weir version");
    }
    printf("weir %s\n", WEIR_VERSION);
    return EXIT_FINE;
}

static int config_words(int argc, char **argv)
{
    return config_command(argc, argv, &known_parts);
}

#define AVRO_USAGE \
    "avro encode SCHEMA JSON [--plain] | decode SCHEMA BIN [--reader SCHEMA] | cat FILE... " \
    "[--reader SCHEMA]"
#define AVRO_HELP \
    "Avro's binary encoding from and to Avro's JSON encoding (--plain: from a payload, as " \
    "intake\n" \
    "maps it), and container files as lines. \"-\" is standard input.\n\n" \
    "--reader: the data as a program with this schema reads them, by Avro's schema resolution:\n" \
    "numbers are promoted, fields found by name or alias, missing ones take their defaults.\n" \
    "Exit code 2 when a value does not fit."

#define COLUMNS_HELP \
    "encode: events, one a line in Avro's JSON encoding (--plain: as payloads are mapped), as " \
    "one\n" \
    "batch of the layout columns: a record weir.columns.Batch, without the header of a wire\n" \
    "format. --sequence: the number of the first event (0). --schema-id: the schema's id in a\n" \
    "registry; else its fingerprint stands for it. SCHEMA may list known strings\n" \
    "(weir.values).\ndecode: back, one line an event. \"-\" is standard input."

/* Those that a build may leave out: weir_parts(COMMAND ...) in agent/CMakeLists.txt. */
#define COMMAND_buffer {"buffer", buffer_command, BUFFER_USAGE, BUFFER_HELP},
#define COMMAND_aside {"aside", aside_command, ASIDE_USAGE, ASIDE_HELP},
#define COMMAND_avro {"avro", avro_command, AVRO_USAGE, AVRO_HELP},
#define COMMAND_columns {"columns", columns_command, COLUMNS_USAGE, COLUMNS_HELP},
#define COMMAND_schema {"schema", schema_command, SCHEMA_USAGE, SCHEMA_HELP},
#define COMMAND_plan {"plan", plan_command, PLAN_USAGE, PLAN_HELP},
#define ENTRY(name) COMMAND_##name

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
    const char *help;
} commands[] = {
    {"run", run_command, "run [CONFIG]",
     "Runs the agent until SIGTERM or SIGINT; then everything that was taken is stored and the "
     "agent ends\n(a second signal: at once). SIGHUP: as weir reload. Logs to stderr. Exit code 2: "
     "the configuration has mistakes,\nwhich are listed."},
    {"check", check_command, CHECK_USAGE,
     "Finds every mistake of a configuration without running it. One line each on "
     "stderr,\nFILE:LINE:COL: $.json.path: text; exit code 1 when there are any.\nSchemas are "
     "compared "
     "with those in the buffer (of a running agent too), as a start would: what it\nwould refuse "
     "is a "
     "mistake.\n\n"
     "--online, when there are none: asks the network too, without changing the buffer and without "
     "sending an event.\nNames, connections, TLS and how long certificates are good, logins, "
     "topics, rights, the topics' retention\nand sizes, the registry's answer about each schema, "
     "the clock, ports to listen on. One line each on stdout,\n"
     "ok|warning|error  $.json.path: what — what is wrong and what to do; exit code 1 when there "
     "is an error.\nTakes at most 45 s. --json: one document with the same.\n\n"
     "The user's rights on a Kafka topic that it needs: Write (which includes Describe), before "
     "2.8 also\nIdempotentWrite on the cluster; wanted: Read, and DescribeConfigs to have the "
     "settings compared."},
    {"status", status_command, STATUS_USAGE,
     "Asks the running agent how it is: what was taken, stored, delivered and set aside, the "
     "buffer, each driver\nand uplink with its fault if it has one, and what to do. "
     "--watch: anew each second.\nExit code 1: no agent answers, or it waits for its buffer."},
    {"reload", reload_command, RELOAD_USAGE,
     "The running agent reads its configuration anew, as at SIGHUP, with the schemas, secrets and "
     "certificates in files\nthat it names. It is checked completely first: a file with mistakes "
     "changes nothing. What did not change goes\non; what is taken up is named, and what only a "
     "restart takes up: agent.id, buffer.path. For root and the\nagent's own user.\n\n"
     "Exit code 1: a schema is refused; 2: the file has mistakes, which are listed; 3: no agent "
     "answers, or it failed."},
    {"config", config_words, "config show [CONFIG] | schema | reference",
     "show: the configuration with every default filled in, secrets as ***. schema: a JSON Schema "
     "of the\nconfiguration. reference: every option, as Markdown."},
    {"version", version_command, "version", "Prints the version."},
    COMMANDS_BUILT(ENTRY)};

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
    for (const char *const *name = commands_left_out; *name; name++) {
        if (strcmp(argv[1], *name) == 0) {
            fprintf(stderr, "weir: this build was made without the command \"%s\"\n", *name);
            return EXIT_USAGE;
        }
    }
    fprintf(stderr, "weir: there is no command \"%s\"; see weir --help\n", argv[1]);
    return EXIT_USAGE;
}
