/* SPDX-License-Identifier: MIT */
#include "bench/emulator/spec.h"

#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit time_units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {0}};
static const struct unit rate_units[] = {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {0}};
static const struct unit size_units[] = {{"b", 1}, {"kb", 1e3}, {"mb", 1e6}, {0}};
static const struct unit share_units[] = {{"%", PER_MILLION / 100}, {0}};
static const struct unit no_units[] = {{"", 1}, {0}};

enum field { DELAY, JITTER, REORDER_BY, RATE, QUEUE, LOSS, REORDER, DUPLICATE, SEED };

static const struct {
    const char *name;
    const struct unit *units;
    double max; /* in the smallest unit */
} fields[] = {
    [DELAY] = {"delay", time_units, 60e9},
    [JITTER] = {"jitter", time_units, 60e9},
    [REORDER_BY] = {"reorder-by", time_units, 60e9},
    [RATE] = {"rate", rate_units, 100e9},
    [QUEUE] = {"queue", size_units, 1e9},
    [LOSS] = {"loss", share_units, PER_MILLION},
    [REORDER] = {"reorder", share_units, PER_MILLION},
    [DUPLICATE] = {"duplicate", share_units, PER_MILLION},
    [SEED] = {"seed", no_units, 1e15},
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static bool parse_value(const char *text, const struct unit *units, double max, double *ret) {
    char *end;
    double value = strtod(text, &end);
    if (end == text)
        return false;
    for (; units->name; units++) {
        if (strcmp(end, units->name) != 0)
            continue;
        *ret = value * units->factor;
        return *ret >= 0 && *ret <= max;
    }
    return false;
}

static bool parse_part(const char *part, double values[FIELDS]) {
    const char *equals = strchr(part, '=');
    for (size_t i = 0; equals && i < FIELDS; i++) {
        size_t length = strlen(fields[i].name);
        if ((size_t)(equals - part) == length && memcmp(part, fields[i].name, length) == 0)
            return parse_value(equals + 1, fields[i].units, fields[i].max, &values[i]);
    }
    return false;
}

const char *spec_parse(char *text, struct lane_config *ret_cfg) {
    double values[FIELDS] = {[QUEUE] = -1, [SEED] = 1};
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest))
        if (!parse_part(part, values))
            return part;
    if (values[QUEUE] < 0) {
        values[QUEUE] = values[RATE] / 8 * values[DELAY] * 2 / 1e9;
        if (values[QUEUE] < SPEC_QUEUE_BYTES_MIN)
            values[QUEUE] = SPEC_QUEUE_BYTES_MIN;
    }
    *ret_cfg = (struct lane_config){
        .delay = (nsec_t)values[DELAY],
        .jitter = (nsec_t)values[JITTER],
        .reorder_by = (nsec_t)values[REORDER_BY],
        .rate = (uint64_t)values[RATE],
        .queue_bytes = (uint64_t)values[QUEUE],
        .loss = (uint32_t)values[LOSS],
        .reorder = (uint32_t)values[REORDER],
        .duplicate = (uint32_t)values[DUPLICATE],
        .seed = (uint64_t)values[SEED],
    };
    return NULL;
}
