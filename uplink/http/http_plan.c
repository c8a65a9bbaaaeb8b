#include "uplink/http/http_plan.h"

#include <string.h>

/* curl does not use a connection again that was silent for so long (CURLOPT_MAXAGE_CONN). */
#define IDLE_MS 118000
#define LANE_COUNT 3 /* bulk requests of a sender */
#define FRAME_HEAD_SIZE 9
#define FRAME_SIZE_MAX 16384
/* HTTP/2: magic, settings, window, settings acknowledged; and theirs. */
#define PREFACE_SIZE (24 + 27 + 13 + 9 + 27 + 13 + 9)

uint32_t http_plan_text(const struct http_plan_head *head, size_t size)
{
    return (uint32_t)(head->is_http2 ? size * 4 / 5 : size); /* base64 by HPACK's code */
}

void http_plan_way(const struct uplink_plan_setup *setup, const char *url,
                   const struct tls_options *tls, struct uplink_way *ret, bool *ret_is_http2)
{
    bool has_tls = strncmp(url, "https:", 6) == 0;
    *ret = (struct uplink_way){.is_ipv6 = strstr(url, "//[") != NULL,
                               .has_tls = has_tls,
                               .has_own_certificate = tls->certificate != NULL,
                               .is_web = true,
                               .idle_ms = IDLE_MS,
                               .refresh_ms = UINT32_MAX,
                               .lane_count = LANE_COUNT};
    *ret_is_http2 = has_tls && !setup->is_http1;
}

static size_t frames_size(const struct http_plan_head *head, size_t size)
{
    size_t count = (size + FRAME_SIZE_MAX - 1) / FRAME_SIZE_MAX;
    return head->is_http2 ? count * FRAME_HEAD_SIZE : 0;
}

void http_plan_talk(const struct http_plan_head *head, size_t body_size, size_t payload,
                    size_t answer_size, struct uplink_talk *ret)
{
    size_t size = head->request + frames_size(head, body_size) + body_size;
    size_t answer = head->answer + frames_size(head, answer_size) + answer_size;
    *ret = (struct uplink_talk){.pieces = {(uint32_t)size},
                                .piece_count = 1,
                                .payload = (uint32_t)payload,
                                .answer = (uint32_t)answer};
}

size_t http_plan_login(const struct http_plan_head *head, struct uplink_talk ret[UPLINK_LOGIN_MAX])
{
    /* Ours goes with the first request, the other end's on its own: reckoned as one piece. */
    ret[0] = (struct uplink_talk){.piece_count = 0, .answer = PREFACE_SIZE + head->first_more};
    return head->is_http2;
}
