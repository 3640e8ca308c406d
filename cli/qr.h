/* SPDX-License-Identifier: MIT */
#pragma once

/* QR codes for terminals.  Spec: cli.md, section 7. */

/* Prints the heading and the text as a QR code of error-correction level M on standard output, two
 * rows a line.  Without libqrencode at build time this prints nothing. */
void qr_print(const char *heading, const char *text);
