/* What a buffer allocates, all of it at opening. */
#include <stdlib.h>

#include "buffer/internal.h"

static enum err crypt_memory_open(struct buffer *b)
{
    size_t size = zstd_bound(RECORD_SIZE_MAX + EVENT_SIZE_LIMIT) + CRYPT_MORE;
    if (!b->setup_key && !b->setup_old_key) {
        return ERR_OK;
    }
    b->cipher = out_over(malloc(size), size);
    return b->cipher.data ? crypt_open(&b->crypt, b->setup_key, b->setup_old_key) : ERR_NOMEM;
}

enum err thin_memory_open(struct buffer *b, const struct buffer_setup *setup)
{
    for (size_t i = 0; i < setup->stream_count && !b->thin_raw.data; i++) {
        bool thins = setup->streams[i].when_full == FULL_THIN && !setup->read_only;
        b->thin_raw = out_over(thins ? malloc(RECORD_SIZE_MAX) : NULL, RECORD_SIZE_MAX);
        if (thins && !b->thin_raw.data) {
            return ERR_NOMEM;
        }
    }
    b->thinner = setup->thinner;
    return ERR_OK;
}

enum err buffer_memory_open(struct buffer *b)
{
    /* An older event may be larger than this setup allows. Most of it is never touched. */
    size_t record = RECORD_SIZE_MAX + (size_t)b->event_size_max + 80 * 1024;
    size_t scratch = RECORD_SIZE_MAX + EVENT_SIZE_LIMIT + STATE_SIZE_MAX;
    b->tail_memory = malloc(TAIL_BLOB_SIZE);
    b->sections = malloc(TAIL_SECTION_MAX * sizeof *b->sections);
    b->changed = calloc(CHANGED_CURSOR_MAX, sizeof *b->changed);
    b->record = out_over(malloc(record), record);
    b->scratch = out_over(malloc(scratch), scratch);
    b->packed = out_over(malloc(zstd_bound(record)), zstd_bound(record));
    if (!b->tail_memory || !b->sections || !b->changed || !b->record.data || !b->scratch.data ||
        !b->packed.data) {
        return ERR_NOMEM;
    }
    enum err e = zstd_encoder_open(&b->encoder, SEAL_LEVEL);
    e = e ? e : zstd_decoder_open(&b->decoder);
    return e ? e : crypt_memory_open(b);
}

void buffer_memory_close(struct buffer *b)
{
    free(b->tail_memory);
    free(b->sections);
    for (size_t i = 0; b->changed && i < CHANGED_CURSOR_MAX; i++) {
        free(b->changed[i].value);
    }
    free(b->changed);
    free(b->record.data);
    free(b->scratch.data);
    free(b->packed.data);
    free(b->cipher.data);
    crypt_close(b->crypt_is_lent ? NULL : b->crypt);
    free(b->thin_raw.data);
    free(b->eras);
    zstd_encoder_close(b->encoder);
    zstd_decoder_close(b->decoder);
    state_close(b->state);
    state_close(b->next);
    schemas_forget(b);
}
