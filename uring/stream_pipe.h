/* SPDX-License-Identifier: MIT */
#pragma once

/* What bytes lie in on their way from one socket to another, outside this process's memory. */

enum { STREAM_PIPE_BYTES = 256 << 10 }; /* figures: docs/adr/0013-spliced-relay-path.md */

struct stream_pipe {
    int in; /* the backend's handles */
    int out;
};
