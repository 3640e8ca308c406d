/* SPDX-License-Identifier: MIT */
#pragma once

/* Changes to a config file that keep everything else in it: comments, order, spelling.
 *
 * The text is parsed to learn where things stand, single lines are changed, and the result is
 * parsed again before it replaces anything.  What cannot be changed in this way is an error that
 * asks to edit by hand.
 *
 * Spec: config.md, sections 4 and 7.
 */

#include "core/base/bytes.h"

struct mem;
struct problem;
struct strbuf;

enum config_edit_kind {
    EDIT_SERVICE_ADD,     /* name, value = local address, note = its protocol or NULL */
    EDIT_SERVICE_REMOVE,  /* name */
    EDIT_SERVICE_ENABLE,  /* name */
    EDIT_SERVICE_DISABLE, /* name */
    EDIT_RELAY_ADD,       /* value = address */
    EDIT_RELAY_REMOVE,    /* value = address */
    EDIT_NAME_ADD,        /* name, value = peer ID or address */
};

struct config_edit {
    enum config_edit_kind kind;
    const char *name;
    const char *value;
    const char *note;
};

/* Writes the changed text to `out`, which is empty before.
 *   -EEXIST             what is to be added is there (a name: with another value)
 *   -EALREADY           everything is as it is to be; nothing was written
 *   -ENOENT             what is to be changed is not there
 *   -ERR_UNSUPPORTED    the file's form cannot be changed in this way: edit by hand
 *   errors of config_parse(): the file is not valid to begin with                            */
NODISCARD int config_edit_text(struct mem *mem, const char *path, struct bytes text,
                               const struct config_edit *edit, struct strbuf *out,
                               struct problem *ret_problem);

/* The same for a file, under its directory's lock.  After an error the file is as it was.
 *   also errors of config_load() and of writing                                              */
NODISCARD int config_edit_file(struct mem *mem, const char *path, const struct config_edit *edit,
                               struct problem *ret_problem);
