/* SPDX-License-Identifier: MIT */
/* Goal: Noise with fixed keys says what the vectors say, byte for byte, and understands it.
 * Spec: libp2p noise.md. */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/p2p/identity.h"
#include "tests/support/vectors.h"
#include "transport/proto/noise.h"
#include "transport/proto/noise_payload.h"

enum { FRAME_MAX = 512, SECRETS_BYTES = 64 };

/* A role of one row, with the keys that it has there. */
struct role {
    struct rng rng;
    const json_t *fields;
    size_t used;
    uint8_t secrets[SECRETS_BYTES]; /* static, ephemeral */
    struct identity identity;
    struct secure *secure;
};

static void fill(struct rng *g, void *out, size_t size) {
    struct role *r = CONTAINER_OF(g, struct role, rng);
    cr_assert_leq(size, SECRETS_BYTES - r->used);
    memcpy(out, r->secrets + r->used, size);
    r->used += size;
}

static struct secure *role_init(struct role *r, const json_t *row, bool initiator) {
    uint8_t key[PRIVATE_KEY_BYTES_MAX];
    *r = (struct role){.rng = {.fill = fill}};
    r->fields = json_object_get(row, initiator ? "initiator" : "responder");
    cr_assert_eq(row_hex(r->fields, "static_private", r->secrets, 32).len, 32);
    cr_assert_eq(row_hex(r->fields, "ephemeral_private", r->secrets + 32, 32).len, 32);
    struct bytes protobuf = row_hex(r->fields, "identity_private_key_protobuf", key, sizeof(key));
    cr_assert_eq(identity_decode(protobuf, &r->identity), 0);
    struct noise_config cfg = {
        .mem = mem_system(), .rng = &r->rng, .identity = &r->identity, .initiator = initiator};
    cr_assert_eq(noise_new(&cfg, &r->secure), 0);
    cr_assert_eq(r->used, SECRETS_BYTES);
    return r->secure;
}

static void role_done(struct role *r) {
    r->secure = secure_free(r->secure);
    identity_done(&r->identity);
}

static void expect_pulled(struct secure *s, const json_t *row, const char *field) {
    uint8_t memory[FRAME_MAX];
    uint8_t out[FRAME_MAX];
    size_t len = secure_pull(s, out, sizeof(out));
    cr_assert(bytes_equal(bytes_of(out, len), row_hex(row, field, memory, sizeof(memory))),
              "%s: %s", row_str(row, "name"), field);
}

static void take(struct secure *s, const json_t *row, const char *field) {
    uint8_t memory[FRAME_MAX];
    struct bytes in = row_hex(row, field, memory, sizeof(memory));
    cr_assert_eq(secure_recv(s, in), in.len, "%s: %s", row_str(row, "name"), field);
    cr_assert_neq(s->state, SECURE_FAILED, "%s: %s: %s", row_str(row, "name"), field,
                  s->problem.text);
}

/* All records of the row, sealed or opened by this end. */
static void expect_records(struct secure *s, const json_t *row, bool initiator) {
    json_t *records = json_object_get(row, "transport");
    cr_assert_gt(json_array_size(records), 0);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        uint8_t framed_memory[FRAME_MAX], plain_memory[FRAME_MAX], out[FRAME_MAX];
        struct bytes framed = row_hex(record, "framed", framed_memory, sizeof(framed_memory));
        struct bytes plain = row_hex(record, "plaintext", plain_memory, sizeof(plain_memory));
        struct bytes got;
        if (row_is(record, "dir", initiator ? "r2i" : "i2r")) {
            ssize_t len = secure_body_size(s, framed_memory);
            cr_assert_eq(len, (ssize_t)framed.len - 2);
            cr_assert_eq(secure_open(s, framed_memory, framed_memory + 2, (size_t)len, &got), 0);
            cr_assert(bytes_equal(got, plain), "%s: record %zu", row_str(row, "name"), i);
        } else if (plain.len > 0) {
            cr_assert_eq(secure_seal(s, plain, out), framed.len);
            cr_assert(bytes_equal(bytes_of(out, framed.len), framed), "%s: record %zu",
                      row_str(row, "name"), i);
        } else {
            break; /* we send no empty record, and the later ones are numbered behind it */
        }
    }
}

static bool speaks_yamux(const struct role *r) {
    return json_array_size(
               json_object_get(json_object_get(r->fields, "extensions"), "stream_muxers")) == 1;
}

/* Ours is always the list of one: where the vector's own role says something else, what we say
 * differs from there on, but for the keys of the records, which come from the key exchange alone.
 */
Test(noise, the_initiator_says_and_understands_what_the_vectors_have) {
    struct vectors v = vectors_open("noise");
    cr_assert_eq(json_array_size(v.rows), 3);
    vectors_for_each(row, &v) {
        struct role r;
        struct secure *s = role_init(&r, row, true);
        expect_pulled(s, row, "message1_framed");
        take(s, row, "message2_framed");
        cr_assert_eq(s->state, SECURE_OPEN);
        const json_t *peer = json_object_get(row, "responder");
        cr_assert_eq(s->muxer != NULL, json_is_object(json_object_get(peer, "extensions")));
        if (speaks_yamux(&r))
            expect_pulled(s, row, "message3_framed");
        expect_records(s, row, true);
        role_done(&r);
    }
    vectors_close(&v);
}

Test(noise, the_responder_says_and_understands_what_the_vectors_have) {
    struct vectors v = vectors_open("noise");
    size_t told = 0;
    vectors_for_each(row, &v) {
        struct role r;
        struct secure *s = role_init(&r, row, false);
        take(s, row, "message1_framed");
        if (speaks_yamux(&r)) {
            expect_pulled(s, row, "message2_framed");
            take(s, row, "message3_framed");
            cr_assert_eq(s->state, SECURE_OPEN);
            cr_assert_str_eq(s->muxer, "/yamux/1.0.0");
            expect_records(s, row, false);
            told++;
        }
        role_done(&r);
    }
    cr_assert_eq(told, 1);
    vectors_close(&v);
}

Test(noise, the_payloads_of_the_vectors_are_judged_as_wanted) {
    struct vectors v = vectors_open("noise");
    vectors_for_each(row, &v) {
        for (int i = 0; i < 2; i++) {
            const json_t *role = json_object_get(row, i == 0 ? "initiator" : "responder");
            uint8_t payload[FRAME_MAX], point[X25519_BYTES];
            struct noise_peer peer;
            struct problem problem;
            cr_assert_eq(row_hex(role, "static_public", point, sizeof(point)).len, sizeof(point));
            int e = noise_payload_open(row_hex(role, "payload", payload, sizeof(payload)), point,
                                       &peer, &problem);
            cr_assert_eq(e, 0, "%s", row_str(row, "name"));
            cr_assert_eq(peer.has_yamux, json_is_object(json_object_get(role, "extensions")));
        }
    }
    vectors_close(&v);
}
