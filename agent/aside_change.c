/* weir aside drop, weir aside replay: what changes the set-aside events. */
#include <inttypes.h>
#include <stdlib.h>

#include "agent/aside_impl.h"

int aside_drop_command(const struct buffer_arguments *a)
{
    struct counted done = {.events = 0};
    int code =
        buffer_confirm(a, "that were set aside would be dropped for good", "Nothing keeps them.");
    code = code ? code : buffer_order(a, false, &done);
    if (code) {
        return code;
    }
    if (a->json) {
        printf("{\"dropped\":%" PRIu64 "}\n", done.events);
    } else {
        printf("%" PRIu64 " set-aside events were dropped\n", done.events);
    }
    return progress_code(&done.progress);
}

/* --- replay --- */

struct replaying {
    struct progress progress;
    struct out json; /* what came of it */
};

#define RESULT_SIZE_MAX (64 * 1024)

static enum err replay_frame(void *context, enum frame_kind kind, struct slice payload,
                             struct why *why)
{
    struct replaying *r = context;
    (void)why;
    if (progress_frame(&r->progress, kind, payload) || kind != FRAME_JSON) {
        return ERR_OK;
    }
    r->json.size = 0;
    out_put_slice(&r->json, payload);
    return r->json.overflow ? ERR_FULL : ERR_OK;
}

static int64_t number_in(const struct json_node *node, const char *name)
{
    int64_t number = 0;
    const struct json_node *member = json_node_find(node, name);
    return member && json_node_integer(member, &number) ? number : 0;
}

static void print_result(const struct json_node *result)
{
    int64_t unfit = number_in(result, "unfit");
    const struct json_node *reasons = json_node_find(result, "reasons");
    printf("%" PRId64 " set-aside events were replayed\n", number_in(result, "replayed"));
    if (unfit > 0) {
        printf("%" PRId64 " still do not fit, and stay:\n", unfit);
    }
    for (const struct json_node *r = reasons ? reasons->child : NULL; r; r = r->next) {
        const char *text = json_node_text(json_node_find(r, "reason"));
        printf("%8" PRId64 "  %s\n", number_in(r, "count"), text ? text : "");
    }
}

/* ERR_OK, or what went wrong; *ret_stay: not all of them fit. */
static enum err replay(const struct buffer_arguments *a, struct tool_source *source,
                       struct replaying *r, bool *ret_stay, struct why *why)
{
    struct json_tree *tree = NULL;
    size_t offset;
    progress_init(&r->progress, a->word, false);
    enum err e = tool_source_run(source, &a->request, replay_frame, r, why);
    progress_end(&r->progress);
    struct why ignored;
    if (r->json.size == 0 || json_tree_open(&tree, out_slice(&r->json), &ignored, &offset)) {
        return e;
    }
    *ret_stay = number_in(json_tree_root(tree), "unfit") > 0;
    if (a->json) {
        printf("%.*s\n", (int)r->json.size, (const char *)r->json.data);
    } else {
        print_result(json_tree_root(tree));
    }
    json_tree_close(tree);
    return e;
}

int aside_replay_command(const struct buffer_arguments *a)
{
    struct replaying r = {.json = out_over(malloc(RESULT_SIZE_MAX), RESULT_SIZE_MAX)};
    struct why why = {""};
    bool stay = false;
    int code = EXIT_FAILED;
    struct tool_source *source = r.json.data ? buffer_source(a, false, &code) : NULL;
    if (!source) {
        free(r.json.data);
        return code;
    }
    enum err e = ERR_REJECTED;
    if (tool_source_is_running(source)) {
        e = replay(a, source, &r, &stay, &why);
    } else {
        why_set(&why,
                "the agent has to run: its routes and schemas say what becomes of the events");
    }
    tool_source_close(source);
    free(r.json.data);
    return e ? buffer_failed(a->word, e, &why) : stay ? EXIT_NEGATIVE : command_finish();
}
