#include "uplink/kafka/sasl_scram.h"

#include <assert.h>
#include <stdlib.h>

#define ITERATIONS_PER_TURN 256 /* 10 ms on a slow board */
#define BROKER_FIRST_SIZE_MAX 1024
/* client-first-bare (each byte of the user's name may become three), the broker's first message,
 * and the nonce once more */
#define AUTH_MESSAGE_SIZE_MAX (3 * 1024 + 64 + BROKER_FIRST_SIZE_MAX * 2 + 16)

struct scram {
    enum hash_kind kind;
    struct sasl_store *store;
    unsigned step; /* messages of ours so far */
    char nonce[SCRAM_NONCE_SIZE + 1];
    struct hash_stretch *stretch; /* while the password is being salted */
    struct scram_keys keys;       /* as the broker's first message wants them */
    struct out auth_message;      /* grows from message to message */
    size_t final_at;              /* where our final message begins in it */
    uint8_t auth_memory[AUTH_MESSAGE_SIZE_MAX];
};

enum err scram_open(struct scram **ret, enum hash_kind kind, struct sasl_store *store,
                    const char *nonce)
{
    struct scram *scram = calloc(1, sizeof *scram);
    if (!scram) {
        return ERR_NOMEM;
    }
    assert(strlen(nonce) == SCRAM_NONCE_SIZE);
    memcpy(scram->nonce, nonce, sizeof scram->nonce);
    scram->kind = kind;
    scram->store = store;
    scram->auth_message = out_over(scram->auth_memory, sizeof scram->auth_memory);
    *ret = scram;
    return ERR_OK;
}

void scram_close(struct scram *scram)
{
    if (scram) {
        hash_stretch_close(scram->stretch);
        free(scram);
    }
}

/* n=<user>,r=<nonce>, behind a header that says: no channel binding, no other identity. */
static enum err scram_first(struct scram *scram, struct out *ret)
{
    struct out *o = &scram->auth_message;
    out_put_text(o, "n=");
    for (const char *c = scram->store->options->user; *c; c++) {
        if (*c == '=') {
            out_put_text(o, "=3D");
        } else if (*c == ',') {
            out_put_text(o, "=2C");
        } else {
            out_put_byte(o, (uint8_t)*c);
        }
    }
    out_put_text(o, ",r=");
    out_put_text(o, scram->nonce);
    out_put_text(ret, "n,,");
    out_put_slice(ret, out_slice(o));
    return o->overflow || ret->overflow ? ERR_CONFIG : ERR_OK;
}

/* The value of the attribute in front, `name`=value[,]. */
static bool attribute_take(struct slice *s, char name, struct slice *ret)
{
    if (s->size < 2 || s->data[0] != (uint8_t)name || s->data[1] != '=') {
        return false;
    }
    size_t end = 2;
    while (end < s->size && s->data[end] != ',') {
        end++;
    }
    *ret = (struct slice){s->data + 2, end - 2};
    end += end < s->size; /* the comma */
    *s = (struct slice){s->data + end, s->size - end};
    return true;
}

static bool number_take(struct slice text, uint32_t *ret)
{
    uint32_t number = 0;
    if (text.size == 0 || text.size > 9) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    }
    *ret = number;
    return true;
}

/* r=<nonce>,s=<salt>,i=<iterations>: what the broker wants, and our final message up to the
 * proof. */
static enum err scram_read_first(struct scram *scram, struct slice message, struct why *why)
{
    struct slice s = message, nonce, salt, iterations;
    struct scram_keys *keys = &scram->keys;
    struct out o = out_over(keys->salt, sizeof keys->salt);
    if (message.size > BROKER_FIRST_SIZE_MAX || !attribute_take(&s, 'r', &nonce) ||
        !attribute_take(&s, 's', &salt) || !attribute_take(&s, 'i', &iterations) ||
        !hash_take_base64(salt, &o) || o.size == 0 || !number_take(iterations, &keys->iterations)) {
        why_set(why, "the broker's first SCRAM message can't be read");
        return ERR_AUTH;
    }
    keys->salt_size = o.size;
    if (nonce.size <= SCRAM_NONCE_SIZE || !slice_starts_with(nonce, slice_of_text(scram->nonce))) {
        why_set(why,
                "the broker's SCRAM message belongs to another login: is somebody in between?");
        return ERR_AUTH;
    }
    if (keys->iterations < SCRAM_ITERATIONS_MIN || keys->iterations > SCRAM_ITERATIONS_MAX) {
        why_set(why, "the broker wants %u iterations of SCRAM: %u to %u are accepted",
                keys->iterations, SCRAM_ITERATIONS_MIN, SCRAM_ITERATIONS_MAX);
        return ERR_AUTH;
    }
    out_put_text(&scram->auth_message, ",");
    out_put_slice(&scram->auth_message, message);
    out_put_text(&scram->auth_message, ",");
    scram->final_at = scram->auth_message.size;
    out_put_text(&scram->auth_message, "c=biws,r=");
    out_put_slice(&scram->auth_message, nonce);
    assert(!scram->auth_message.overflow);
    return ERR_OK;
}

