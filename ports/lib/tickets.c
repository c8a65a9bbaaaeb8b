#include "ports/tickets.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/file.h"
#include "ports/lib/aead.h"
#include "ports/lib/hash.h"
#include "ports/random.h"
#include "ports/tls.h"

#define MAGIC_PLAIN "weirtls1" /* and a digest of what follows */
#define MAGIC_CRYPT "weirtls2" /* and a salt, and what is encrypted under a key of that salt */
#define MAGIC_SIZE 8
#define SALT_SIZE 16
#define HEAD_SIZE (MAGIC_SIZE + HASH_SHA256_SIZE)
#define FILE_SIZE_MAX (TICKETS_OWNER_MAX * (TICKETS_SIZE_MAX + 300) + HEAD_SIZE)
#define NAME_SIZE_MAX 256
#define WRITE_AFTER_MS (10 * 1000)
#define WRITE_EACH_MS (60 * 60 * 1000)

struct owner {
    char name[NAME_SIZE_MAX];
    struct tls *tls;       /* NULL: not here now */
    struct tickets *whole; /* for its callback */
    uint8_t *saved;        /* what was read, or what it left */
    size_t saved_size;
};

struct tickets {
    struct loop *loop;
    char *path;
    bool has_key;
    uint8_t key[AEAD_KEY_SIZE];
    bool changed;
    uint64_t written_ms; /* 0: never */
    struct timer timer;
    struct owner owners[TICKETS_OWNER_MAX];
    size_t owner_count;
};

/* --- owners --- */

static void secret_free(uint8_t *data, size_t size)
{
    if (data) {
        aead_wipe(data, size);
        free(data);
    }
}

static void owner_keep(struct owner *owner, struct slice saved)
{
    uint8_t *copy = malloc(saved.size ? saved.size : 1);
    if (!copy) {
        return;
    }
    memcpy(copy, saved.data, saved.size);
    secret_free(owner->saved, owner->saved_size);
    owner->saved = copy;
    owner->saved_size = saved.size;
}

static struct owner *owner_of(struct tickets *tickets, struct slice name)
{
    for (size_t i = 0; i < tickets->owner_count; i++) {
        if (slice_equal_text(name, tickets->owners[i].name)) {
            return &tickets->owners[i];
        }
    }
    struct owner *owner = &tickets->owners[tickets->owner_count];
    if (tickets->owner_count == TICKETS_OWNER_MAX ||
        !slice_to_text(name, owner->name, sizeof owner->name)) {
        return NULL;
    }
    owner->whole = tickets;
    tickets->owner_count++;
    return owner;
}

/* What it has now. */
static void owner_look(struct owner *owner)
{
    uint8_t *memory = owner->tls ? malloc(TICKETS_SIZE_MAX) : NULL;
    if (!memory) {
        return;
    }
    struct out o = out_over(memory, TICKETS_SIZE_MAX);
    tls_kept_save(owner->tls, &o);
    if (!o.overflow) {
        owner_keep(owner, out_slice(&o));
    }
    secret_free(memory, TICKETS_SIZE_MAX);
}

/* --- the file --- */

static void content_put(const struct tickets *tickets, struct out *o)
{
    for (size_t i = 0; i < tickets->owner_count; i++) {
        const struct owner *owner = &tickets->owners[i];
        if (owner->saved) {
            out_put_uvarint(o, strlen(owner->name));
            out_put_text(o, owner->name);
            out_put_uvarint(o, owner->saved_size);
            out_put(o, owner->saved, owner->saved_size);
        }
    }
}

static void content_take(struct tickets *tickets, struct slice content)
{
    uint64_t size;
    struct slice name, saved;
    while (content.size > 0 && slice_take_uvarint(&content, &size) && size <= TICKETS_SIZE_MAX &&
           slice_take(&content, (size_t)size, &name) && slice_take_uvarint(&content, &size) &&
           size <= TICKETS_SIZE_MAX && slice_take(&content, (size_t)size, &saved)) {
        struct owner *owner = owner_of(tickets, name);
        if (owner) {
            owner_keep(owner, saved);
        }
    }
}

