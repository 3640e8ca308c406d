/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"

#include <string.h>

#include "core/base/base.h"

struct row {
    const char *name;
    const char *text;
    int number;
    int http_status;
    int exit_code;
};

static const struct row rows[] = {
#define ERR_ROW(name_, number_, http, exit_, text_) \
    {.name = "ERR_" #name_,                         \
     .text = (text_),                               \
     .number = (number_),                           \
     .http_status = (http),                         \
     .exit_code = (exit_)},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

/* The numbers follow one another, so a row is found by its distance from the first. */
_Static_assert(ERR_END - ERR_TRUNCATED == (int)ARRAY_COUNT(rows), "error numbers have a gap");

static unsigned magnitude(int error) {
    return error < 0 ? 0u - (unsigned)error : (unsigned)error;
}

static const struct row *find(int error) {
    unsigned n = magnitude(error);
    if (n < ERR_TRUNCATED || n >= ERR_END)
        return NULL;
    return &rows[n - ERR_TRUNCATED];
}

const char *err_text(int error) {
    const struct row *row = find(error);
    if (row != NULL)
        return row->text;
    const char *text = strerrordesc_np((int)magnitude(error));
    return text == NULL ? "unknown error" : text;
}

const char *err_name(int error) {
    const struct row *row = find(error);
    if (row != NULL)
        return row->name;
    const char *name = strerrorname_np((int)magnitude(error));
    return name == NULL ? "?" : name;
}

int err_http_status(int error) {
    const struct row *row = find(error);
    if (row != NULL)
        return row->http_status;
    return 500;
}

int err_exit_code(int error) {
    const struct row *row = find(error);
    if (row != NULL)
        return row->exit_code;
    return error == 0 ? 0 : 1;
}
