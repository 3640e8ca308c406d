# SPDX-License-Identifier: MIT
# Targets `format` (rewrites) and `lint` (clang-format --dry-run, clang-tidy, cppcheck, tests/tidy).
add_custom_target(format
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/lint --format
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL VERBATIM)
add_custom_target(lint
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/lint --build ${CMAKE_BINARY_DIR}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL VERBATIM)
# The label tidy holds the check of the generated tables, which runs a program of ours.
if(TARGET docs-tables)
    add_dependencies(lint docs-tables)
endif()
# Target `dist`: the release archives, in dist/.
add_custom_target(dist COMMAND ${CMAKE_SOURCE_DIR}/scripts/dist
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} USES_TERMINAL VERBATIM)
