/* SPDX-License-Identifier: MIT */
#include "cli/qr.h"

#ifdef PEERUP_HAVE_QRENCODE

#include <qrencode.h>

#include "cli/out.h"
#include "core/base/strbuf.h"

enum { QUIET_ZONE = 4, QR_BYTES_MAX = 64 << 10 };

/* Outside the symbol all is light. */
static bool is_light(const QRcode *code, int x, int y) {
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return true;
    return (code->data[y * code->width + x] & 1) == 0;
}

void qr_print(const char *heading, const char *text) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(QR_BYTES_MAX);
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    if (code == NULL)
        return; /* a picture of what is printed as text too */

    int last = code->width + QUIET_ZONE;
    for (int y = -QUIET_ZONE; y < last; y += 2) {
        for (int x = -QUIET_ZONE; x < last; x++) {
            bool upper = is_light(code, x, y);
            bool lower = y + 1 < last && is_light(code, x, y + 1);
            strbuf_add(&out, upper ? lower ? "\u2588" : "\u2580" : lower ? "\u2584" : " ");
        }
        strbuf_add_char(&out, '\n');
    }
    QRcode_free(code);
    out_line(OUT_PLAIN, "%s", heading);
    out_text(OUT_PLAIN, "%s", strbuf_text(&out));
}

#else

void qr_print(const char *heading, const char *text) {
    (void)heading;
    (void)text;
}

#endif
