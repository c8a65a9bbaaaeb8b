/* weir buffer rekey: everything in a buffer under another key, or plain. */
#include <inttypes.h>

#include "agent/buffer_impl.h"
#include "buffer/rekey.h"

static enum err rekey_all(const struct buffer_arguments *a, struct buffer *buffer,
                          struct buffer_rekey *now, struct why *why)
{
    struct progress progress;
    enum err e = ERR_OK;
    progress_init(&progress, a->word, a->json);
    while (!e && !now->finished) {
        uint8_t memory[20];
        struct out frame = out_over(memory, sizeof memory);
        out_put_uvarint(&frame, now->done);
        out_put_uvarint(&frame, now->total);
        progress_show(&progress, out_slice(&frame));
        e = buffer_rekey_step(buffer, now, why);
    }
    progress_end(&progress);
    if (e) {
        why_add(why, "stopped; the buffer opens with both keys, and the same command goes on");
    }
    return e;
}

static int rekey_told(const struct buffer_arguments *a, const struct buffer_rekey *now)
{
    if (a->json) {
        printf("{\"rewritten\":%" PRIu64 ",\"damaged\":%" PRIu64 "}\n", now->written, now->damaged);
        return command_finish();
    }
    printf("%s: %" PRIu64 " rows, cursors and set-aside events rewritten; all of it is %s now\n",
           a->buffer_path, now->written, a->plain ? "plain" : "under the key");
    if (now->damaged > 0) {
        printf("%" PRIu64 " are damaged, and left as they are: weir buffer verify names them\n",
               now->damaged);
    }
    return command_finish();
}

int buffer_rekey_command(const struct buffer_arguments *a)
{
    struct source_setup setup = buffer_where(a, true);
    struct tool_source *source = NULL;
    struct buffer_rekey now = {0};
    struct why why = {""};
    if (a->plain == (a->key_path != NULL)) {
        return command_misuse(a->word, "--key names the file with the key that everything shall be "
                                       "under; --plain instead: nothing shall be encrypted");
    }
    setup.needs_file = true;
    enum err e = tool_source_open(&source, &setup, &why);
    e = e ? e : rekey_all(a, tool_source_buffer(source), &now, &why);
    tool_source_close(source);
    return e ? buffer_failed(a->word, e, &why) : rekey_told(a, &now);
}
