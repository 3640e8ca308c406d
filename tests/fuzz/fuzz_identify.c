/* SPDX-License-Identifier: MIT */
/* Identify, raw in two pieces: the first byte tells where the peer's bytes are cut.  Oracles: the
 * whole feed and the cut one end the same, memory keeps its bound, the lists their limits. */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/identify.h"

/* Counts what is allocated. */
struct counting_mem {
    struct mem mem;
    size_t largest;
    long blocks;
};

static void *count(struct mem *m, void *p, size_t size) {
    struct counting_mem *c = CONTAINER_OF(m, struct counting_mem, mem);
    if (size == 0) {
        c->blocks -= p != NULL;
        return mem_free(mem_system(), p);
    }
    c->blocks += p == NULL;
    c->largest = MAX(c->largest, size);
    return mem_resize(mem_system(), p, size);
}

static struct identify_event run(struct identify_reader *r, struct counting_mem *c, struct bytes in,
                                 size_t cut) {
    struct identify_event event;
    identify_reader_init(r, &c->mem, 0);
    identify_reader_recv(r, bytes_of(in.data, cut), 0);
    identify_reader_recv(r, bytes_skip(in, cut), 0);
    identify_reader_recv_end(r, 0);
    bool ended = identify_reader_next_event(r, &event);
    assert(ended);
    assert(identify_reader_deadline(r) == NSEC_NEVER);
    return event;
}

static void check_message(const struct identify_message *m) {
    static const struct peer_id nobody = PEER_ID_NONE;
    struct multiaddr addr;
    struct bytes name;
    size_t addrs_count = 0;
    size_t names_count = 0;

    assert(m->merged.len <= IDENTIFY_READ_MAX);
    for (size_t i = 0; m->agent[i] != '\0'; i++)
        assert(m->agent[i] >= ' ' && m->agent[i] <= '~');
    for (struct identify_walk w = identify_addrs(m, &nobody); identify_next_addr(&w, &addr);)
        addrs_count++;
    for (struct identify_walk w = identify_protocols(m); identify_next_protocol(&w, &name);) {
        assert(name.len > 0);
        assert(name.len <= IDENTIFY_PROTOCOL_BYTES_MAX);
        names_count++;
    }
    assert(addrs_count <= IDENTIFY_ADDRS_MAX);
    assert(names_count <= IDENTIFY_PROTOCOLS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    size_t cut = fuzz_u8(&in);
    struct counting_mem c = {.mem = {.resize = count}};
    struct identify_reader whole;
    struct identify_reader cut_reader;

    struct identify_event a = run(&whole, &c, in, in.len);
    struct identify_event b = run(&cut_reader, &c, in, MIN(cut, in.len));
    assert(a.type == b.type);
    if (a.type == IDENTIFY_EV_FAILED) {
        assert(a.error == b.error);
    } else {
        assert(bytes_equal(a.message.merged, b.message.merged));
        check_message(&a.message);
    }
    identify_reader_done(&whole);
    identify_reader_done(&cut_reader);
    assert(c.blocks == 0);
    assert(c.largest <= IDENTIFY_READ_MAX);
    return 0;
}