/* The key that belongs to a salt, which no two files share: the nonce may be 0. */
static bool content_key(const struct tickets *tickets, const uint8_t *salt,
                        uint8_t ret[AEAD_KEY_SIZE])
{
    return aead_key_derive(tickets->key, (struct slice){salt, SALT_SIZE}, "weir TLS sessions",
                           ret) == ERR_OK;
}

static void content_decrypt(struct tickets *tickets, struct slice rest)
{
    static const uint8_t nonce[AEAD_NONCE_SIZE] = {0};
    struct slice salt;
    uint8_t key[AEAD_KEY_SIZE];
    if (!slice_take(&rest, SALT_SIZE, &salt) || rest.size < AEAD_TAG_SIZE ||
        !content_key(tickets, salt.data, key)) {
        return;
    }
    size_t size = rest.size - AEAD_TAG_SIZE;
    uint8_t *plain = malloc(size ? size : 1);
    if (plain && aead_decrypt(key, nonce, SLICE(MAGIC_CRYPT), rest, plain)) {
        content_take(tickets, (struct slice){plain, size});
    }
    secret_free(plain, size);
    aead_wipe(key, sizeof key);
}

static void tickets_read(struct tickets *tickets)
{
    struct slice file = {NULL, 0}, magic, digest;
    struct why why; /* a file that is not there, or not ours alone, is none */
    if (file_read_secret(tickets->path, FILE_SIZE_MAX, &file, &why)) {
        return;
    }
    struct slice rest = file;
    if (!slice_take(&rest, MAGIC_SIZE, &magic)) {
        magic = (struct slice){NULL, 0};
    }
    if (tickets->has_key && slice_equal(magic, SLICE(MAGIC_CRYPT))) {
        content_decrypt(tickets, rest);
    } else if (!tickets->has_key && slice_equal(magic, SLICE(MAGIC_PLAIN)) &&
               slice_take(&rest, HASH_SHA256_SIZE, &digest)) {
        uint8_t own[HASH_SHA256_SIZE];
        hash_of(HASH_SHA256, rest, own);
        if (slice_equal(digest, (struct slice){own, sizeof own})) {
            content_take(tickets, rest);
        }
    } else if (tickets->has_key) {
        (void)unlink(tickets->path); /* written without the key: secrets that lie open */
    }
    secret_free((uint8_t *)(uintptr_t)file.data, file.size); /* ours since file_read_secret() */
}

/* Beside, then renamed; without a sync, which would be dear and would make the loop wait. */
static void file_put(const char *path, struct slice content)
{
    char beside[4096];
    int size = snprintf(beside, sizeof beside, "%s.new", path);
    if (size < 0 || (size_t)size >= sizeof beside) {
        return;
    }
    (void)unlink(beside); /* whoever made it: ours has the right mode from its first byte on */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return;
    }
    enum err e = file_write_all(fd, content);
    if (close(fd) || e || rename(beside, path)) {
        (void)unlink(beside);
    }
}

static bool content_wrap(const struct tickets *tickets, struct slice content, struct out *o)
{
    static const uint8_t nonce[AEAD_NONCE_SIZE] = {0};
    uint8_t salt[SALT_SIZE], key[AEAD_KEY_SIZE], digest[HASH_SHA256_SIZE];
    if (!tickets->has_key) {
        hash_of(HASH_SHA256, content, digest);
        out_put_text(o, MAGIC_PLAIN);
        out_put(o, digest, sizeof digest);
        out_put_slice(o, content);
        return !o->overflow;
    }
    random_bytes(salt, sizeof salt);
    out_put_text(o, MAGIC_CRYPT);
    out_put(o, salt, sizeof salt);
    if (o->overflow || o->size_max - o->size < content.size + AEAD_TAG_SIZE ||
        !content_key(tickets, salt, key)) {
        return false;
    }
    aead_encrypt(key, nonce, SLICE(MAGIC_CRYPT), content, o->data + o->size);
    o->size += content.size + AEAD_TAG_SIZE;
    aead_wipe(key, sizeof key);
    return true;
}

