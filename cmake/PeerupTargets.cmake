# SPDX-License-Identifier: MIT
# The few words that the CMakeLists.txt of a folder is written in.  See cmake/README.md.

# peerup_module(NAME [SOURCES file...] [USES target...])
#
# One folder of the architecture as a static library.  Without sources it is an empty interface
# library, so that a folder may exist before its code does.  USES is public: a user of the module
# gets what the module uses.
function(peerup_module name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES")
    if(arg_SOURCES)
        add_library(${name} STATIC ${arg_SOURCES})
        target_link_libraries(${name} PUBLIC ${arg_USES} PRIVATE peerup_warnings)
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${arg_USES})
    endif()
endfunction()

# peerup_module_has(NAME MACRO target)
#
# An optional library that was found: links it, and defines MACRO to 1 for the module's sources.
function(peerup_module_has name macro target)
    get_target_property(type ${name} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
        target_link_libraries(${name} INTERFACE ${target})
    else()
        target_link_libraries(${name} PRIVATE ${target})
        target_compile_definitions(${name} PRIVATE ${macro}=1)
    endif()
endfunction()

# What every test runs with.  A leak leaves a Criterion test passing unless ASan aborts.
set(test_environment
    "ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:abort_on_error=1"
    "PEERUP_SOURCE_DIR=${CMAKE_SOURCE_DIR}"
    "PEERUP_BINARY_DIR=${CMAKE_BINARY_DIR}")
if(PEERUP_TEST_IO)
    list(APPEND test_environment "PEERUP_IO=${PEERUP_TEST_IO}")
endif()

# peerup_test(NAME LABELS label... SOURCES file... [LIBS target...] [TIMEOUT seconds])
#
# One Criterion program of all the sources, and one ctest test that runs it: a folder of tests, or
# a module with many.  One program links once, which is what counts with ASan.  A single test of it
# is `build/dev/tests/unit/core/unit.core --filter suite/name`.  What Criterion counted is left in
# <build>/reports/ for scripts/test.
function(peerup_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LIBS;LABELS")
    if(NOT CRITERION_FOUND OR NOT arg_SOURCES)
        return()
    endif()
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ${arg_LIBS} PkgConfig::CRITERION peerup_test_warnings)
    # Criterion finds its tests in a section of their own, which nothing refers to.
    target_link_options(${name} PRIVATE -Wl,--no-gc-sections)
    add_test(NAME ${name}
        COMMAND ${name} --tap=${CMAKE_BINARY_DIR}/reports/${name}.tap
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    # Criterion's own --timeout waits for ever (2.4.1), so a hanging test ends the whole program.
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "${test_environment}" FAIL_REGULAR_EXPRESSION "Tested: 0 ")
endfunction()

# peerup_command_test(NAME LABELS label... COMMAND command... [TIMEOUT seconds])
#
# A program, script or plain C test.  Exit status 77 is a skip, and the last line it printed is
# the reason.  A last line `N passed, N failed[, N skipped]` counts as that many tests in
# scripts/test; without one it is a single test.
function(peerup_command_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "COMMAND;LABELS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "${test_environment}" SKIP_RETURN_CODE 77)
endfunction()

# peerup_fuzz(NAME SOURCES file... [LIBS target...] [CORPUS folder])
#
# A target with LLVMFuzzerTestOneInput.  In the fuzz preset with clang it is a libFuzzer program,
# build/fuzz/tests/fuzz/fuzz-NAME.  In every other build a main walks the corpus, as the ctest test
# fuzz.NAME.  The corpus is tests/fuzz/corpus/NAME unless it says otherwise.
function(peerup_fuzz name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS" "SOURCES;LIBS")
    if(NOT arg_CORPUS)
        set(arg_CORPUS ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    endif()
    add_executable(fuzz-${name} ${arg_SOURCES})
    target_link_libraries(fuzz-${name} PRIVATE ${arg_LIBS} peerup_test_warnings)
    if(PEERUP_FUZZ AND CMAKE_C_COMPILER_ID STREQUAL "Clang")
        target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer)
        set(walk -runs=0 ${arg_CORPUS})
    else()
        target_sources(fuzz-${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/walk_corpus.c)
        set(walk ${arg_CORPUS})
    endif()
    peerup_command_test(fuzz.${name} LABELS fuzz COMMAND fuzz-${name} ${walk})
endfunction()
