/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "meeting.h"
#include "tests/support/cert_variants.h"
#include "tests/support/vectors.h"

/* Goal: whole handshakes with certificates that others make, good and bad, in both roles: what the
 * TLS library does with them, not only our own verdict (test_tls_cert.c).
 * Spec: libp2p tls.md, "Certificate" and "Verdict table". */

enum { CERT_ROOM = 4096 };

/* Nobody has these certificates' keys: what is not refused fails at the proof that follows, and
 * then the ID that the certificate proves is known. */
static void try_vector(const json_t *row, bool server) {
    static uint8_t der[CERT_ROOM];
    struct meeting m;
    char peer[PEER_ID_TEXT_MAX];
    const char *name = row_str(row, "name");
    struct stranger_config cfg = meeting_prepare(&m, server);
    cfg.chain[0] = row_hex(row, "cert", der, sizeof(der));
    meeting_hold(&m, &cfg);
    const struct secure *s = m.end.secure;
    cr_assert_eq(s->state, SECURE_FAILED, "%s", name);
    bool rejected = s->error == -ERR_BAD_CERTIFICATE;
    if (row_is(row, "spec_expect", "reject")) {
        cr_assert(rejected, "%s: %s", name, s->problem.text);
        int alert = meeting_told_alert(&m);
        cr_assert(alert >= 42 && alert <= 46, "%s: alert %d", name, alert);
    } else if (row_is(row, "spec_expect", "accept")) {
        const char *wanted =
            row_str(row, row_has(row, "peer_id_rust") ? "peer_id_rust" : "peer_id");
        cr_assert_not(rejected, "%s: %s", name, s->problem.text);
        cr_assert_eq(s->error, -ERR_HANDSHAKE, "%s: %s", name, s->problem.text);
        cr_assert_str_eq(peer_id_format(&s->peer, peer), wanted, "%s", name);
    }
    meeting_end(&m);
}

Test(tls_certificates, the_vectors_are_judged_in_both_roles) {
    struct vectors v = vectors_open("tls_certs");
    vectors_for_each(row, &v) {
        try_vector(row, true);
        try_vector(row, false);
    }
    vectors_close(&v);
}

static void try_variant(const struct cert_variant *v, bool server) {
    struct identity identity;
    struct meeting m;
    struct stranger_config cfg = meeting_prepare(&m, server);
    cr_assert_eq(identity_from_seed((uint8_t[ED25519_SEED_BYTES]){5}, &identity), 0);
    cert_variant_make(v, &identity, &m.world.rng.rng, &m.cert);
    cfg.chain[0].len = m.cert.der_len;
    meeting_hold(&m, &cfg);
    const struct secure *s = m.end.secure;
    if (v->error < 0) {
        cr_assert_eq(s->error, v->error, "%s: %s", v->what, s->problem.text);
        cr_assert_eq(meeting_told_alert(&m), (int)v->alert, "%s: %d", v->what, m.stranger.alert);
    } else {
        cr_assert_eq(s->state, SECURE_OPEN, "%s: %s", v->what, s->problem.text);
        cr_assert(peer_id_equal(&s->peer, &identity.id), "%s", v->what);
        cr_assert(m.stranger.is_done, "%s", v->what);
    }
    meeting_end(&m);
}

Test(tls_certificates, a_server_is_judged_by_its_certificate) {
    for (size_t i = 0; i < CERT_VARIANTS; i++)
        try_variant(&cert_variants[i], true);
}

Test(tls_certificates, a_client_is_judged_by_its_certificate) {
    for (size_t i = 0; i < CERT_VARIANTS; i++)
        try_variant(&cert_variants[i], false);
}
