/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "meeting.h"
#include "tests/support/vectors.h"

/* Goal: as a client of web servers we trust roots, names and dates, and nothing else. */

enum { DER_ROOM = 2048 };

struct visit {
    struct meeting m;
    uint8_t der[DER_ROOM];
    uint8_t key[DER_ROOM];
};

static void visit_host(struct visit *v, const char *cert, const char *host) {
    struct vectors all = vectors_open("web_certs");
    struct stranger_config cfg = meeting_prepare(&v->m, true);
    vectors_for_each(row, &all) {
        if (!row_is(row, "name", cert))
            continue;
        cfg.chain[0] = row_hex(row, "cert", v->der, sizeof(v->der));
        cfg.key = row_hex(row, "key", v->key, sizeof(v->key));
    }
    vectors_close(&all);
    cfg.alpn = "http/1.1";
    cfg.wants_no_cert = true;
    struct tls_config tls = {.mem = v->m.end.mem, .context = v->m.end.context, .initiator = true};
    cr_assert_eq(tls_context_trust(v->m.end.context, "tests/vectors/web_root.pem"), 0);
    cr_assert_eq(tls_web_new(&tls, host, &v->m.end.secure), 0);
    stranger_init(&v->m.stranger, &cfg);
    meeting_go_on(&v->m);
}

Test(tls_web, a_server_that_proves_its_name_is_talked_to) {
    static const char *const hosts[] = {"example.test", "any.wild.test", "EXAMPLE.test"};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        struct visit v;
        visit_host(&v, "good", hosts[i]);
        const struct secure *s = v.m.end.secure;
        cr_assert_eq(s->state, SECURE_OPEN, "%s: %s", hosts[i], s->problem.text);
        cr_assert(peer_id_is_none(&s->peer));
        cr_assert_null(s->muxer);
        stranger_write(&v.m.stranger, BYTES_LIT("hello"));
        meeting_go_on(&v.m);
        cr_assert(bytes_equal(bytes_of(v.m.end.got, v.m.end.got_len), BYTES_LIT("hello")));
        meeting_end(&v.m);
    }
}

Test(tls_web, a_wrong_name_an_unknown_root_and_an_old_certificate_are_refused) {
    static const struct {
        const char *cert;
        const char *host;
        int alert;
    } rows[] = {{"good", "example.org", 42},
                {"good", "a.b.wild.test", 42},
                {"good", "wild.test", 42},
                {"expired", "example.test", 45},
                {"untrusted", "example.test", 48}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct visit v;
        visit_host(&v, rows[i].cert, rows[i].host);
        const struct secure *s = v.m.end.secure;
        cr_assert_eq(s->error, -ERR_BAD_CERTIFICATE, "%s, %s: %d %s", rows[i].cert, rows[i].host,
                     s->error, s->problem.text);
        cr_assert_eq(meeting_told_alert(&v.m), rows[i].alert, "%s, %s: %d", rows[i].cert,
                     rows[i].host, v.m.stranger.alert);
        meeting_end(&v.m);
    }
}

/* A peer's own certificate is no web server's. */
Test(tls_web, a_peers_certificate_is_refused) {
    struct visit v;
    visit_host(&v, "none of them", "example.test");
    cr_assert_eq(v.m.end.secure->error, -ERR_BAD_CERTIFICATE, "%s", v.m.end.secure->problem.text);
    meeting_end(&v.m);
}

Test(tls_web, without_roots_and_for_addresses_nothing_starts) {
    struct world w;
    struct end e;
    world_init(&w);
    end_init(&e, &w, 1);
    struct tls_config tls = {.mem = e.mem, .context = e.context, .initiator = true};
    cr_assert_eq(tls_context_trust(e.context, "tests/vectors/no_such_file.pem"), -ENOENT);
    cr_assert_eq(tls_context_trust(e.context, "tests/vectors/web_certs.json"), -ENOENT);
    cr_assert_eq(tls_web_new(&tls, "127.0.0.1", &e.secure), -ERR_UNSUPPORTED);
    cr_assert_eq(tls_web_new(&tls, "2001:db8::1", &e.secure), -ERR_UNSUPPORTED);
    cr_assert_null(e.secure);
    end_done(&e);
    world_done(&w);
}
