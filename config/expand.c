#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/fill.h"
#include "ports/file.h"
#include "ports/identity.h"
#include "ports/tls.h"

#define EXPAND_SIZE_MAX OPTION_TEXT_SIZE_MAX

/* NULL: no memory. */
static const char *path_of(struct fill *fill, const char *name)
{
    return name[0] == '/' ? name : memory_format(fill->memory, "%s%s", fill->folder, name);
}

static enum err expand_file(const char *path, bool is_secret, struct out *ret, struct why *why)
{
    if (!path) {
        return ERR_NOMEM;
    }
    struct slice content;
    enum err e = is_secret ? file_read_secret(path, EXPAND_SIZE_MAX, &content, why)
                           : file_read(path, EXPAND_SIZE_MAX, &content, why);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    uint8_t *memory = (uint8_t *)(uintptr_t)content.data;
    while (content.size && (memory[content.size - 1] == '\n' || memory[content.size - 1] == '\r')) {
        content.size--;
    }
    if (memchr(memory, 0, content.size)) {
        why_set(why, "%s holds a NUL", path);
        e = ERR_CONFIG;
    } else if (!slice_is_utf8(content)) {
        why_set(why, "%s is not UTF-8", path);
        e = ERR_CONFIG;
    } else {
        out_put_slice(ret, content);
    }
    free(memory);
    return e;
}

/* What the device is called by itself. False: `name` is none of these. */
static bool expand_identity(const char *name, struct out *ret, enum err *ret_e, struct why *why)
{
    static const char *const names[] = {[IDENTITY_MACHINE] = "machine_id",
                                        [IDENTITY_SERIAL] = "serial_number",
                                        [IDENTITY_HOST_NAME] = "host_name"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_e = identity_put((enum identity)i, "", ret, why);
            return true;
        }
    }
    return false;
}

/* One "${...}": `name` is what stands between the braces. */
static enum err expand_one(struct fill *fill, struct slice name, bool is_secret, struct out *ret,
                           struct why *why)
{
    const char *text = memory_text(fill->memory, name);
    if (!text) {
        return ERR_NOMEM;
    }
    if (strncmp(text, "file:", 5) == 0 && text[5]) {
        return expand_file(path_of(fill, text + 5), is_secret, ret, why);
    }
    if (strncmp(text, "common_name:", 12) == 0 && text[12]) {
        const char *path = path_of(fill, text + 12);
        return path ? tls_common_name(path, ret, why) : ERR_NOMEM;
    }
    enum err e;
    if (expand_identity(text, ret, &e, why)) {
        return e;
    }
    if (strncmp(text, "env:", 4) == 0 && text[4]) {
        const char *value = getenv(text + 4);
        if (!value) {
            why_set(why, "the environment has no %s", text + 4);
            return ERR_CONFIG;
        }
        if (!slice_is_utf8(slice_of_text(value))) {
            why_set(why, "%s in the environment is not UTF-8", text + 4);
            return ERR_CONFIG;
        }
        out_put_text(ret, value);
        return ERR_OK;
    }
    why_set(why,
            "${%.64s} stands for nothing: there are ${env:NAME}, ${file:PATH}, ${machine_id}, "
            "${serial_number}, ${host_name} and ${common_name:PATH}; for the characters themselves "
            "write $${",
            text);
    return ERR_CONFIG;
}

static enum err expand_all(struct fill *fill, struct slice text, bool is_secret, struct out *ret,
                           struct why *why)
{
    for (size_t at = 0; at < text.size;) {
        struct slice rest = {text.data + at, text.size - at};
        if (slice_starts_with(rest, SLICE("$${"))) {
            out_put_text(ret, "${");
            at += 3;
            continue;
        }
        if (!slice_starts_with(rest, SLICE("${"))) {
            out_put_byte(ret, rest.data[0]);
            at++;
            continue;
        }
        const uint8_t *end = memchr(rest.data, '}', rest.size);
        if (!end) {
            why_set(why, "a ${ without its }");
            return ERR_CONFIG;
        }
        struct slice name = {rest.data + 2, (size_t)(end - rest.data) - 2};
        enum err e = expand_one(fill, name, is_secret, ret, why);
        if (e) {
            return e;
        }
        at += name.size + 3;
    }
    return ERR_OK;
}

enum err expand_text(struct fill *fill, struct slice text, bool is_secret, const char **ret,
                     struct why *why)
{
    const char *written = memory_text(fill->memory, text);
    if (!written) {
        return ERR_NOMEM;
    }
    if (!strstr(written, "${")) {
        *ret = written;
        return ERR_OK;
    }
    uint8_t *scratch = malloc(EXPAND_SIZE_MAX);
    struct fill_origin *origin = memory_take(fill->memory, sizeof *origin);
    enum err e = scratch && origin ? ERR_OK : ERR_NOMEM;
    if (!e) {
        struct out out = out_over(scratch, EXPAND_SIZE_MAX);
        e = expand_all(fill, text, is_secret, &out, why);
        if (!e && out.overflow) {
            why_set(why, "the text is over %d bytes", EXPAND_SIZE_MAX);
            e = ERR_CONFIG;
        }
        const char *value = e ? NULL : memory_text(fill->memory, out_slice(&out));
        if (!e && !value) {
            e = ERR_NOMEM;
        }
        if (!e) {
            *origin = (struct fill_origin){fill->origins, value, written};
            fill->origins = origin;
            *ret = value;
        }
        explicit_bzero(scratch, EXPAND_SIZE_MAX);
    }
    free(scratch);
    return e;
}
