/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"

static walltime_t fixed_wall(void *context) {
    (void)context;
    return CHANNEL_WALL;
}

void world_init(struct world *w) {
    fixed_rng_init(&w->rng, 88172645463325252u);
    w->env = (struct wolf_env){.rng = &w->rng.rng, .wall = fixed_wall};
    w->env_before = wolf_env_set(&w->env);
}

void world_done(struct world *w) {
    (void)wolf_env_set(w->env_before);
}

void end_init(struct end *e, struct world *w, uint8_t seed) {
    uint8_t seed_bytes[ED25519_SEED_BYTES];
    struct tls_cert cert;
    *e = (struct end){.world = w, .mem = mem_system()};
    memset(seed_bytes, seed, sizeof(seed_bytes));
    assert(identity_from_seed(seed_bytes, &e->identity) == 0);
    assert(tls_cert_make(&e->identity, &w->rng.rng, &cert) == 0);
    assert(tls_context_new(mem_system(), &cert, &e->context) == 0);
    tls_cert_done(&cert);
    e->in = malloc(CHANNEL_ROOM);
    e->got = malloc(CHANNEL_ROOM);
    assert(e->in != NULL);
    assert(e->got != NULL);
}

void end_done(struct end *e) {
    e->secure = secure_free(e->secure);
    e->context = tls_context_free(e->context);
    free(e->in);
    free(e->got);
}

void end_open(struct end *e, bool initiator, const struct peer_id *expected) {
    struct tls_config cfg = {.mem = e->mem,
                             .context = e->context,
                             .expected = expected,
                             .now = CHANNEL_WALL,
                             .initiator = initiator,
                             .records_per_key_max = e->records_per_key_max};
    e->secure = secure_free(e->secure);
    e->in_len = e->got_len = 0;
    e->error = tls_new(&cfg, &e->secure);
    assert(e->error == 0);
}

static void drop(struct end *e, size_t n) {
    memmove(e->in, e->in + n, e->in_len - n);
    e->in_len -= n;
}

/* One record, if it is there. */
static bool open_one(struct end *e) {
    struct secure *s = e->secure;
    uint8_t header[SECURE_HEADER_MAX];
    struct bytes plain;
    size_t header_bytes = s->ops->header_bytes;
    if (e->in_len < header_bytes)
        return false;
    memcpy(header, e->in, header_bytes);
    ssize_t len = secure_body_size(s, header);
    if (len < 0) {
        e->error = (int)len;
        return false;
    }
    if (e->in_len < header_bytes + (size_t)len)
        return false;
    e->error = secure_open(s, header, e->in + header_bytes, (size_t)len, &plain);
    if (e->error == 0) {
        assert(e->got_len + plain.len <= CHANNEL_ROOM);
        memcpy(e->got + e->got_len, plain.data, plain.len);
        e->got_len += plain.len;
    }
    drop(e, header_bytes + (size_t)len);
    return true;
}

void end_receive(struct end *e, struct bytes in) {
    assert(e->in_len + in.len <= CHANNEL_ROOM);
    if (in.len > 0)
        memcpy(e->in + e->in_len, in.data, in.len);
    e->in_len += in.len;
    if (e->secure->state == SECURE_HANDSHAKE)
        drop(e, secure_recv(e->secure, bytes_of(e->in, e->in_len)));
    while (e->secure->state == SECURE_OPEN && open_one(e))
        ;
}

size_t end_pull(struct end *e, uint8_t *out, size_t size) {
    return secure_pull(e->secure, out, size);
}

size_t end_write(struct end *e, struct bytes plain, size_t piece, uint8_t *out, size_t size) {
    size_t len = end_pull(e, out, size);
    while (plain.len > 0) {
        struct bytes now = bytes_of(plain.data, MIN(plain.len, piece));
        assert(len + now.len + e->secure->ops->overhead_max <= size);
        len += secure_seal(e->secure, now, out + len);
        plain = bytes_skip(plain, now.len);
    }
    return len;
}

static bool move(struct end *from, struct end *to, size_t chunk) {
    static const size_t room = SECURE_PULL_MAX;
    uint8_t *out = malloc(room);
    assert(out != NULL);
    size_t len = end_pull(from, out, room);
    for (size_t at = 0; at < len; at += chunk)
        end_receive(to, bytes_of(out + at, MIN(chunk, len - at)));
    free(out);
    return len > 0;
}

bool ends_exchange(struct end *a, struct end *b, size_t chunk) {
    bool moved = false;
    while (move(a, b, chunk) || move(b, a, chunk))
        moved = true;
    return moved;
}
