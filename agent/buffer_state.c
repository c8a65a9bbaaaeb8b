/* The file as a whole: its figures, and whether it is as it was written. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/buffer_impl.h"

#define MEBIBYTE (1024.0 * 1024.0)

struct result {
    struct progress progress;
    struct out json; /* the frame that tells how it is */
    bool as_json;
    uint64_t bad;
};

#define RESULT_SIZE_MAX (64 * 1024)

static void print_bad(struct result *r, struct slice payload)
{
    struct slice place = {NULL, 0};
    struct slice text = {NULL, 0};
    uint8_t memory[2048];
    struct out line = out_over(memory, sizeof memory);
    if (!frame_take_text(&payload, &place) || !frame_take_text(&payload, &text)) {
        return;
    }
    if (r->as_json) {
        out_put_text(&line, r->bad ? "," : "");
        out_put_text(&line, "{\"place\":");
        out_put_json(&line, place);
        out_put_text(&line, ",\"text\":");
        out_put_json(&line, text);
        out_put_byte(&line, '}');
    } else {
        out_put_slice(&line, place);
        out_put_text(&line, ": ");
        out_put_slice(&line, text);
        out_put_byte(&line, '\n');
    }
    fwrite(line.data, 1, line.size, stdout);
    r->bad++;
}

static enum err result_frame(void *context, enum frame_kind kind, struct slice payload,
                             struct why *why)
{
    struct result *r = context;
    (void)why;
    if (kind == FRAME_PROGRESS) {
        progress_show(&r->progress, payload);
    } else if (kind == FRAME_BAD) {
        progress_end(&r->progress);
        print_bad(r, payload);
    } else if (kind == FRAME_JSON) {
        out_put_slice(&r->json, payload);
    }
    return r->json.overflow ? ERR_FULL : ERR_OK;
}

/* Runs the tool; EXIT_FINE, or the complaint's code. */
static int run(const struct buffer_arguments *a, struct result *r)
{
    struct why why = {""};
    int code = EXIT_FAILED;
    r->as_json = a->json;
    r->json = out_over(malloc(RESULT_SIZE_MAX), RESULT_SIZE_MAX);
    struct tool_source *source = r->json.data ? buffer_source(a, false, &code) : NULL;
    if (!source) {
        return code;
    }
    progress_init(&r->progress, a->word, false);
    enum err e = tool_source_run(source, &a->request, result_frame, r, &why);
    progress_end(&r->progress);
    tool_source_close(source);
    return e ? buffer_failed(a->word, e, &why) : EXIT_FINE;
}

/* --- stats --- */

static double number_of(const struct json_node *parent, const char *name)
{
    const struct json_node *node = json_node_find(parent, name);
    char text[32];
    return node && node->kind == JSON_NUMBER && slice_to_text(node->text, text, sizeof text)
               ? strtod(text, NULL)
               : 0;
}

/* What tells that a copy of the file is used on another machine, and whose events it has. */
static void print_machine(const struct json_node *root)
{
    const char *known = json_node_text(json_node_find(root, "machine"));
    const struct json_node *earlier = json_node_find(root, "earlier");
    const char *by = !known                         ? "not known"
                     : strcmp(known, "board") == 0  ? "known by its serial number"
                     : strcmp(known, "system") == 0 ? "known by its machine id"
                                                    : "not known: a copy elsewhere is not noticed";
    printf("machine   %s", by);
    earlier = earlier ? earlier->child : NULL;
    for (const char *before = "; earlier ones were "; earlier; earlier = earlier->next) {
        printf("%s%s", before, json_node_text(earlier));
        before = ", ";
    }
    printf("\n");
}

