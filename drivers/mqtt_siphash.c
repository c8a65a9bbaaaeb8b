/* SipHash-2-4 (Aumasson, Bernstein 2012) of a topic and a payload: keyed, so that nobody who may
 * publish can make two messages look alike. The topic's size goes first, so that no two pairs have
 * the same bytes. */
#include "drivers/mqtt_ids.h"

struct sip {
    uint64_t v[4];
    uint64_t word; /* of bytes that make no whole one yet */
    uint64_t size;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int count)
{
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v[3] ^= word;
    sip_rounds(s->v, 2);
    s->v[0] ^= word;
}

static void sip_put(struct sip *s, struct slice data)
{
    for (size_t i = 0; i < data.size; i++) {
        s->word |= (uint64_t)data.data[i] << (8 * (s->size % 8));
        if (++s->size % 8 == 0) {
            sip_word(s, s->word);
            s->word = 0;
        }
    }
}

static uint64_t read_u64(const uint8_t *data)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

uint64_t mqtt_siphash(const uint8_t key[16], struct slice first, struct slice second)
{
    uint64_t k0 = read_u64(key);
    uint64_t k1 = read_u64(key + 8);
    struct sip s = {.v = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                          k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)}};
    sip_put(&s, first);
    sip_put(&s, second);
    sip_word(&s, s.word | s.size << 56);
    s.v[2] ^= 0xff;
    sip_rounds(s.v, 4);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
