/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>

#include "cli/out.h"

Test(out, json_is_compact_or_indented, .init = cr_redirect_stdout) {
    /* Spec: cli.md 5.1; numbers as Go prints them: no more digits than give the value back. */
    const struct out_field fields[] = {
        out_field_int("seq", 1),         out_field_text("peer_id", "a\"b\\c\n\x1b"),
        out_field_real("rtt_ms", 2.168), out_field_real("loss_pct", 0),
        out_field_bool("ok", true),
    };
    out_json(fields, 5, false);
    out_json(fields, 2, true);
    out_json(NULL, 0, true);
    cr_assert_eq(out_finish(), 0);
    cr_assert_stdout_eq_str(
        "{\"seq\":1,\"peer_id\":\"a\\\"b\\\\c\\u000a\\u001b\",\"rtt_ms\":2.168,\"loss_pct\":0,"
        "\"ok\":true}\n"
        "{\n  \"seq\": 1,\n  \"peer_id\": \"a\\\"b\\\\c\\u000a\\u001b\"\n}\n"
        "{}\n");
}

Test(out, lines_are_cleaned_and_may_be_long, .init = cr_redirect_stdout) {
    char longer[3001], wanted[3002];
    memset(longer, 'x', 3000);
    longer[3000] = '\0';
    (void)snprintf(wanted, sizeof(wanted), "%s\n", longer);
    out_line(OUT_PLAIN, "%s", longer);
    cr_assert_eq(out_finish(), 0);
    cr_assert_stdout_eq_str(wanted);
}

Test(out, control_characters_become_question_marks, .init = cr_redirect_stdout) {
    out_line(OUT_SUCCESS, "a\x1b[2Jb\rc\x7f\xc3\xa4\t\n%s", "e");
    out_line(OUT_PLAIN, "C1 %s",
             "\xc2\x9b"
             "2J \x9b"
             "2J");
    out_line(OUT_PLAIN, "cut %s", "\xe2\x82");
    out_line(OUT_PLAIN, "long %s", "\xe0\x82\x9b \xf0\x80\x82\x9b \xed\xa0\x80 \xf4\x90\x80\x80");
    out_line(OUT_PLAIN, "whole %s", "\xe2\x82\xac \xf0\x9f\x90\xb6 \xc2\xa0");
    cr_assert_eq(out_finish(), 0);
    cr_assert_stdout_eq_str("a?[2Jb?c?\xc3\xa4\t\ne\n"
                            "C1 ??2J ?2J\n"
                            "cut ??\n"
                            "long ??? ???? ??? ????\n"
                            "whole \xe2\x82\xac \xf0\x9f\x90\xb6 \xc2\xa0\n");
}

Test(out, errors_have_their_prefix_and_status, .init = cr_redirect_stderr) {
    cr_expect_eq(out_error("it %s", "broke"), 1);
    cr_expect_eq(out_failure("bare"), 1);
    (void)fflush(stderr);
    cr_assert_stderr_eq_str("Error: it broke\nbare\n");
}
