/* SPDX-License-Identifier: MIT */
/* Durations, sizes, times and host:port, raw: what parses is printed, and parses the same. */

#include "core/base/problem.h"
#include "core/conf/units.h"
#include "tests/fuzz/fuzz.h"

static void check_duration(const char *text) {
    struct problem problem = PROBLEM_INIT;
    int64_t ns, again;
    char out[DURATION_TEXT_MAX];
    int e = duration_parse(text, &ns, &problem);
    assert(e == 0 || (e == -EINVAL && problem.text[0] != '\0'));
    if (e == 0) {
        assert(strlen(duration_format(ns, out)) < sizeof out);
        assert(duration_parse(out, &again, &problem) == 0);
        assert(again == ns);
    }
}

static void check_size(const char *text) {
    struct problem problem = PROBLEM_INIT;
    int64_t size, again;
    char out[SIZE_TEXT_MAX];
    int e = size_parse(text, &size, &problem);
    assert(e == 0 || (e == -EINVAL && problem.text[0] != '\0'));
    if (e == 0) {
        assert(strlen(size_format(size, out)) < sizeof out);
        assert(size_parse(out, &again, &problem) == 0);
        assert(again == size);
    }
}

static void check_time(const char *text) {
    walltime_t t, again;
    char out[RFC3339_TEXT_MAX];
    int e = rfc3339_parse(text, &t);
    assert(e == 0 || e == -EINVAL);
    if (e == 0) {
        assert(strlen(rfc3339_format(t, out)) < sizeof out);
        /* An offset can lead out of the years that can be written. */
        if (rfc3339_parse(out, &again) == 0)
            assert(again == t);
        else
            assert(t < -62135596800 || t > 253402300799);
    }
}

static void check_host_port(const char *text, bool host_may_be_empty) {
    struct problem problem = PROBLEM_INIT;
    struct host_port hp;
    int e = host_port_parse(text, host_may_be_empty, &hp, &problem);
    assert(e == 0 || (e == -EINVAL && problem.text[0] != '\0'));
    if (e == 0) {
        assert(hp.port > 0);
        assert(hp.host >= text && hp.host + hp.host_len <= text + strlen(text));
        if (!host_may_be_empty)
            assert(hp.host_len > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(bytes_of(data, size));
    check_duration(text);
    check_size(text);
    check_time(text);
    check_host_port(text, false);
    check_host_port(text, true);
    if (dns_label_is_valid(text))
        assert(strlen(text) >= 1 && strlen(text) <= 63);
    free(text);
    return 0;
}
