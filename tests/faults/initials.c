/* SPDX-License-Identifier: MIT */

/* Writes the first datagrams of N handshakes that nobody will go on with to standard output, each
 * after its length in two bytes, big-endian.  For the cells that flood a daemon.
 *
 *   faults-initials N
 */

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "transport/proto/quic_conn.h"
#include "transport/proto/tls_context.h"

enum { INITIALS_MAX = 100000 };

/* xorshift: the same datagrams in every run. */
struct fixed_rng {
    struct rng rng;
    uint64_t state;
};

static void fixed_fill(struct rng *rng, void *out, size_t size) {
    struct fixed_rng *g = CONTAINER_OF(rng, struct fixed_rng, rng);
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        g->state ^= g->state << 13;
        g->state ^= g->state >> 7;
        g->state ^= g->state << 17;
        bytes[i] = (uint8_t)(g->state >> 24);
    }
}

static walltime_t fixed_wall(void *context) {
    (void)context;
    return 1800000000; /* early 2027 */
}

static int write_initial(const struct quic_conn_config *cfg) {
    static uint8_t out[65536];
    struct quic_path path;
    struct quic_batch batch;
    struct quic_conn *c;
    if (net_addr_parse("127.0.0.1:1", &path.local) < 0 ||
        net_addr_parse("127.0.0.1:2", &path.remote) < 0)
        return -1;
    int e = quic_conn_connect(cfg, &path, SEC(1), &c);
    if (e < 0)
        return e;
    if (quic_conn_pull(c, out, sizeof(out), &batch, SEC(1))) {
        uint8_t size[2] = {(uint8_t)(batch.segment_len >> 8), (uint8_t)batch.segment_len};
        (void)fwrite(size, 1, sizeof(size), stdout);
        (void)fwrite(out, 1, batch.segment_len, stdout);
    }
    quic_conn_close(c, CONN_CODE_NONE, SEC(1));
    (void)quic_conn_free(c);
    return 0;
}

static int write_all(struct rng *rng, struct buf_pool *pool, struct tls_context *tls, long count) {
    uint8_t reset_key[QUIC_RESET_KEY_BYTES] = {1};
    struct quota quota = QUOTA_INIT(MIB(1), NULL);
    struct quic_conn_config cfg = {.mem = mem_system(),
                                   .rng = rng,
                                   .pool = pool,
                                   .quota = &quota,
                                   .tls = tls,
                                   .reset_key = reset_key,
                                   .walltime = fixed_wall(NULL)};
    int e = 0;
    for (long i = 0; i < count && e == 0; i++)
        e = write_initial(&cfg);
    return e;
}

int main(int argc, char **argv) {
    struct fixed_rng g = {.rng.fill = fixed_fill, .state = 88172645463325252u};
    struct wolf_env env = {.rng = &g.rng, .wall = fixed_wall};
    struct buf_pool_config pool_cfg = {.bytes_max = MIB(64), .reserve_bytes = MIB(1)};
    uint8_t seed[ED25519_SEED_BYTES] = {7};
    struct identity identity;
    struct tls_cert cert;
    struct tls_context *tls;
    struct buf_pool *pool;

    long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (count < 1 || count > INITIALS_MAX)
        return 2;
    (void)wolf_env_set(&env);
    if (identity_from_seed(seed, &identity) < 0 || tls_cert_make(&identity, &g.rng, &cert) < 0 ||
        tls_context_new(mem_system(), &cert, &tls) < 0 ||
        buf_pool_new(mem_system(), &pool_cfg, &pool) < 0)
        return 1;
    int e = write_all(&g.rng, pool, tls, count);
    (void)tls_context_free(tls);
    (void)buf_pool_free(pool);
    return e < 0 || fflush(stdout) != 0;
}
