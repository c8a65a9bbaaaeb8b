/* The status as lines for a person: what is wrong first, and what to do. */
#include "agent/status_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE (1024.0 * 1024.0)

/* A number as the agent wrote it; "?" when it says nothing. */
static const char *number_text(const struct json_node *parent, const char *name, char text[32])
{
    const struct json_node *node = json_node_find(parent, name);
    bool is_there = node && node->kind == JSON_NUMBER && node->text.size < 32;
    (void)snprintf(text, 32, "%.*s", is_there ? (int)node->text.size : 1,
                   is_there ? (const char *)node->text.data : "?"); /* fits */
    return text;
}

static double number_of(const struct json_node *parent, const char *name)
{
    char text[32];
    return strtod(number_text(parent, name, text), NULL);
}

static const char *text_of(const struct json_node *parent, const char *name)
{
    const char *text = json_node_text(json_node_find(parent, name));
    return text ? text : "";
}

/* "3 d 4 h", of seconds. */
static const char *duration_text(double seconds, char text[32])
{
    static const struct {
        double size;
        const char *word;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;
    while (i < ARRAY_COUNT(units) - 1 && seconds < units[i].size) {
        i++;
    }
    double whole = (double)(uint64_t)(seconds / units[i].size);
    if (i == ARRAY_COUNT(units) - 1) {
        (void)snprintf(text, 32, "%.1f s", seconds);
    } else {
        (void)snprintf(text, 32, "%.0f %s %.0f %s", whole, units[i].word,
                       (double)(uint64_t)((seconds - whole * units[i].size) / units[i + 1].size),
                       units[i + 1].word);
    }
    return text;
}

/* What came and went a second since `before`. */
static void print_rates(FILE *to, const struct json_node *root, const struct json_node *before)
{
    double seconds = number_of(root, "uptime_s") - number_of(before, "uptime_s");
    if (before && seconds > 0) {
        fprintf(to, "rates    %.1f taken, %.1f delivered a second\n",
                (number_of(root, "events") - number_of(before, "events")) / seconds,
                (number_of(root, "delivered") - number_of(before, "delivered")) / seconds);
    }
}

static void print_totals(FILE *to, const struct json_node *root)
{
    static const struct {
        const char *member;
        const char *words;
    } totals[] = {{"events", "taken"},    {"stored", "stored"},   {"delivered", "delivered"},
                  {"backlog", "waiting"}, {"aside", "set aside"}, {"refused", "refused"}};
    char text[32];
    fprintf(to, "weir %s, agent %s, %s since %s\nevents   ", text_of(root, "version"),
            text_of(root, "agent"), text_of(root, "state"), text_of(root, "started"));
    for (size_t i = 0; i < ARRAY_COUNT(totals); i++) {
        fprintf(to, "%s%s %s", i ? ", " : "", number_text(root, totals[i].member, text),
                totals[i].words);
    }
    if (number_of(root, "suppressed") > 0) {
        fprintf(to, ", %s held back by deadbands", number_text(root, "suppressed", text));
    }
    const struct json_node *buffer = json_node_find(root, "buffer");
    fprintf(to, "\nbuffer   %s, %.1f of %.1f MiB, %.1f %% in use\n", text_of(buffer, "path"),
            number_of(buffer, "size") / MEBIBYTE, number_of(buffer, "size_max") / MEBIBYTE,
            number_of(buffer, "used_share") * 100);
}

/* The flash, the memory. */
static void print_board(FILE *to, const struct json_node *root)
{
    const struct json_node *wear = json_node_find(root, "wear");
    fprintf(to, "flash    %.1f MB written today",
            number_of(json_node_find(wear, "today"), "bytes") / 1e6);
    if (number_of(wear, "max_per_day") > 0) {
        fprintf(to, " of %.1f MB at most", number_of(wear, "max_per_day") / 1e6);
    }
    if (number_of(wear, "life_years") > 0) {
        double years = number_of(wear, "life_years");
        fprintf(to, ", lasts %s%.1f years so", years > 100 ? "more than " : "",
                years > 100 ? 100 : years);
    }
    fprintf(to, "\nmemory   %.1f MB\n",
            number_of(json_node_find(root, "memory"), "resident") / 1e6);
}

/* What is wrong with the buffer, and what has to be done by somebody. */
static void print_trouble(FILE *to, const struct json_node *root)
{
    char text[32];
    const struct json_node *buffer = json_node_find(root, "buffer");
    if (text_of(buffer, "trouble")[0]) {
        fprintf(to, "TROUBLE  %s\n", text_of(buffer, "trouble"));
    } else if (text_of(root, "why")[0]) {
        fprintf(to, "WAIT     %s\n", text_of(root, "why"));
    }
    const struct json_node *clock = json_node_find(json_node_find(root, "clock"), "believed");
    if (clock && clock->kind == JSON_FALSE) {
        fprintf(to,
                "CLOCK    it is not believed yet: what comes waits until it is set, or kept by NTP "
                "(agent.clock)\n");
    }
    if (number_of(root, "aside") > 0) {
        fprintf(to,
                "ASIDE    %s events are set aside: weir aside ls says why, weir aside replay "
                "tries them again\n",
                number_text(root, "aside", text));
    }
    if (number_of(buffer, "unsaved") > 0) {
        fprintf(
            to,
            "UNSAVED  what was sent since then is on record in memory only: a restart now sends "
            "it again\n");
    }
    const struct json_node *damage = json_node_find(buffer, "damage");
    if (number_of(damage, "replaced") + number_of(damage, "logs") > 0) {
        fprintf(to, "DAMAGE   the buffer's file was damaged since the start: %s events salvaged, ",
                number_text(damage, "found", text));
        fprintf(to, "%s lost\n", number_text(damage, "lost", text));
    }
}

static void print_streams(FILE *to, const struct json_node *streams)
{
    char text[5][32];
    fprintf(to, "%-32s %12s %14s %12s %10s %12s\n", "STREAM", "EVENTS", "BYTES", "NEXT", "DROPPED",
            "OLDEST");
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        fprintf(to, "%-32s %12s %14s %12s %10s %12s\n", text_of(s, "name"),
                number_text(s, "events", text[0]), number_text(s, "bytes", text[1]),
                number_text(s, "sequence_next", text[2]), number_text(s, "dropped", text[3]),
                number_of(s, "age_s") > 0 ? duration_text(number_of(s, "age_s"), text[4]) : "-");
    }
}

