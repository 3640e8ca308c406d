/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by the files that work on the option table. */

#include "core/conf/schema.h"

/* Stands in a key of the table for one of the user's choice. */
extern const char SCHEMA_NAME_PART[];

/* Whether a key is in the section `prefix` ("" is the whole file). */
bool schema_key_is_below(const char *key, const char *prefix);

/* No text, no items.  Numbers and booleans are never empty. */
bool schema_value_is_empty(const struct config_option *o, const void *value);

/* Reads a target from its texts, which stay borrowed.  The arena holds the addresses.
 *   -ERR_BAD_PEER_ID, -ERR_BAD_MULTIADDR  with the reason
 *   -ENOMEM */
NODISCARD int schema_target_parse(struct arena *a, const char *const *texts, uint32_t count,
                                  struct config_target *ret_target, struct problem *ret_problem);

/* Replaces what the table says about a key's generated value; NULL leaves the key out. */
struct schema_override {
    const char *key;
    const char *value;
};

/* A new file: every key that has a generated value, with its help as a comment. */
struct strbuf;
void schema_generate(const struct config_schema *s, const struct schema_override *overrides,
                     size_t overrides_count, struct strbuf *out);
