/* SPDX-License-Identifier: MIT */
#pragma once

/* One of our channels and a stranger, and what flows between them. */

#include "channel.h"
#include "stranger.h"

struct meeting {
    struct world world;
    struct end end;
    struct stranger stranger;
    struct tls_cert cert; /* the stranger's, where the test gives none */
    struct peer_id id;    /* that it proves */
};

/* A stranger with a good certificate, "libp2p" and yamux; a test changes what it wants. */
struct stranger_config meeting_prepare(struct meeting *m, bool stranger_is_server);
/* Lets both talk until nothing moves.  Our end takes the other role. */
void meeting_hold(struct meeting *m, const struct stranger_config *cfg);
void meeting_go_on(struct meeting *m);
void meeting_end(struct meeting *m);

/* What the stranger was told; one that is done finds it when it reads. */
int meeting_told_alert(struct meeting *m);

/* Our end gets a record that the stranger seals by hand, of these inner bytes: content and type,
 * with or without padding. */
void meeting_send_inner(struct meeting *m, struct bytes inner);
void meeting_send(struct meeting *m, enum tls_content type, struct bytes content);
/* Opens what our end says next, by hand: its type, 0 for nothing; content is put to `out`. */
uint8_t meeting_hear(struct meeting *m, uint8_t *out, size_t size, size_t *ret_len);
