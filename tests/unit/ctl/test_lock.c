/* SPDX-License-Identifier: MIT */

/* Decision 5: one identity, one host. */

#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "ctl/lock.h"
#include "tests/unit/ctl/folder.h"

Test(lock, a_second_daemon_with_the_same_key_is_refused) {
    struct folder f;
    struct problem why = PROBLEM_INIT;
    int first = -1, second = -1;
    folder_make(&f);
    folder_write(&f, "identity.key", "x");
    const char *key = folder_file(&f, "identity.key");
    cr_assert_not(lock_is_taken(key));
    cr_assert_eq(lock_take(key, &first, &why), 0, "%s", why.text);
    cr_assert(lock_is_taken(key));
    cr_assert_eq(lock_take(key, &second, &why), -ERR_DAEMON_RUNNING);
    cr_assert_eq(second, -1);
    cr_assert_neq(why.text[0], '\0');

    lock_release(&first);
    cr_assert_eq(first, -1);
    cr_assert_not(lock_is_taken(key));
    cr_assert_eq(lock_take(key, &second, &why), 0);
    lock_release(&second);
    folder_remove(&f);
}

Test(lock, two_keys_do_not_meet_and_a_missing_one_is_nobodys) {
    struct folder f;
    struct problem why = PROBLEM_INIT;
    int a = -1, b = -1;
    folder_make(&f);
    folder_write(&f, "a.key", "x");
    folder_write(&f, "b.key", "x");
    cr_assert_eq(lock_take(folder_file(&f, "a.key"), &a, &why), 0);
    cr_assert_eq(lock_take(folder_file(&f, "b.key"), &b, &why), 0);
    cr_assert_not(lock_is_taken(folder_file(&f, "none.key")));
    cr_assert_eq(lock_take(folder_file(&f, "none.key"), &a, &why), -ENOENT);
    lock_release(&a);
    lock_release(&b);
    folder_remove(&f);
}
