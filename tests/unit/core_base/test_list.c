/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/list.h"

struct item {
    int value;
    struct list node;
};

static int value_of(struct list *node) {
    return LIST_ENTRY(node, struct item, node)->value;
}

Test(list, keeps_order_and_forgives_a_second_removal) {
    struct list head;
    struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_init(&items[i].node);
    cr_assert(list_is_empty(&head));
    list_push(&head, &items[1].node);
    list_push(&head, &items[2].node);
    list_unshift(&head, &items[0].node);
    int expected = 0;
    list_for_each (node, &head)
        cr_assert_eq(value_of(node), expected++);
    cr_assert_eq(expected, 3);
    list_remove(&items[1].node);
    list_remove(&items[1].node);
    cr_assert_not(list_is_linked(&items[1].node));
    cr_assert_eq(value_of(list_shift(&head)), 0);
    cr_assert_eq(value_of(list_shift(&head)), 2);
    cr_assert_null(list_shift(&head));
}

Test(list, elements_can_go_while_walking_safely) {
    struct list head;
    struct item items[4];
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        list_init(&items[i].node);
        list_push(&head, &items[i].node);
    }
    list_for_each_safe (node, &head) {
        if (value_of(node) % 2 == 0)
            list_remove(node);
    }
    cr_assert_eq(value_of(list_shift(&head)), 1);
    cr_assert_eq(value_of(list_shift(&head)), 3);
    cr_assert(list_is_empty(&head));
}

Test(list, splicing_empties_the_source) {
    struct list a;
    struct list b;
    struct item items[2] = {{.value = 1}, {.value = 2}};
    list_init(&a);
    list_init(&b);
    list_splice(&a, &b);
    cr_assert(list_is_empty(&a));
    for (int i = 0; i < 2; i++) {
        list_init(&items[i].node);
        list_push(i == 0 ? &a : &b, &items[i].node);
    }
    list_splice(&a, &b);
    cr_assert(list_is_empty(&b));
    cr_assert_eq(value_of(list_shift(&a)), 1);
    cr_assert_eq(value_of(list_shift(&a)), 2);
}