/* The salted password: as kept, or a piece further. */
static enum err scram_salt(struct scram *scram)
{
    struct scram_keys *keys = &scram->keys, *kept = &scram->store->scram;
    if (kept->iterations == keys->iterations && kept->salt_size == keys->salt_size &&
        memcmp(kept->salt, keys->salt, keys->salt_size) == 0) {
        *keys = *kept;
        return ERR_OK;
    }
    if (!scram->stretch) {
        enum err e = hash_stretch_open(
            &scram->stretch, scram->kind, slice_of_text(scram->store->options->password),
            (struct slice){keys->salt, keys->salt_size}, keys->iterations);
        if (e) {
            return e;
        }
    }
    if (!hash_stretch_go(scram->stretch, ITERATIONS_PER_TURN, keys->salted_password)) {
        return ERR_AGAIN;
    }
    *kept = *keys;
    return ERR_OK;
}

/* c=biws,r=<nonce>,p=<proof> */
static enum err scram_final(struct scram *scram, struct out *ret)
{
    size_t size = hash_size(scram->kind);
    uint8_t client_key[HASH_SIZE_MAX], stored_key[HASH_SIZE_MAX], signature[HASH_SIZE_MAX];
    struct slice auth_message = out_slice(&scram->auth_message);
    hash_hmac(scram->kind, (struct slice){scram->keys.salted_password, size}, SLICE("Client Key"),
              client_key);
    hash_of(scram->kind, (struct slice){client_key, size}, stored_key);
    hash_hmac(scram->kind, (struct slice){stored_key, size}, auth_message, signature);
    for (size_t i = 0; i < size; i++) {
        signature[i] ^= client_key[i];
    }
    out_put(ret, auth_message.data + scram->final_at, auth_message.size - scram->final_at);
    out_put_text(ret, ",p=");
    hash_put_base64(ret, (struct slice){signature, size});
    return ret->overflow ? ERR_AUTH : ERR_OK;
}

/* v=<signature>: the broker knows the password as well. */
static enum err scram_verify(struct scram *scram, struct slice message, struct why *why)
{
    size_t size = hash_size(scram->kind);
    uint8_t server_key[HASH_SIZE_MAX], wanted[HASH_SIZE_MAX], memory[HASH_SIZE_MAX];
    struct out got = out_over(memory, sizeof memory);
    struct slice value;
    hash_hmac(scram->kind, (struct slice){scram->keys.salted_password, size}, SLICE("Server Key"),
              server_key);
    hash_hmac(scram->kind, (struct slice){server_key, size}, out_slice(&scram->auth_message),
              wanted);
    if (!attribute_take(&message, 'v', &value) || !hash_take_base64(value, &got) ||
        !hash_equal(out_slice(&got), (struct slice){wanted, size})) {
        why_set(why, "the broker does not prove that it knows the password: is it the right one?");
        return ERR_AUTH;
    }
    return ERR_CLOSED;
}

enum err scram_next(struct scram *scram, struct slice challenge, struct out *ret, struct why *why)
{
    enum err e = ERR_OK;
    if (scram->step == 0) {
        e = scram_first(scram, ret);
    } else if (scram->step == 1) {
        e = scram->keys.iterations > 0 ? ERR_OK : scram_read_first(scram, challenge, why);
        e = e ? e : scram_salt(scram);
        e = e ? e : scram_final(scram, ret);
    } else {
        e = scram_verify(scram, challenge, why);
    }
    scram->step += e == ERR_OK;
    return e;
}
