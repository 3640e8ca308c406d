/* SPDX-License-Identifier: MIT */
/* A peer's certificate, raw: the extension is inside.  Oracles: nothing but the stated error, with
 * a fault of the table; the result is untouched then; an accepted certificate is accepted again and
 * proves an ID that belongs to its key; nothing behind it is accepted. */
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/tls_cert.h"

/* 2027-01-15 */
#define NOW ((walltime_t)1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tls_peer peer = {.id = {.len = 1}};
    enum tls_cert_fault fault = TLS_CERT_FAULT_COUNT;

    int e = tls_cert_verify(bytes_of(data, size), NOW, &peer, &fault);
    if (e < 0) {
        assert(e == -ERR_BAD_CERTIFICATE);
        assert(fault < TLS_CERT_FAULT_COUNT);
        assert(tls_cert_fault_alert(fault) != 0);
        assert(peer.id.len == 1);
        return 0;
    }
    assert(fault == TLS_CERT_FAULT_COUNT);
    assert(peer_id_matches_key(&peer.id, &peer.key));
    uint8_t *longer = realloc(fuzz_copy(bytes_of(data, size)), size + 1);
    assert(longer != NULL);
    longer[size] = 0;
    e = tls_cert_verify(bytes_of(longer, size + 1), NOW, &peer, &fault);
    assert(e == -ERR_BAD_CERTIFICATE);
    assert(fault == TLS_CERT_MALFORMED);
    free(longer);
    return 0;
}
