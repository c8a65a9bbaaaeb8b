/* Signs what it reads, for sigv4_random.py. A line of input is fields in hexadecimal, with a space
 * between: way (sign, presign, path, query), then for path and query the text; else is_s3, time,
 * expires, method, host, path, query, body hash, region, service, key id, secret, token, then name
 * and value of each header. A line of output is what was written. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/aws/sigv4.h"

#define FIELD_MAX (14 + 2 * SIGV4_HEADER_MAX)

static char line[65536], fields_memory[32768];
static const char *fields[FIELD_MAX + 1];
static size_t field_count;
static uint8_t answer[65536];

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void line_split(void)
{
    char *to = fields_memory;
    field_count = 0;
    fields[field_count++] = to;
    for (const char *c = line; *c && *c != '\n';) {
        if (*c == ' ') {
            *to++ = '\0';
            fields[field_count++] = to;
            c++;
        } else {
            *to++ = (char)(digit(c[0]) << 4 | digit(c[1]));
            c += 2;
        }
    }
    *to = '\0';
}

static struct slice field(size_t i)
{
    return slice_of_text(fields[i]);
}

static void line_sign(struct out *o)
{
    struct sigv4_header headers[SIGV4_HEADER_MAX];
    size_t header_count = 0;
    for (size_t i = 14; i + 1 < field_count; i += 2) {
        headers[header_count++] = (struct sigv4_header){fields[i], field(i + 1)};
    }
    struct sigv4_request request = {.method = fields[4],
                                    .host = field(5),
                                    .path = field(6),
                                    .query = field(7),
                                    .headers = headers,
                                    .header_count = header_count,
                                    .body_hash = fields[8],
                                    .region = fields[9],
                                    .service = fields[10],
                                    .time_s = strtoll(fields[2], NULL, 10),
                                    .is_s3 = fields[1][0] == '1'};
    struct aws_credentials credentials = {.key_id = fields[11],
                                          .secret = fields[12],
                                          .session_token = fields[13][0] ? fields[13] : NULL};
    if (strcmp(fields[0], "sign") == 0) {
        sigv4_sign(&request, &credentials, o);
    } else {
        sigv4_presign(&request, &credentials, (uint32_t)strtoul(fields[3], NULL, 10), o);
    }
}

int main(void)
{
    while (fgets(line, sizeof line, stdin)) {
        struct out o = out_over(answer, sizeof answer);
        line_split();
        if (strcmp(fields[0], "path") == 0) {
            sigv4_put_path(&o, field(1));
        } else if (strcmp(fields[0], "query") == 0) {
            sigv4_put_query(&o, field(1));
        } else {
            line_sign(&o);
        }
        printf("%.*s\n", o.overflow ? 8 : (int)o.size,
               o.overflow ? "overflow" : (const char *)answer);
    }
    return 0;
}
