/* drop, replay, compact: what changes the buffer. What loses data, or may send it twice, asks
 * first. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/buffer_impl.h"
#include "buffer/look.h"

static uint64_t number_in(const struct json_node *root, const char *name)
{
    int64_t number = 0;
    const struct json_node *node = json_node_find(root, name);
    return node && json_node_integer(node, &number) && number > 0 ? (uint64_t)number : 0;
}

static enum err counted_frame(void *context, enum frame_kind kind, struct slice payload,
                              struct why *why)
{
    struct counted *c = context;
    struct json_tree *tree = NULL;
    size_t offset;
    if (progress_frame(&c->progress, kind, payload) || kind != FRAME_JSON) {
        return ERR_OK;
    }
    enum err e = json_tree_open(&tree, payload, why, &offset);
    if (!e) {
        const struct json_node *done = json_node_find(json_tree_root(tree), "done");
        c->events =
            number_in(json_tree_root(tree), "events") + number_in(json_tree_root(tree), "salvaged");
        c->lost = number_in(json_tree_root(tree), "lost");
        c->is_done = done && done->kind == JSON_TRUE;
        c->left = number_in(json_tree_root(tree), "left");
        json_tree_close(tree);
    }
    return e;
}

int buffer_order(const struct buffer_arguments *a, bool look, struct counted *ret)
{
    struct why why = {""};
    int code = EXIT_FAILED;
    struct tool_request request = a->request;
    struct tool_source *source = buffer_source(a, !look, &code);
    if (!source) {
        return code;
    }
    request.look = look;
    *ret = (struct counted){.events = 0};
    progress_init(&ret->progress, a->word, false);
    enum err e = tool_source_run(source, &request, counted_frame, ret, &why);
    progress_end(&ret->progress);
    tool_source_close(source);
    return e ? buffer_failed(a->word, e, &why) : EXIT_FINE;
}

/* Asks on a terminal. False: no. */
static bool ask(const char *question)
{
    char answer[16] = "";
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

int buffer_confirm(const struct buffer_arguments *a, const char *what, const char *warning)
{
    struct counted would = {.events = 0};
    char question[400];
    int code = a->yes ? EXIT_FINE : buffer_order(a, true, &would);
    if (code || a->yes) {
        return code;
    }
    (void)snprintf(question, sizeof question, "%" PRIu64 " events %s. %s", would.events, what,
                   warning); /* fits */
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "weir %s: %s Say --yes if this is meant.\n", a->word, question);
        return EXIT_USAGE;
    }
    if (!ask(question)) {
        fprintf(stderr, "weir %s: nothing was changed\n", a->word);
        return EXIT_NEGATIVE;
    }
    return EXIT_FINE;
}

int buffer_drop_command(const struct buffer_arguments *a)
{
    struct counted done = {.events = 0};
    int code =
        buffer_confirm(a, "would be dropped for good", "They are counted, and reported as a gap.");
    code = code ? code : buffer_order(a, false, &done);
    if (code) {
        return code;
    }
    if (a->json) {
        printf("{\"dropped\":%" PRIu64 ",\"left\":%" PRIu64 "}\n", done.events, done.left);
    } else {
        printf("%" PRIu64 " events were dropped\n", done.events);
    }
    if (!a->json && done.left) {
        printf("%" PRIu64 " events stay: they are being sent, or lie in too many pieces; try again "
               "later\n",
               done.left);
    }
    return progress_code(&done.progress);
}

int buffer_replay_command(const struct buffer_arguments *a)
{
    struct counted done = {.events = 0};
    if (!a->request.uplink[0]) {
        return command_misuse(a->word, "say --uplink: who shall get the events again?");
    }
    int code = buffer_confirm(a, "would be sent again",
                              "What the uplink has delivered before arrives twice.");
    code = code ? code : buffer_order(a, false, &done);
    if (code) {
        return code;
    }
    if (a->json) {
        printf("{\"replayed\":%" PRIu64 "}\n", done.events);
    } else {
        printf("%" PRIu64
               " events are to be delivered by %s, beside what is still owed to it; what "
               "it has delivered before arrives twice\n",
               done.events, a->request.uplink);
    }
    return progress_code(&done.progress);
}

int buffer_compact_command(const struct buffer_arguments *a)
{
    struct source_setup setup = buffer_where(a, true);
    struct tool_source *source = NULL;
    struct why why = {""};
    uint64_t before = 0;
    uint64_t after = 0;
    setup.needs_file = true;
    enum err e = tool_source_open(&source, &setup, &why);
    e = e ? e : buffer_compact(tool_source_buffer(source), &before, &after, &why);
    tool_source_close(source);
    if (e) {
        return buffer_failed(a->word, e, &why);
    }
    if (a->json) {
        printf("{\"before\":%" PRIu64 ",\"after\":%" PRIu64 "}\n", before, after);
    } else {
        printf("%s: %.1f MiB were %.1f MiB\n", a->buffer_path, (double)after / 1048576,
               (double)before / 1048576);
    }
    return command_finish();
}

int buffer_salvage_command(const struct buffer_arguments *a)
{
    struct counted done = {.events = 0};
    struct buffer_arguments absolute = *a;
    char *path = a->file ? realpath(a->file, NULL) : NULL;
    if (!a->file) {
        return command_misuse(a->word, "name the file: it was moved aside as PATH.bad-...");
    }
    bool fits = path && slice_to_text(slice_of_text(path), absolute.request.path,
                                      sizeof absolute.request.path);
    if (!fits) {
        fprintf(stderr, "weir %s: %s: %s\n", a->word, a->file,
                path ? "the path is too long" : "there is no such file");
        free(path);
        return EXIT_USAGE;
    }
    free(path);
    int code = buffer_order(&absolute, false, &done);
    if (code) {
        return code;
    }
    if (a->json) {
        printf("{\"salvaged\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"done\":%s}\n", done.events,
               done.lost, done.is_done ? "true" : "false");
    } else if (done.is_done) {
        printf("%" PRIu64 " events came over, %" PRIu64 " are lost\n", done.events, done.lost);
    } else {
        printf("it has begun; the agent goes on with it (at its next start, if it is stopped), and "
               "weir status shows how far it is\n");
    }
    return command_finish();
}