static void print_refusals(FILE *to, const struct json_node *streams)
{
    char number[2][32];
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        const struct json_node *refused = json_node_find(s, "schema_refused");
        if (!refused || refused->kind != JSON_OBJECT_BEGIN) {
            continue;
        }
        fprintf(
            to,
            "\nSCHEMA of stream %s is refused (compatibility %s, findings: %s); events go on under "
            "schema %s\n",
            text_of(s, "name"), text_of(refused, "compatibility"),
            number_text(refused, "count", number[0]), number_text(s, "schema", number[1]));
        if (text_of(refused, "text")[0]) {
            fprintf(to, "  %s\n", text_of(refused, "text"));
        }
        const struct json_node *findings = json_node_find(refused, "findings");
        for (const struct json_node *f = findings ? findings->child : NULL; f; f = f->next) {
            fprintf(to, "  %s %s (schema %s): %s: %s\n", text_of(f, "kind"), text_of(f, "location"),
                    number_text(f, "schema", number[0]), text_of(f, "text"), text_of(f, "way_out"));
        }
    }
}

static void print_added(FILE *to, const struct json_node *streams)
{
    char number[2][32];
    for (const struct json_node *s = streams ? streams->child : NULL; s; s = s->next) {
        if (number_of(s, "fields_added") > 0) {
            fprintf(to, "\nstream %s: its schema got %s fields from events: schema %s\n",
                    text_of(s, "name"), number_text(s, "fields_added", number[0]),
                    number_text(s, "schema", number[1]));
        }
    }
}

