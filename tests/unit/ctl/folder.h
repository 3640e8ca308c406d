/* SPDX-License-Identifier: MIT */
#pragma once

/* A folder of the test's own, removed with what is in it. */

#include "core/base/base.h"

struct folder {
    char path[64];
};

void folder_make(struct folder *f);
void folder_remove(struct folder *f);
/* "<folder>/<name>"; valid until the next eight calls. */
const char *folder_file(const struct folder *f, const char *name);
/* Writes a file with mode 0600. */
void folder_write(const struct folder *f, const char *name, const char *text);
