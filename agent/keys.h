/* The keys of the buffer: from the configuration, or from files that the command line names. */
#ifndef WEIR_AGENT_KEYS_H
#define WEIR_AGENT_KEYS_H

#include "buffer/buffer.h"
#include "config/config.h"
#include "ports/lib/aead.h"

struct keys {
    bool has_key;
    bool has_old_key;
    uint8_t key[AEAD_KEY_SIZE];
    uint8_t old_key[AEAD_KEY_SIZE];
};

/* As checked when it was loaded. */
void keys_of_config(struct keys *ret, const struct config *config);
/* A file has a key as the configuration would, and may not be readable by others. NULL: none.
 * ERR_CONFIG. */
enum err keys_of_files(struct keys *ret, const char *key_path, const char *old_key_path,
                       struct why *why) MUST_USE;
/* Both live until buffer_open() has returned. */
void keys_lend(const struct keys *keys, struct buffer_setup *setup);
void keys_wipe(struct keys *keys);

#endif
