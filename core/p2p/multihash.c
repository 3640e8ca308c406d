/* SPDX-License-Identifier: MIT */
#include "core/p2p/multihash.h"

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/rd.h"

enum { SHA256_DIGEST_BYTES = 32, CID_VERSION = 1, CID_CODEC_LIBP2P_KEY = 0x72 };

int multihash_decode(struct bytes in, struct multihash *ret_hash) {
    struct rd r = rd_init(in);
    uint64_t code = rd_uvarint(&r);
    struct bytes digest = rd_uvarint_bytes(&r, in.len);
    if (rd_done(&r) < 0)
        return -ERR_MALFORMED;
    *ret_hash = (struct multihash){.code = code, .digest = digest};
    return 0;
}

bool multihash_is_of_key(const struct multihash *h) {
    if (h->code == MULTIHASH_IDENTITY)
        return h->digest.len > 0;
    return h->code == MULTIHASH_SHA256 && h->digest.len == SHA256_DIGEST_BYTES;
}

/* The hash in a CID. */
static ssize_t parse_cid(struct bytes text, uint8_t *out, size_t size) {
    uint8_t cid[CODEC_NUMBER_BYTES_MAX];
    ssize_t len = multibase_decode(text, cid, sizeof(cid));
    if (len < 0)
        return len;
    struct rd r = rd_init(bytes_of(cid, (size_t)len));
    uint64_t version = rd_uvarint(&r);
    uint64_t codec = rd_uvarint(&r);
    if (r.error < 0)
        return -ERR_MALFORMED;
    if (version != CID_VERSION || codec != CID_CODEC_LIBP2P_KEY)
        return -ERR_UNSUPPORTED;
    if (r.left.len > size)
        return -ERR_LIMIT;
    if (r.left.len > 0)
        memcpy(out, r.left.data, r.left.len);
    return (ssize_t)r.left.len;
}

ssize_t multihash_parse(struct bytes text, void *out, size_t size) {
    if (bytes_start_with(text, BYTES_LIT("1")) || bytes_start_with(text, BYTES_LIT("Qm")))
        return codec_decode(CODEC_BASE58, text, out, size);
    return parse_cid(text, out, size);
}
