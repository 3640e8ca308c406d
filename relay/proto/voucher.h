/* SPDX-License-Identifier: MIT */
#pragma once

/* Reservation vouchers: a relay's signed word that it holds a reservation for a peer.  A signed
 * envelope (core/p2p/envelope.h) around relay, peer and expiry.
 *
 * Spec:    libp2p relay-v2, ReservationVoucher.  Optional in the relay's answer.
 * Memory:  values.
 * Thread:  any.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"

struct identity;
struct peer_id;

/* What voucher_seal() writes at most: our keys are Ed25519, the peer's ID has any length. */
enum { VOUCHER_BYTES_MAX = 256 };

/* Signs that `peer` has a reservation until `expire`, which is not negative, and encodes.  Returns
 * the length, or -ERR_CRYPTO. */
NODISCARD ssize_t voucher_seal(const struct identity *relay, const struct peer_id *peer,
                               walltime_t expire, uint8_t ret_out[VOUCHER_BYTES_MAX]);

/* Verifies that `relay` signed `in` and that it speaks of itself and of `peer`.  Whether
 * *ret_expire is in the future is the caller's question.
 *   the errors of envelope_open()
 *   -ERR_PEER_ID_MISMATCH  another signer, another relay or another peer */
NODISCARD int voucher_open(struct bytes in, const struct peer_id *relay, const struct peer_id *peer,
                           walltime_t *ret_expire);
