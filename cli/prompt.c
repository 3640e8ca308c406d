/* SPDX-License-Identifier: MIT */
#include "cli/prompt.h"

#include <stdio.h>
#include <string.h>

#include "cli/out.h"

int prompt_line(const char *question, char *line) {
    out_text(OUT_PLAIN, "%s", question);
    line[0] = '\0';
    if (fgets(line, PROMPT_LINE_MAX, stdin) == NULL || strchr(line, '\n') == NULL)
        return out_error("failed to read input: %s",
                         strlen(line) == PROMPT_LINE_MAX - 1 ? "the line is too long" : "EOF");
    size_t start = strspn(line, " \t"), len = strlen(line + start);
    memmove(line, line + start, len + 1);
    while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
        line[--len] = '\0';
    return 0;
}
