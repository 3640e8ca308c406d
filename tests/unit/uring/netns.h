/* SPDX-License-Identifier: MIT */
#pragma once

/* A network namespace of the test's own: a criterion test is a process, which takes it along. */

/* Enters it and brings lo up, with a pair "veth0" (down) and "veth1" (up) in it.  Skips the test
 * where that is not permitted. */
void netns_enter(void);

/* ip(8) with these words, separated by single spaces; the test fails when it does. */
void netns_ip(const char *words);
/* The same with a line a command, in one process. */
void netns_ip_batch(const char *lines);

/* Writes a setting below /proc/sys/net.  Harmless where that is not permitted. */
void netns_set(const char *path, const char *value);

/* Notifications that the namespace's netlink sockets have lost. */
long netns_lost_count(void);
