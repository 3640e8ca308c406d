/* SPDX-License-Identifier: MIT */
#pragma once

/* Questions to a person, answered by lines of standard input. */

enum { PROMPT_LINE_MAX = 4096 };

/* Prints the question and reads one line of at most PROMPT_LINE_MAX bytes, without the blanks
 * around it.  0, or the exit status after an error was printed: input ended, or no LF came. */
int prompt_line(const char *question, char *line);
