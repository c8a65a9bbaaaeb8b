#include "agent/keys.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/file.h"

#define KEY_FILE_SIZE_MAX 1024

void keys_of_config(struct keys *ret, const struct config *config)
{
    const struct buffer_encryption *e = &config->buffer.encryption;
    *ret = (struct keys){.has_key = e->key, .has_old_key = e->old_key};
    bool are_keys = (!e->key || aead_key_of_text(e->key, ret->key)) &&
                    (!e->old_key || aead_key_of_text(e->old_key, ret->old_key));
    assert(are_keys); /* config/ has checked them */
    (void)are_keys;
}

static enum err key_of_file(const char *path, uint8_t ret[AEAD_KEY_SIZE], struct why *why)
{
    struct slice content = {NULL, 0};
    enum err e = file_read_secret(path, KEY_FILE_SIZE_MAX, &content, why);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    char *text = (char *)(uintptr_t)content.data;
    size_t size = content.size;
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        text[--size] = '\0';
    }
    if (!aead_key_of_text(text, ret)) {
        why_set(why, "%s holds no key: 64 hexadecimal digits, or base64 of 32 bytes", path);
        e = ERR_CONFIG;
    }
    aead_wipe(text, content.size);
    free(text);
    return e;
}

enum err keys_of_files(struct keys *ret, const char *key_path, const char *old_key_path,
                       struct why *why)
{
    *ret = (struct keys){.has_key = key_path, .has_old_key = old_key_path};
    enum err e = key_path ? key_of_file(key_path, ret->key, why) : ERR_OK;
    return e || !old_key_path ? e : key_of_file(old_key_path, ret->old_key, why);
}

void keys_lend(const struct keys *keys, struct buffer_setup *setup)
{
    setup->key = keys->has_key ? keys->key : NULL;
    setup->old_key = keys->has_old_key ? keys->old_key : NULL;
}

void keys_wipe(struct keys *keys)
{
    aead_wipe(keys, sizeof *keys);
}
