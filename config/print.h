/* What is printed from the option tables: the loaded configuration with all defaults, the JSON
 * Schema, the reference page. */
#ifndef WEIR_CONFIG_PRINT_H
#define WEIR_CONFIG_PRINT_H

#include "config/config.h"
#include "config/walk.h"

#define PRINT_SIZE_MAX (4 * 1024 * 1024)

/* JSON that loads again; secrets are "***", texts that stand for something else as written. */
void print_config(const struct config *config, struct out *ret);
/* JSON Schema, draft 2020-12. */
void print_schema(const struct config_parts *parts, struct out *ret);
/* Markdown. */
void print_reference(const struct config_parts *parts, struct out *ret);

#endif
