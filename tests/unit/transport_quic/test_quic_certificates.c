/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "pair.h"
#include "tests/support/cert_variants.h"

/* Goal: whole handshakes with certificates that others make, good and bad: what the TLS library
 * does with them, not only our own verdict (test_tls_cert.c).  Spec: libp2p tls.md, "Certificate".
 */

static void show(struct pair *p, struct side *s, const struct cert_variant *v) {
    struct tls_cert cert;
    cert_variant_make(v, &s->identity, &p->rng.rng, &cert);
    s->tls = tls_context_free(s->tls);
    cr_assert_eq(tls_context_new(mem_system(), &cert, &s->tls), 0, "%s", v->what);
    tls_cert_done(&cert);
}

static void expect_refused(struct pair *p, struct side *judge, struct side *judged,
                           const struct cert_variant *v) {
    struct problem why = PROBLEM_INIT;
    char alert[32];
    pair_run_until_set(p, &judge->closed);
    pair_run_until_set(p, &judged->closed);
    cr_assert_eq(quic_conn_error(judge->conn, &why), v->error, "%s: %s", v->what, why.text);
    cr_assert_not(judge->connected, "%s", v->what);
    cr_assert_eq(quic_conn_error(judged->conn, &why), -ERR_HANDSHAKE, "%s: %s", v->what, why.text);
    (void)snprintf(alert, sizeof(alert), "(TLS alert %u)", v->alert);
    cr_assert_not_null(strstr(why.text, alert), "%s: %s", v->what, why.text);
}

static void try_all(bool by_client) {
    for (size_t i = 0; i < CERT_VARIANTS; i++) {
        const struct cert_variant *v = &cert_variants[i];
        struct pair p;
        pair_init(&p);
        struct side *shower = by_client ? &p.client : &p.server;
        struct side *judge = by_client ? &p.server : &p.client;
        show(&p, shower, v);
        pair_connect(&p);
        if (v->error < 0) {
            expect_refused(&p, judge, shower, v);
        } else {
            cr_assert(p.client.confirmed && p.server.connected, "%s", v->what);
            cr_assert(peer_id_equal(quic_conn_peer(judge->conn), &shower->identity.id), "%s",
                      v->what);
        }
        pair_done(&p);
    }
}

Test(quic_certificates, a_server_is_judged_by_its_certificate) {
    try_all(false);
}

Test(quic_certificates, a_client_is_judged_by_its_certificate) {
    try_all(true);
}
