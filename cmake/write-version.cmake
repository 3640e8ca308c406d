# SPDX-License-Identifier: MIT
# Script of cmake/PeerupVersion.cmake: fills core/base/version.c.in and writes it if it changed.
# Released archives have no .git; they carry a file `.commit` with "<hash> <date>".
set(COMMIT unknown)
set(DATE unknown)
if(STAMP)
    if(GIT AND EXISTS ${SOURCE_DIR}/.git)
        execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} log -1 --format=%h\ %cs
            OUTPUT_VARIABLE line OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} diff --quiet HEAD
            RESULT_VARIABLE dirty ERROR_QUIET)
    elseif(EXISTS ${SOURCE_DIR}/.commit)
        file(STRINGS ${SOURCE_DIR}/.commit line LIMIT_COUNT 1)
        set(dirty 0)
    endif()
    if(line MATCHES "^([0-9a-f]+) ([0-9-]+)$")
        set(COMMIT ${CMAKE_MATCH_1})
        set(DATE ${CMAKE_MATCH_2})
        if(NOT dirty EQUAL 0)
            string(APPEND COMMIT "-dirty")
        endif()
    endif()
endif()
configure_file(${TEMPLATE} ${OUT} @ONLY)
