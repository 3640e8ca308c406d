/* SPDX-License-Identifier: MIT */
/* With a random block generator of ours wolfSSL has no seed source, but a function of its OpenSSL
 * layer still refers to one. */
#include <wolfssl/wolfcrypt/random.h>

int wc_GenerateSeed(OS_Seed *os, byte *seed, word32 size) {
    (void)os;
    return peerup_wolf_random(seed, size);
}
