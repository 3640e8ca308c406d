/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "core/base/version.h"

int main(void) {
    printf("peerup %s (%s) built %s\n%s\n", version_release(), version_commit(), version_date(),
           version_toolchain());
    return 0;
}
