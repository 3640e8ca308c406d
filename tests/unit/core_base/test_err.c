/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>

#include "core/base/err.h"
#include "core/base/problem.h"

Test(err, both_signs_give_the_same_answer) {
    cr_assert_str_eq(err_text(-ERR_LIMIT), "a size limit was exceeded");
    cr_assert_str_eq(err_text(ERR_LIMIT), "a size limit was exceeded");
    cr_assert_str_eq(err_name(-ERR_LIMIT), "ERR_LIMIT");
    cr_assert_eq(err_http_status(-ERR_NOT_AUTHORIZED), 403);
    cr_assert_eq(err_exit_code(-ERR_NOT_AUTHORIZED), 1);
}

Test(err, every_row_is_found_by_its_number) {
#define CHECK(name, number, http, exit_code, text)       \
    cr_assert_str_eq(err_name(-(number)), "ERR_" #name); \
    cr_assert_str_eq(err_text(-(number)), text);         \
    cr_assert_eq(err_http_status(-(number)), http);      \
    cr_assert_eq(err_exit_code(-(number)), exit_code);
    ERR_TABLE(CHECK)
#undef CHECK
}

Test(err, errno_is_the_c_librarys) {
    cr_assert_str_eq(err_text(-ENOENT), "No such file or directory");
    cr_assert_str_eq(err_name(-ENOENT), "ENOENT");
    cr_assert_eq(err_http_status(-ENOENT), 500);
    cr_assert_eq(err_exit_code(-ENOENT), 1);
    cr_assert_eq(err_exit_code(0), 0);
}

Test(err, unknown_numbers_have_a_text_too) {
    static const int unknown[] = {4000, ERR_TRUNCATED - 1, ERR_END, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
        cr_assert_str_eq(err_text(unknown[i]), "unknown error", "%d", unknown[i]);
        cr_assert_str_eq(err_name(unknown[i]), "?", "%d", unknown[i]);
        cr_assert_eq(err_exit_code(unknown[i]), 1);
    }
}

Test(problem, text_and_code_are_set_in_one_call) {
    struct problem p = PROBLEM_INIT;
    cr_assert_eq(problem_set(&p, -EINVAL, "line %d: %s", 12, "no"), -EINVAL);
    cr_assert_str_eq(p.text, "line 12: no");
    cr_assert_eq(problem_set(NULL, -EINVAL, "nobody reads %d", 1), -EINVAL);
}

Test(problem, a_long_text_is_cut) {
    struct problem p;
    (void)problem_set(&p, -EINVAL, "%0*d", 2 * PROBLEM_TEXT_MAX, 0);
    cr_assert_eq(strlen(p.text), PROBLEM_TEXT_MAX - 1);
}
