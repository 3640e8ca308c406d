/* SPDX-License-Identifier: MIT */
#pragma once

/* Small value types of config files, as text and back.
 *
 * Spec: config.md sections 3 (durations, labels) and 8 (sizes); cli.md 3.1 (host:port).
 */

#include "core/base/bytes.h"
#include "core/base/time.h"

struct problem;

/* Go's duration syntax: decimal numbers with unit ns us µs ms s m h, concatenated; "0" alone.
 * Nanoseconds, may be negative.  -EINVAL with Go's text ("time: invalid duration \"x\""). */
NODISCARD int duration_parse(const char *text, int64_t *ret_ns, struct problem *ret_problem);

enum { DURATION_TEXT_MAX = 32 };

/* As Go prints it: "2m0s", "1.5s", "100ms", "0s".  Returns `out`, DURATION_TEXT_MAX bytes. */
const char *duration_format(int64_t ns, char *out);

/* An integer with an optional suffix B, KB, MB or GB (1024-based, any case, optional space).
 * -EINVAL */
NODISCARD int size_parse(const char *text, int64_t *ret_bytes, struct problem *ret_problem);

enum { SIZE_TEXT_MAX = 32 };

/* With the largest suffix that divides it: "64MB", "0B".  Returns `out`, SIZE_TEXT_MAX bytes. */
const char *size_format(int64_t bytes, char *out);

/* 1-63 lower-case letters, digits and hyphens, starting and ending with a letter or digit. */
bool dns_label_is_valid(const char *text);

/* What the label rule says to a person: "must be 1-63 lowercase alphanumeric ...". */
extern const char DNS_LABEL_RULE[];

struct host_port {
    const char *host; /* not terminated: host_len bytes; without the brackets of IPv6 */
    size_t host_len;
    uint16_t port;
};

/* Splits "host:port" or "[ip6]:port"; the result points into `text`.  The port is 1 to 65535; the
 * host may be empty only where `host_may_be_empty`.  -EINVAL with the reason. */
NODISCARD int host_port_parse(const char *text, bool host_may_be_empty, struct host_port *ret_hp,
                              struct problem *ret_problem);

/* RFC 3339, "2027-01-02T03:04:05Z" or with offset; a fraction of a second is dropped.  -EINVAL */
NODISCARD int rfc3339_parse(const char *text, walltime_t *ret_time);

enum { RFC3339_TEXT_MAX = 64 };

/* In UTC, whole seconds; years 0 to 9999.  Returns `out`, RFC3339_TEXT_MAX bytes. */
const char *rfc3339_format(walltime_t t, char *out);
