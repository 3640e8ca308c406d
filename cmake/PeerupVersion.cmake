# SPDX-License-Identifier: MIT
# The library `version`: core/base/version.h answered from one generated file.  It is a library of
# its own, written anew only when its text changes, so a commit rebuilds one small file and links
# the programs, and nothing at all where PEERUP_STAMP is off.
find_package(Git QUIET)
set(stamp_c ${CMAKE_BINARY_DIR}/generated/version.c)
set(stamp_command ${CMAKE_COMMAND} -DGIT=${GIT_EXECUTABLE} -DSTAMP=${PEERUP_STAMP}
    -DVERSION=${PROJECT_VERSION} -DSOURCE_DIR=${CMAKE_SOURCE_DIR}
    -DTEMPLATE=${CMAKE_SOURCE_DIR}/core/base/version.c.in -DOUT=${stamp_c}
    "-DTOOLCHAIN=${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} linux/${CMAKE_SYSTEM_PROCESSOR}"
    -P ${CMAKE_CURRENT_LIST_DIR}/write-version.cmake)
execute_process(COMMAND ${stamp_command} COMMAND_ERROR_IS_FATAL ANY)
add_custom_target(version_stamp COMMAND ${stamp_command} BYPRODUCTS ${stamp_c}
    COMMENT "Looking at the version stamp" VERBATIM)
add_library(version STATIC ${stamp_c})
add_dependencies(version version_stamp)
target_link_libraries(version PRIVATE peerup_warnings)
