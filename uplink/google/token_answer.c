#include <stdlib.h>

#include "ports/clock.h"
#include "ports/lib/json_tree.h"
#include "uplink/google/credentials.h"
#include "uplink/google/token.h"

#define LIFE_S_DEFAULT 300 /* where an answer does not say: expires_in is recommended only */
#define LIFE_S_MAX (24 * 60 * 60)

/* --- times --- */

static bool take_digits(const char **text, unsigned count, int *ret)
{
    int value = 0;
    for (unsigned i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        value = value * 10 + (**text - '0');
    }
    *ret = value;
    return true;
}

static bool take_mark(const char **text, char mark)
{
    bool is = **text == mark;
    *text += is;
    return is;
}

/* "2026-11-24T12:00:00Z", with a fraction or without: as protobuf's JSON writes times. */
static bool parse_time(const char *text, int64_t *ret_s)
{
    int year, month, day, hour, minute, second;
    bool is =
        take_digits(&text, 4, &year) && take_mark(&text, '-') && take_digits(&text, 2, &month) &&
        take_mark(&text, '-') && take_digits(&text, 2, &day) && take_mark(&text, 'T') &&
        take_digits(&text, 2, &hour) && take_mark(&text, ':') && take_digits(&text, 2, &minute) &&
        take_mark(&text, ':') && take_digits(&text, 2, &second);
    if (!is || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) {
        return false;
    }
    int64_t days = clock_days(year, (unsigned)month, (unsigned)day);
    *ret_s = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

/* --- texts --- */

static const char *member(const struct json_node *node, const char *name)
{
    const struct json_node *found = node ? json_node_find(node, name) : NULL;
    return found ? json_node_text(found) : NULL;
}

/* What may stand in a header: visible ASCII. */
static bool is_plain(const char *text, size_t size_max)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= size_max;
}

static char *copy_of(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

static void put_error(char ret[160], const char *text)
{
    size_t at = strlen(ret);
    if (at > 0 && at < 157 && text) {
        memcpy(ret + at, ": ", 3);
        at += 2;
    }
    for (; text && *text && at < 159; text++) {
        ret[at++] = (char)(*text >= ' ' && *text <= '~' ? *text : '?');
        ret[at] = '\0';
    }
}

/* OAuth has two texts, Google's other interfaces an object. */
static void take_error(const struct json_node *root, char ret[160])
{
    const struct json_node *error = json_node_find(root, "error");
    ret[0] = '\0';
    put_error(ret, error ? json_node_text(error) : NULL);
    put_error(ret, member(root, "error_description"));
    put_error(ret, member(error, "status"));
    put_error(ret, member(error, "message"));
}

/* --- answers --- */

static int64_t life_of(const struct json_node *root, int64_t now_s)
{
    const struct json_node *seconds = json_node_find(root, "expires_in");
    const char *end = member(root, "expireTime");
    int64_t life_s = LIFE_S_DEFAULT;
    int64_t end_s;
    if (seconds && !json_node_integer(seconds, &life_s)) {
        life_s = LIFE_S_DEFAULT;
    } else if (end && parse_time(end, &end_s)) {
        life_s = end_s - now_s;
    }
    return life_s < LIFE_S_MAX ? life_s : LIFE_S_MAX;
}

static enum err take_token(struct token_answer *ret, const struct json_node *root, int64_t now_s)
{
    const char *token = member(root, "access_token");
    token = token ? token : member(root, "accessToken");
    take_error(root, ret->error);
    if (!token || !is_plain(token, GOOGLE_TOKEN_SIZE_MAX)) {
        return ERR_CORRUPT;
    }
    ret->life_s = life_of(root, now_s);
    if (ret->life_s <= 0) {
        put_error(ret->error, "the token has ended already: is the clock right?");
        return ERR_CORRUPT;
    }
    ret->token = copy_of(token, strlen(token));
    return ret->token ? ERR_OK : ERR_NOMEM;
}

enum err token_answer_parse(struct token_answer *ret, struct slice body, int64_t now_s)
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    *ret = (struct token_answer){.token = NULL};
    enum err e = json_tree_open(&tree, body, &why, &offset);
    if (e) {
        put_error(ret->error, e == ERR_NOMEM ? "no memory" : "the answer is no JSON");
        return e == ERR_NOMEM ? e : ERR_CORRUPT;
    }
    e = take_token(ret, json_tree_root(tree), now_s);
    json_tree_close(tree);
    return e;
}

enum err subject_token_parse(char **ret, struct slice body, const char *field)
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    if (!field) {
        while (body.size && strchr(" \t\r\n", body.data[body.size - 1])) {
            body.size--;
        }
        *ret = copy_of((const char *)body.data, body.size);
    } else {
        enum err e = json_tree_open(&tree, body, &why, &offset);
        if (e) {
            return e == ERR_NOMEM ? e : ERR_CORRUPT;
        }
        const char *text = member(json_tree_root(tree), field);
        *ret = text ? copy_of(text, strlen(text)) : copy_of("", 0);
        json_tree_close(tree);
    }
    if (*ret && (!(*ret)[0] || strlen(*ret) > CREDENTIALS_SUBJECT_SIZE_MAX)) {
        free(*ret);
        return ERR_CORRUPT;
    }
    return *ret ? ERR_OK : ERR_NOMEM;
}
