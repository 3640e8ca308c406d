/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/crypto/hash.h"
#include "tests/support/hex.h"

static void expect(const uint8_t *got, size_t size, struct bytes expected) {
    cr_assert(bytes_equal(bytes_of(got, size), expected));
}

/* FIPS 180-2, appendix B; the empty message. */
Test(hash, sha256_known_answers) {
    uint8_t digest[SHA256_BYTES];
    sha256(BYTES_LIT("abc"), digest);
    expect(digest, 32, HEX("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    sha256(BYTES_EMPTY, digest);
    expect(digest, 32, HEX("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    sha256(BYTES_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), digest);
    expect(digest, 32, HEX("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
}

/* FIPS 180-2, appendix A; the empty message. */
Test(hash, sha1_known_answers) {
    uint8_t digest[SHA1_BYTES];
    sha1(BYTES_LIT("abc"), digest);
    expect(digest, 20, HEX("a9993e364706816aba3e25717850c26c9cd0d89d"));
    sha1(BYTES_EMPTY, digest);
    expect(digest, 20, HEX("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
}

Test(hash, two_parts_hash_as_the_whole_wherever_it_is_cut) {
    struct bytes whole = BYTES_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    uint8_t expected[SHA256_BYTES], digest[SHA256_BYTES];
    sha256(whole, expected);
    for (size_t cut = 0; cut <= whole.len; cut++) {
        sha256_joined(bytes_of(whole.data, cut), bytes_skip(whole, cut), digest);
        expect(digest, sizeof(digest), BYTES_OF(expected));
    }
    sha256(BYTES_OF(expected), digest);
    sha256_joined(BYTES_OF(expected), BYTES_EMPTY, expected);
    expect(expected, sizeof(expected), BYTES_OF(digest));
}

/* RFC 4231, cases 2 and 6 (a key longer than a block). */
Test(hash, hmac_known_answers) {
    uint8_t mac[SHA256_BYTES];
    uint8_t key[131];
    hmac_sha256(BYTES_LIT("Jefe"), BYTES_LIT("what do ya want for nothing?"), mac);
    expect(mac, 32, HEX("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(BYTES_OF(key), BYTES_LIT("Test Using Larger Than Block-Size Key - Hash Key First"),
                mac);
    expect(mac, 32, HEX("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
    hmac_sha256(BYTES_EMPTY, BYTES_EMPTY, mac);
    expect(mac, 32, HEX("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}

/* RFC 5869, cases 1 and 3. */
Test(hash, hkdf_known_answers) {
    uint8_t out[42];
    hkdf_sha256(HEX("000102030405060708090a0b0c"),
                HEX("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), HEX("f0f1f2f3f4f5f6f7f8f9"),
                out, sizeof(out));
    expect(out, 42,
           HEX("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b88718586"
               "5"));
    hkdf_sha256(BYTES_EMPTY, HEX("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), BYTES_EMPTY, out,
                sizeof(out));
    expect(out, 42,
           HEX("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c"
               "8"));
}

Test(hash, secrets_differ_in_any_bit) {
    uint8_t a[33] = {0};
    uint8_t b[33] = {0};
    cr_assert(secret_equal(a, b, sizeof(a)));
    for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
        b[bit / 8] = (uint8_t)(1u << bit % 8);
        cr_assert_not(secret_equal(a, b, sizeof(a)), "bit %zu", bit);
        b[bit / 8] = 0;
    }
    cr_assert(secret_equal(a, b, 0));
}
