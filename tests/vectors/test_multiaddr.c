/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/p2p/multiaddr.h"
#include "tests/support/vectors.h"

static void check_accepted(const json_t *row, const struct multiaddr *a) {
    const char *canonical = row_str(row, "canonical_text");
    uint8_t memory[MULTIADDR_BYTES_MAX];
    char text[MULTIADDR_TEXT_MAX];
    cr_assert(bytes_equal(multiaddr_bytes(a), row_hex(row, "bytes", memory, sizeof(memory))), "%s",
              canonical);
    cr_assert_str_eq(multiaddr_format(a, text), canonical);
}

Test(multiaddr, every_row_of_the_reference) {
    struct vectors v = vectors_open("multiaddr");
    int texts = 0;
    int binaries = 0;
    vectors_for_each(row, &v) {
        bool reject = row_is(row, "expect", "reject");
        struct multiaddr a;
        if (row_has(row, "text")) {
            const char *text = row_str(row, "text");
            int e = multiaddr_parse(text, &a);
            cr_assert_eq(e, reject ? -ERR_BAD_MULTIADDR : 0, "'%s': %s", text, err_name(e));
            if (!reject)
                check_accepted(row, &a);
            texts++;
        }
        if (row_has(row, "bytes")) {
            uint8_t memory[MULTIADDR_BYTES_MAX];
            int e = multiaddr_decode(row_hex(row, "bytes", memory, sizeof(memory)), &a);
            cr_assert_eq(e, reject ? -ERR_BAD_MULTIADDR : 0, "%s: %s", row_str(row, "name"),
                         err_name(e));
            if (!reject)
                check_accepted(row, &a);
            binaries++;
        }
    }
    cr_assert_eq(texts, 57);
    cr_assert_eq(binaries, 58);
    vectors_close(&v);
}
