#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/register_impl.h"

static const char *const end_words[] = {
    [REGISTRATION_THERE] = "there",
    [REGISTRATION_MADE] = "registered",
    [REGISTRATION_POSSIBLE] = "possible",
    [REGISTRATION_UNKNOWN] = "unknown",
    [REGISTRATION_REFUSED] = "incompatible",
    [REGISTRATION_INVALID] = "invalid",
    [REGISTRATION_NO_LOGIN] = "no_login",
    [REGISTRATION_FORBIDDEN] = "forbidden",
    [REGISTRATION_NO_REGISTRY] = "no_registry",
    [REGISTRATION_LATER] = "no_answer",
};

static int code_of(enum registration_end end)
{
    switch (end) {
    case REGISTRATION_THERE:
    case REGISTRATION_MADE:
    case REGISTRATION_POSSIBLE:
        return EXIT_FINE;
    case REGISTRATION_UNKNOWN:
    case REGISTRATION_REFUSED:
    case REGISTRATION_INVALID:
    case REGISTRATION_FORBIDDEN:
        return EXIT_NEGATIVE;
    case REGISTRATION_NO_LOGIN:
    case REGISTRATION_NO_REGISTRY:
    case REGISTRATION_LATER:
        break;
    }
    return EXIT_FAILED;
}

static void say_possible(const struct told *told)
{
    if (told->is_reference) {
        printf("would be registered, and then what refers to it, which can't be asked about "
               "before\n");
    } else if (told->is_new) {
        printf("would be registered, as its first version\n");
    } else {
        printf("would be registered: it is compatible with the versions that are there\n");
    }
}

static void print_text(const struct work *w, const struct told *told)
{
    if (told->why[0]) {
        fprintf(stderr, "stream %s, uplink %s: %s\n", w->stream, w->name, told->why);
        size_t size = strlen(told->message);
        if (size > 200) { /* the sentence may have been cut */
            fprintf(stderr, "  the registry's words: %s\n", told->message);
        }
        return;
    }
    printf("stream %s, uplink %s: subject %s", w->stream, w->name, told->subject);
    if (told->end == REGISTRATION_POSSIBLE) {
        printf(": ");
        say_possible(told);
        return;
    }
    if (told->version) {
        printf(", version %" PRId64, told->version);
    }
    printf(", id %s: %s\n", told->id,
           told->end == REGISTRATION_MADE ? "registered" : "it was there");
}

/* A member of the object, and what stands in front of it. */
static void print_member(const char *before, const char *text)
{
    char memory[7 * 1024]; /* texts have at most 1 KiB, and JSON makes six bytes of one */
    struct out o = out_over(memory, sizeof memory);
    out_put_text(&o, before);
    out_put_json(&o, slice_of_text(text));
    (void)fwrite(o.data, 1, o.size, stdout); /* command_finish() looks */
}

static void print_json(const struct work *w, const struct told *told)
{
    print_member("{\"stream\":", w->stream);
    print_member(",\"uplink\":", w->name);
    print_member(",\"subject\":", told->subject);
    printf(",\"result\":\"%s\"", end_words[told->end]);
    if (told->end == REGISTRATION_THERE || told->end == REGISTRATION_MADE) {
        const char *quote = told->id_is_text ? "\"" : "";
        printf(",\"id\":%s%s%s,\"version\":%" PRId64, quote, told->id, quote, told->version);
    }
    if (told->why[0]) {
        print_member(",\"text\":", told->why);
        print_member(",\"message\":", told->message);
    }
    printf("}\n");
}

int register_print(const struct work *w, const struct told *told)
{
    if (w->json) {
        print_json(w, told);
    } else {
        print_text(w, told);
    }
    return code_of(told->end);
}
