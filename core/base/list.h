/* SPDX-License-Identifier: MIT */
#pragma once

/* Doubly linked ring with the links inside the elements.  A link that is in no list points to
 * itself, so list_remove() twice is harmless and list_is_linked() is cheap. */

#include "core/base/base.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l) {
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *head) {
    return head->next == head;
}

static inline bool list_is_linked(const struct list *node) {
    return node->next != node;
}

static inline void list_insert_before(struct list *where, struct list *node) {
    assert(!list_is_linked(node));
    node->prev = where->prev;
    node->next = where;
    where->prev->next = node;
    where->prev = node;
}

/* Adds at the end. */
static inline void list_push(struct list *head, struct list *node) {
    list_insert_before(head, node);
}

/* Adds at the front. */
static inline void list_unshift(struct list *head, struct list *node) {
    list_insert_before(head->next, node);
}

static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Removes and returns the first, or NULL. */
static inline struct list *list_shift(struct list *head) {
    struct list *node = head->next;
    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from) {
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

/* The body may not remove the current node; list_for_each_safe allows that. */
#define list_for_each(node, head) \
    for (struct list *node = (head)->next; node != (head); node = node->next)
#define list_for_each_safe(node, head)                                                 \
    for (struct list *node = (head)->next, *node##_next_ = node->next; node != (head); \
         node = node##_next_, node##_next_ = node->next)
