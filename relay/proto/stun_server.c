/* SPDX-License-Identifier: MIT */
#include "relay/proto/stun_server.h"

#define ANSWER_COST (SEC(1) / STUN_ANSWERS_PER_SECOND)
#define BURST_COST  (ANSWER_COST * STUN_ANSWERS_BURST)

/* A full bucket is a time used up that lies in the past. */
static bool may_answer(struct stun_server *s, nsec_t now) {
    nsec_t used_until = MAX(s->used_until, now) + ANSWER_COST;
    if (used_until > now + BURST_COST)
        return false;
    s->used_until = used_until;
    return true;
}

size_t stun_server_answer(struct stun_server *s, const struct net_addr *from,
                          const struct net_addr *other, struct bytes datagram,
                          uint8_t ret_out[STUN_ANSWER_MAX], nsec_t now) {
    struct stun_msg request;
    if (stun_decode(datagram, &request) < 0 || request.type != STUN_BINDING_REQUEST)
        return 0;
    if (!may_answer(s, now))
        return 0;
    if (request.unknown_count > 0)
        return stun_encode_refusal(&request, ret_out);
    return stun_encode_success(request.txid, from, other, ret_out);
}