static void print_stats(const struct json_node *root)
{
    const struct json_node *rows = json_node_find(root, "rows");
    const struct json_node *tail = json_node_find(root, "tail");
    const struct json_node *gaps = json_node_find(root, "gaps");
    const struct json_node *aside = json_node_find(root, "aside");
    const char *identity = json_node_text(json_node_find(root, "identity"));
    printf("agent     %s, opened %.0f times\n", identity ? identity : "?", number_of(root, "boot"));
    print_machine(root);
    printf("file      %.1f MiB and a log of %.1f MiB, of at most %.1f MiB, %.1f %% in use\n",
           number_of(root, "database") / MEBIBYTE, number_of(root, "wal") / MEBIBYTE,
           number_of(root, "size_max") / MEBIBYTE, number_of(root, "used_share") * 100);
    printf("pages     %.0f of %.0f bytes, %.0f of them free\n", number_of(root, "pages"),
           number_of(root, "page_size"), number_of(root, "free_pages"));
    printf("rows      %.0f with %.0f events, %.1f MiB stored as %.1f MiB: %.2f to 1\n",
           number_of(rows, "count"), number_of(rows, "events"), number_of(rows, "raw") / MEBIBYTE,
           number_of(rows, "stored") / MEBIBYTE, number_of(rows, "ratio"));
    printf("tail      %.0f events, %.1f KiB; %.0f commits, %.0f seals\n", number_of(tail, "events"),
           number_of(tail, "bytes") / 1024, number_of(root, "commits"), number_of(root, "seals"));
    printf("sending   %.0f parcels; %.0f schemas are known\n", number_of(root, "parcels"),
           number_of(root, "schemas"));
    printf("dropped   %.0f events; %.0f gaps with %.0f of them are still to be told\n",
           number_of(root, "dropped"), number_of(gaps, "count"), number_of(gaps, "events"));
    printf("set aside %.0f, and %.0f that had to go\n", number_of(aside, "count"),
           number_of(aside, "dropped"));
}

int buffer_stats_command(const struct buffer_arguments *a)
{
    struct result r = {.bad = 0};
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset;
    int code = run(a, &r);
    if (code) {
        free(r.json.data);
        return code;
    }
    enum err e = a->json ? ERR_OK : json_tree_open(&tree, out_slice(&r.json), &why, &offset);
    if (a->json) {
        printf("%.*s\n", (int)r.json.size, (const char *)r.json.data);
    } else if (!e) {
        print_stats(json_tree_root(tree));
    }
    json_tree_close(tree);
    free(r.json.data);
    return e ? buffer_failed(a->word, e, &why) : command_finish();
}

/* --- verify --- */

static void print_verdict(const struct json_node *root, uint64_t bad)
{
    const struct json_node *pages = json_node_find(root, "pages_checked");
    printf("%s: %.0f rows with %.0f events, %.0f set-aside events, %.0f cursors, the state and the "
           "tail%s\n",
           bad ? "damaged" : "all is well", number_of(root, "rows"), number_of(root, "events"),
           number_of(root, "aside"), number_of(root, "cursors"),
           pages && pages->kind == JSON_TRUE
               ? ", and every page"
               : "; the pages themselves are checked with the agent stopped");
}

int buffer_verify_command(const struct buffer_arguments *a)
{
    struct result r = {.bad = 0};
    struct json_tree *tree = NULL;
    struct why why = {""};
    size_t offset;
    if (a->json) {
        printf("{\"findings\":[");
    }
    int code = run(a, &r);
    enum err e = code ? ERR_OK : json_tree_open(&tree, out_slice(&r.json), &why, &offset);
    if (a->json) {
        struct slice rest = out_slice(&r.json);
        bool has_more = rest.size > 1;
        printf("]%s%.*s\n", has_more ? "," : "}", has_more ? (int)rest.size - 1 : 0,
               has_more ? (const char *)rest.data + 1 : "");
    } else if (tree) {
        print_verdict(json_tree_root(tree), r.bad);
    }
    json_tree_close(tree);
    free(r.json.data);
    if (code || e) {
        return code ? code : buffer_failed(a->word, e, &why);
    }
    code = command_finish();
    return code ? code : r.bad ? EXIT_NEGATIVE : EXIT_FINE;
}
