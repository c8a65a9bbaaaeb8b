/* The commands of the program. Each gets what main() gets after its own name, prints on stdout,
 * complains on stderr, and returns the exit code: 0 fine, 1 a negative answer, 2 bad usage or bad
 * input, 3 failed. */
#ifndef WEIR_AGENT_COMMAND_H
#define WEIR_AGENT_COMMAND_H

#include "config/config.h"
#include "ports/lib/json_tree.h"

enum exit_code { EXIT_FINE = 0, EXIT_NEGATIVE = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

struct avro_schema;

extern const struct config_parts known_parts;

int run_command(int argc, char **argv);
int check_command(int argc, char **argv);
int status_command(int argc, char **argv);
int reload_command(int argc, char **argv);
int buffer_command(int argc, char **argv);
int aside_command(int argc, char **argv);
int avro_command(int argc, char **argv);
int columns_command(int argc, char **argv);
int schema_command(int argc, char **argv);
/* What comes behind "schema register". */
int schema_register_command(int argc, char **argv);
int schema_infer_command(int argc, char **argv);
int plan_command(int argc, char **argv);

/* --- helpers of the commands --- */

/* An option's value: "--name VALUE" or "--name=VALUE" at argv[*index], which moves on. NULL: this
 * is another argument. */
const char *command_option(int argc, char **argv, int *index, const char *name);
/* Prints "weir WHAT: text" and gives EXIT_USAGE. */
int command_misuse(const char *what, const char *text);
/* Ends what was printed on stdout: an exit code. */
int command_finish(void);
enum command_say {
    COMMAND_SAY_ALL,      /* mistakes and warnings on stderr; without mistakes a line on stdout */
    COMMAND_SAY_FINDINGS, /* mistakes and warnings on stderr */
    COMMAND_LOG_WARNINGS, /* mistakes on stderr; warnings are logged, on the level that is set here */
};
/* Loads and checks a configuration completely, and says what was found. NULL: there are mistakes;
 * *ret_code is an exit code. */
struct config *command_config(const char *path, enum command_say say, int *ret_code);
/* A file, or standard input for "-"; command_free_input() takes it back. */
enum err command_read_input(const char *path, struct slice *ret, struct why *why) MUST_USE;
void command_free_input(struct slice input);
/* Parses the schema in a file, "-" is standard input. */
enum err command_read_schema(const char *path, struct avro_schema **ret, struct why *why) MUST_USE;
/* What went wrong with a file, and the exit code: an error of the machine is not the input's. */
int command_complain(const char *path, enum err e, const struct why *why);
/* Asks the agent behind the socket; prints nothing. *ret is malloc'd and NUL-terminated.
 * ERR_CLOSED: no agent there. ERR_AUTH: it may not be asked. ERR_REJECTED: *why is its refusal. */
enum err command_ask(const char *socket_path, const char *request, char **ret,
                     struct why *why) MUST_USE;
/* The same; where no agent is there, one that can't be opened yet (control_wait()). */
enum err command_ask_or_waiting(const char *socket_path, const char *request, char **ret,
                                bool *ret_waits, struct why *why) MUST_USE;
/* What a start would refuse: schemas that do not go with those in the buffer, of a running agent or
 * a stopped one. Where there is no buffer yet there is nothing to compare. */
void check_gate(const struct config *config, struct config_report *report);
/* Reads and checks a configuration as for a start. NULL: the report says why. */
struct config *command_load(const char *path, struct config_report *report);
/* Logs from now on what this one says. */
void command_log_level(const struct config *config);
#define REPORT_SIZE_MAX (256 * 1024)
/* A connection to the agent's socket, which waits for an answer no longer than some seconds.
 * ERR_CLOSED: no agent there. ERR_AUTH: it may not be asked. */
enum err command_connect(const char *path, int *ret, struct why *why) MUST_USE;
/* The socket beside a buffer: "weir.sock" in its folder. */
void command_socket_beside(const char *buffer_path, char *ret, size_t size);

#define SCHEMA_USAGE \
    "schema check [--mode MODE] --old FILE [--old FILE ...] --new FILE [--json] | " \
    "check [--mode MODE] --stream S [--buffer PATH] [--socket PATH] [--key FILE] --new FILE " \
    "[--json] | show FILE | " \
    "diff OLD NEW | infer [--name NAME] [--namespace NAME] FILE... | canonical FILE | " \
    "fingerprint FILE | register [--config CONFIG] [--uplink U] " \
    "[--dry-run] [--json] [STREAM...]"
#define COLUMNS_USAGE \
    "columns encode SCHEMA NDJSON [--sequence N] [--schema-id N] [--plain] | decode SCHEMA FILE"
#define STATUS_USAGE "status [--socket PATH] [--buffer PATH] [--json] [--watch]"
#define RELOAD_USAGE "reload [--socket PATH] [--buffer PATH]"
#define CHECK_USAGE "check [--online [--json]] [CONFIG]"
#define SCHEMA_REGISTER_USAGE \
    "schema register [--config CONFIG] [--uplink U] [--dry-run] [--json] [STREAM...]"
#define BUFFER_PATH_DEFAULT "/var/lib/weir/buffer.db"
#define BUFFER_USAGE \
    "buffer ls | cat | stats | verify | export | import | replay | drop | salvage | compact | " \
    "rekey | wear ... [--buffer PATH] [--socket PATH]"
#define PLAN_USAGE \
    "plan CONFIG SAMPLE [--stream S] [--rate [S=]N ...] [--duration D] [--reconnects N] " \
    "[--outages NxD] [--loss PERCENT] [--round-trip MS] [--mtu N] [--partitions N] " \
    "[--certificates N] [--http1] [--json]"
#define SCHEMA_INFER_USAGE "schema infer [--name NAME] [--namespace NAME] FILE..."
#define ASIDE_USAGE "aside ls | cat | export | replay | drop ... [--buffer PATH] [--socket PATH]"

#endif
