/* SPDX-License-Identifier: MIT */
/* Identify, script: addresses and protocols; what we write of them is read as it was meant, in
 * pieces of any size.  fuzz_identify.c is the raw kind. */

#include "core/base/err.h"
#include "core/p2p/identity.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"
#include "transport/proto/identify.h"

enum {
    MEMORY_MAX = IDENTIFY_READ_MAX + 64, /* and the allocator's rounding */
    ADDRS_MAX = 32,
    NAMES_MAX = 32,
};

struct lists {
    struct multiaddr addrs[ADDRS_MAX];
    size_t addrs_count;
    struct multiaddr observed;
    bool has_observed;
    char *names[NAMES_MAX];
    size_t names_count;
};

static bool take_addr(struct bytes *script, struct multiaddr *ret_addr) {
    return multiaddr_decode(fuzz_take(script, fuzz_u8(script)), ret_addr) == 0;
}

static void take_name(struct bytes *script, struct lists *l) {
    char *name = fuzz_text(fuzz_take(script, 1 + fuzz_u8(script)));
    if (name[0] == '\0')
        free(name);
    else
        l->names[l->names_count++] = name;
}

static void take_lists(struct bytes *script, struct lists *l) {
    l->addrs_count = l->names_count = 0;
    for (size_t left = fuzz_u8(script) % ADDRS_MAX; left > 0; left--)
        l->addrs_count += take_addr(script, &l->addrs[l->addrs_count]);
    l->has_observed = take_addr(script, &l->observed);
    for (size_t left = fuzz_u8(script) % NAMES_MAX; left > 0; left--)
        take_name(script, l);
}

static void read_pieces(struct identify_reader *r, struct bytes in, size_t piece,
                        struct identify_event *ret_event) {
    struct identify_event second;
    while (in.len > 0) {
        size_t n = MIN(piece, in.len);
        uint8_t *copy = fuzz_copy(bytes_of(in.data, n));
        identify_reader_recv(r, bytes_of(copy, n), 0);
        free(copy);
        in = bytes_skip(in, n);
    }
    identify_reader_recv_end(r, 0);
    assert(identify_reader_next_event(r, ret_event));
    assert(!identify_reader_next_event(r, &second));
}

static void check_message(const struct identify_message *m, const struct lists *l,
                          const struct identity *identity) {
    struct identify_walk w = identify_protocols(m);
    struct bytes name;
    for (size_t i = 0; i < l->names_count; i++) {
        assert(identify_next_protocol(&w, &name));
        assert(bytes_equal(name, bytes_of_str(l->names[i])));
        assert(identify_has_protocol(m, l->names[i]));
    }
    assert(!identify_next_protocol(&w, &name));

    /* The first ones; how many depends on the room that the names left. */
    struct multiaddr a;
    size_t kept = 0;
    for (w = identify_addrs(m, &identity->id); identify_next_addr(&w, &a); kept++) {
        assert(kept < l->addrs_count);
        assert(multiaddr_equal(&a, &l->addrs[kept]));
    }
    if (l->has_observed)
        assert(bytes_equal(m->observed, multiaddr_bytes(&l->observed)));
    else
        assert(m->observed.len == 0);
}

static void check(const struct lists *l, size_t piece) {
    static const uint8_t seed[ED25519_SEED_BYTES] = {3};
    struct identity identity;
    uint8_t out[IDENTIFY_OUT_MAX];
    assert(identity_from_seed(seed, &identity) == 0);
    struct identify_info info = {
        .identity = &identity,
        .addrs = l->addrs,
        .addrs_count = l->addrs_count,
        .protocols = (const char *const *)l->names,
        .protocols_count = l->names_count,
        .observed = l->has_observed ? &l->observed : NULL,
        .protocol_version = "ipfs/0.1.0",
        .agent = "peerup/fuzz",
        .record_seq = 7,
    };
    ssize_t len = identify_encode(&info, out);
    assert(len > 0 || len == -ERR_LIMIT);
    if (len < 0)
        return;

    struct fuzz_mem mem = fuzz_mem_make(MEMORY_MAX, 0);
    struct identify_reader r;
    struct identify_event event;
    identify_reader_init(&r, &mem.mem, 0);
    read_pieces(&r, bytes_of(out, (size_t)len), piece, &event);
    assert(event.type == IDENTIFY_EV_MESSAGE);
    assert(strcmp(event.message.agent, info.agent) == 0);
    check_message(&event.message, l, &identity);
    identify_reader_done(&r);
    assert(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct lists l;
    take_lists(&script, &l);
    identify_sort_addrs(l.addrs, l.addrs_count);
    check(&l, 1 + 10 * (size_t)fuzz_u8(&script));
    for (size_t i = 0; i < l.names_count; i++)
        free(l.names[i]);
    return 0;
}
