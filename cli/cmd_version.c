/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/version.h"

int cmd_version(struct cli *cli) {
    (void)cli;
    out_line(OUT_PLAIN, "peerup %s (%s) built %s", version_release(), version_commit(),
             version_date());
    out_line(OUT_PLAIN, "%s", version_toolchain());
    out_line(OUT_PLAIN,
             "The source is under the MIT licence.  This program links wolfSSL and is as a "
             "whole under\nGPLv3; see NOTICE.");
    return 0;
}
