/* SPDX-License-Identifier: MIT */
/* wolfSSL's src/internal.c, with one change and without touching its text.
 *
 * During a handshake wolfSSL refuses a certificate with a critical extension that it does not
 * know, before any callback of ours is asked.  js-libp2p marks the libp2p extension critical, and
 * the specification allows it.  Everywhere else wolfSSL asks the certificate manager's
 * unknown-extension callback; here it forgets to.  So each decoded certificate of this
 * translation unit is handed that callback when it is initialised.
 */
#include <wolfssl/internal.h>
#include <wolfssl/wolfcrypt/libwolfssl_sources.h>

static void decoded_cert_init_for(WOLFSSL *ssl, DecodedCert *cert, const byte *der, word32 der_size,
                                  void *heap) {
    InitDecodedCert(cert, der, der_size, heap);
    if (SSL_CM(ssl) && SSL_CM(ssl)->unknownExtCallback)
        wc_SetUnknownExtCallback(cert, SSL_CM(ssl)->unknownExtCallback);
}

/* Every user of the initialiser in internal.c has its connection at hand as `ssl`. */
#undef InitDecodedCert
#define InitDecodedCert(cert, der, der_size, heap) \
    decoded_cert_init_for(ssl, (cert), (der), (der_size), (heap))

#include "src/internal.c"
