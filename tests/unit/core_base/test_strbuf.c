/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

Test(strbuf, grows_to_its_ceiling_and_not_beyond) {
    SCOPED(strbuf_free) struct strbuf s = STRBUF_INIT(1000);
    cr_assert_str_eq(strbuf_text(&s), "");
    for (int i = 0; i < 100; i++)
        strbuf_addf(&s, "%09d.", i);
    cr_assert_eq(strbuf_error(&s), 0);
    cr_assert_eq(s.len, 1000);
    cr_assert(bytes_start_with(strbuf_bytes(&s), BYTES_LIT("000000000.000000001.")));
    strbuf_add_char(&s, 'x');
    cr_assert_eq(strbuf_error(&s), -ERR_LIMIT);
    cr_assert_eq(s.len, 1000);
    cr_assert_null(strbuf_take(&s));
    cr_assert_eq(strbuf_error(&s), 0, "taking empties, the error too");
}

Test(strbuf, after_an_error_nothing_is_added) {
    SCOPED(strbuf_free) struct strbuf s = STRBUF_INIT(4);
    strbuf_add(&s, "abc");
    strbuf_add(&s, "de");
    strbuf_add(&s, "f");
    cr_assert_str_eq(strbuf_text(&s), "abc");
    strbuf_reset(&s);
    strbuf_addf(&s, "%s", "four");
    cr_assert_eq(strbuf_error(&s), 0);
    cr_assert_str_eq(strbuf_text(&s), "four");
}

Test(strbuf, an_empty_text_can_be_taken) {
    struct strbuf s = STRBUF_INIT(0);
    char *text = strbuf_take(&s);
    cr_assert_str_eq(text, "");
    (void)mem_free(mem_system(), text);
    strbuf_add_bytes(&s, BYTES_EMPTY);
    cr_assert_eq(strbuf_error(&s), 0);
    strbuf_free(&s);
}

Test(strbuf, what_is_taken_is_the_callers) {
    struct strbuf s = STRBUF_INIT(100);
    strbuf_add(&s, "mine");
    char *text = strbuf_take(&s);
    cr_assert_str_eq(text, "mine");
    cr_assert_str_eq(strbuf_text(&s), "");
    (void)mem_free(mem_system(), text);
}