static void tickets_write(struct tickets *tickets)
{
    size_t size = HEAD_SIZE + AEAD_TAG_SIZE;
    for (size_t i = 0; i < tickets->owner_count; i++) {
        owner_look(&tickets->owners[i]);
        size += tickets->owners[i].saved_size + NAME_SIZE_MAX + 16;
    }
    uint8_t *memory = malloc(2 * size);
    if (memory) {
        struct out content = out_over(memory, size), file = out_over(memory + size, size);
        content_put(tickets, &content);
        if (!content.overflow && content_wrap(tickets, out_slice(&content), &file)) {
            file_put(tickets->path, out_slice(&file));
        }
    }
    secret_free(memory, 2 * size);
    tickets->changed = false;
    tickets->written_ms = loop_now_ms(tickets->loop);
}

static void tickets_due(struct timer *timer)
{
    tickets_write(CONTAINER_OF(timer, struct tickets, timer));
}

/* --- for the user --- */

static void owner_changed(void *context)
{
    struct tickets *tickets = ((struct owner *)context)->whole;
    uint64_t now_ms = loop_now_ms(tickets->loop);
    uint64_t next_ms = now_ms + WRITE_AFTER_MS;
    if (tickets->written_ms > 0 && tickets->written_ms + WRITE_EACH_MS > next_ms) {
        next_ms = tickets->written_ms + WRITE_EACH_MS;
    }
    if (!tickets->changed) {
        tickets->changed = true;
        timer_arm(&tickets->timer, next_ms - now_ms);
    }
}

enum err tickets_open(struct tickets **ret, struct loop *loop, const char *path, const uint8_t *key)
{
    struct tickets *tickets = calloc(1, sizeof *tickets);
    if (!tickets) {
        return ERR_NOMEM;
    }
    tickets->loop = loop;
    tickets->has_key = key != NULL;
    if (key) {
        memcpy(tickets->key, key, sizeof tickets->key);
    }
    timer_init(&tickets->timer, loop, tickets_due);
    tickets->path = strdup(path);
    if (!tickets->path) {
        tickets_close(tickets);
        return ERR_NOMEM;
    }
    tickets_read(tickets);
    *ret = tickets;
    return ERR_OK;
}

void tickets_close(struct tickets *tickets)
{
    if (!tickets) {
        return;
    }
    timer_release(&tickets->timer);
    if (tickets->changed) {
        tickets_write(tickets);
    }
    for (size_t i = 0; i < tickets->owner_count; i++) {
        assert(!tickets->owners[i].tls);
        secret_free(tickets->owners[i].saved, tickets->owners[i].saved_size);
    }
    free(tickets->path);
    aead_wipe(tickets, sizeof *tickets);
    free(tickets);
}

void tickets_join(struct tickets *tickets, const char *name, struct tls *tls)
{
    struct owner *owner = tickets ? owner_of(tickets, slice_of_text(name)) : NULL;
    if (!owner || owner->tls) {
        return;
    }
    owner->tls = tls;
    if (owner->saved) {
        tls_kept_load(tls, (struct slice){owner->saved, owner->saved_size});
    }
    tls_kept_watch(tls, owner_changed, owner);
}

void tickets_leave(struct tickets *tickets, struct tls *tls)
{
    for (size_t i = 0; tickets && tls && i < tickets->owner_count; i++) {
        struct owner *owner = &tickets->owners[i];
        if (owner->tls == tls) {
            owner_look(owner);
            owner->tls = NULL;
            tls_kept_watch(tls, NULL, NULL);
        }
    }
}
