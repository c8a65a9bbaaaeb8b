/* Inside of "weir schema": its sub-commands, each in a file of its own. They get what comes behind
 * their name and give an exit code. */
#ifndef WEIR_AGENT_SCHEMA_IMPL_H
#define WEIR_AGENT_SCHEMA_IMPL_H

#include "agent/command.h"
#include "uplink/avro/compat.h"

int schema_check_command(int argc, char **argv);
int schema_show_command(int argc, char **argv);
int schema_diff_command(int argc, char **argv);

#define SCHEMA_LINE_SIZE_MAX ((size_t)4 * AVRO_SCHEMA_SIZE_MAX)

/* Room for one line of any schema; NULL: no memory, which is told. The caller frees ret->data. */
bool schema_line_open(struct out *ret);
/* Prints the line on stdout, and empties it. What does not fit ends with "...". */
void schema_line_print(struct out *line);

#endif