/* Each driver or uplink with all its numbers, whatever these are. */
static void print_parts(FILE *to, const char *title, const struct json_node *parts)
{
    for (const struct json_node *part = parts ? parts->child : NULL; part; part = part->next) {
        bool is_first = true;
        fprintf(to, "\n%s %s (%s)\n  ", title, part->name, text_of(part, "type"));
        for (const struct json_node *gauge = part->child; gauge; gauge = gauge->next) {
            if (gauge->kind == JSON_NUMBER) {
                fprintf(to, "%s%s %.*s", is_first ? "" : ", ", gauge->name, (int)gauge->text.size,
                        (const char *)gauge->text.data);
                is_first = false;
            }
        }
        fputc('\n', to);
        if (text_of(part, "fault")[0]) {
            fprintf(to, "  FAULT: %s\n", text_of(part, "fault"));
            fprintf(
                to,
                "  (%sweir check --online CONFIG looks at names, connections, logins, rights)\n",
                title[0] == 'u' ? "what comes meanwhile is kept, and it is tried again; " : "");
        }
        const struct json_node *past = json_node_find(part, "last_fault");
        if (text_of(past, "text")[0]) {
            char text[32];
            fprintf(to, "  mended %s ago: %s\n", duration_text(number_of(past, "ended_s"), text),
                    text_of(past, "text"));
        }
        const struct json_node *standing = json_node_find(part, "standing");
        for (standing = standing ? standing->child : NULL; standing; standing = standing->next) {
            fprintf(to, "  FAULT of stream %s: %s\n", standing->name, json_node_text(standing));
        }
    }
}

/* A link as lines: what it lets through, its budgets, the last months. */
static void print_link(FILE *to, const struct json_node *link)
{
    char text[32];
    fprintf(to, "\nlink %s%s%s%s\n", link->name, text_of(link, "interface")[0] ? " on " : "",
            text_of(link, "interface"), text_of(link, "why")[0] ? "" : ", all priorities go");
    if (text_of(link, "why")[0]) {
        fprintf(to, "  WAIT: %s\n", text_of(link, "why"));
    }
    const struct json_node *budgets = json_node_find(link, "budgets");
    for (const struct json_node *b = budgets ? budgets->child : NULL; b; b = b->next) {
        fprintf(to, "  budget of the %s: %.1f of %.1f kB spent, until %s\n", b->name,
                number_of(b, "spent") / 1000, number_of(b, "max") / 1000,
                text_of(b, "until")[0] ? text_of(b, "until") : "the clock is known");
    }
    const struct json_node *months = json_node_find(link, "months");
    for (const struct json_node *m = months ? months->child : NULL; m; m = m->next) {
        fprintf(to, "  %s: %s bytes sent, ", text_of(m, "month"), number_text(m, "sent", text));
        fprintf(to, "%s received\n", number_text(m, "received", text));
    }
}

void status_print(FILE *to, const struct json_node *root, const struct json_node *before)
{
    if (strcmp(text_of(root, "state"), "waiting") == 0) {
        fprintf(to, "weir %s, agent %s, is waiting for its buffer: %s\n", text_of(root, "version"),
                text_of(root, "agent"), text_of(root, "why"));
        return;
    }
    print_totals(to, root);
    print_rates(to, root, before);
    print_board(to, root);
    print_trouble(to, root);
    fputc('\n', to);
    print_streams(to, json_node_find(root, "streams"));
    print_refusals(to, json_node_find(root, "streams"));
    print_added(to, json_node_find(root, "streams"));
    print_parts(to, "driver", json_node_find(root, "drivers"));
    print_parts(to, "uplink", json_node_find(root, "uplinks"));
    const struct json_node *links = json_node_find(root, "links");
    for (const struct json_node *link = links ? links->child : NULL; link; link = link->next) {
        print_link(to, link);
    }
}
