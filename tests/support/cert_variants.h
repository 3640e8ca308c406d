/* SPDX-License-Identifier: MIT */
#pragma once

/* Certificates that others make, good and bad: ours, taken apart, changed and signed again. */

#include "core/base/bytes.h"
#include "transport/proto/tls_cert.h"

struct rng;

struct cert_variant {
    const char *what;
    bool is_critical; /* the libp2p extension */
    bool has_none;
    struct bytes other; /* the content of one more extension */
    bool is_expired;
    int error;      /* of the side that looks at it */
    unsigned alert; /* that the other side is told */
};

enum { CERT_VARIANTS = 7 };

extern const struct cert_variant cert_variants[CERT_VARIANTS];

/* Makes a certificate for `id` as the variant says. */
void cert_variant_make(const struct cert_variant *v, const struct identity *id, struct rng *rng,
                       struct tls_cert *ret_cert);
