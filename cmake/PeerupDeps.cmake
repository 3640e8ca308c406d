# SPDX-License-Identifier: MIT
# The three libraries that are built from source, as imported targets:
#
#   wolfssl::wolfssl   TLS 1.3 and cryptography      ngtcp2::ngtcp2     QUIC
#   liburing::liburing io_uring                      ngtcp2::private    ngtcp2's internal headers,
#                                                    for the crypto backend alone (shared.h)
#
# and the distribution's: PkgConfig::YAML, PkgConfig::CARES, PkgConfig::NL, PkgConfig::MICROHTTPD,
# wslay::wslay, and PkgConfig::SYSTEMD where it is installed.
#
# Sources and results live in a cache outside the build tree, so that a clean build and a second
# clone repeat nothing:
#
#   <cache>/sources-<hash of the lock file>/          what scripts/fetch-deps laid there
#   <cache>/<key>/                                    libraries and headers of one flavour
#
# The key is a hash of all that the result depends on: sources, our settings and build files,
# compiler, flags.  The cache is ${PEERUP_CACHE}, else ${XDG_CACHE_HOME}/peerup/deps, else
# ~/.cache/peerup/deps.  Old keys are never removed; delete the folder when it grows.
#
# With PEERUP_DEPS=<folder or archive> in the environment (or as a CMake variable) the sources are
# taken from there and nothing is fetched.

set(PEERUP_DEPS "$ENV{PEERUP_DEPS}" CACHE STRING "Folder or archive with the libraries' sources")
if(DEFINED ENV{PEERUP_CACHE})
    set(default_cache $ENV{PEERUP_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(default_cache $ENV{XDG_CACHE_HOME}/peerup/deps)
elseif(DEFINED ENV{HOME})
    set(default_cache $ENV{HOME}/.cache/peerup/deps)
else()
    set(default_cache ${CMAKE_BINARY_DIR}/deps)
endif()
set(PEERUP_CACHE ${default_cache} CACHE PATH "Where built libraries are kept between builds")

# Everything under third_party/ decides what is built, so a change there configures again.
file(GLOB_RECURSE deps_inputs ${CMAKE_SOURCE_DIR}/third_party/*)
set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${deps_inputs})

file(SHA256 ${CMAKE_SOURCE_DIR}/third_party/sources/Cargo.lock lock_hash)
# The number rises when scripts/fetch-deps takes other files out of the crates than before.
string(SHA256 sources_key "1 ${lock_hash}")
if(PEERUP_DEPS)
    # Given sources have no lock file that vouches for them, so their content is the key.
    get_filename_component(deps_given ${PEERUP_DEPS} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
    execute_process(
        COMMAND sh -c "find \"$1\" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
            sh ${deps_given}
        OUTPUT_VARIABLE given_hash COMMAND_ERROR_IS_FATAL ANY)
    string(SHA256 sources_key "${sources_key}${given_hash}")
endif()
string(SUBSTRING ${sources_key} 0 16 sources_key)
set(deps_sources ${PEERUP_CACHE}/sources-${sources_key})

# ngtcp2's assertions catch misuse by our code: they stay in all but optimised builds.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT PEERUP_SANITIZE)
    set(deps_asserts OFF)
else()
    set(deps_asserts ON)
endif()
set(deps_args
    -DCMAKE_BUILD_TYPE=None
    -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=${PEERUP_LTO}
    -DPEERUP_SANITIZE=${PEERUP_SANITIZE}
    -DPEERUP_ASSERTS=${deps_asserts}
    "-DCMAKE_C_FLAGS=${CMAKE_C_FLAGS}")
if(CMAKE_TOOLCHAIN_FILE)
    get_filename_component(toolchain ${CMAKE_TOOLCHAIN_FILE} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
    list(APPEND deps_args -DCMAKE_TOOLCHAIN_FILE=${toolchain})
else()
    list(APPEND deps_args -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER})
endif()
execute_process(COMMAND ${CMAKE_C_COMPILER} --version OUTPUT_VARIABLE compiler_version
    COMMAND_ERROR_IS_FATAL ANY)

set(deps_key "${deps_args}|${compiler_version}|${CMAKE_SYSTEM_PROCESSOR}|${sources_key}")
foreach(input IN LISTS deps_inputs)
    file(SHA256 ${input} hash)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${input})
    string(APPEND deps_key "|${name} ${hash}")
endforeach()
# A checkout's own path is no part of what is built.
string(REPLACE ${CMAKE_SOURCE_DIR} "" deps_key "${deps_key}")
string(SHA256 deps_key "${deps_key}")
string(SUBSTRING ${deps_key} 0 16 deps_key)
set(deps_root ${PEERUP_CACHE}/${deps_key})

# The lock lets several checkouts configure at once: the first builds, the others wait and use it.
file(MAKE_DIRECTORY ${PEERUP_CACHE})
file(LOCK ${deps_root}.lock GUARD FILE TIMEOUT 1800)
if(NOT EXISTS ${deps_root}/complete)
    execute_process(
        COMMAND ${CMAKE_COMMAND} -E env PEERUP_DEPS=${deps_given}
            ${CMAKE_SOURCE_DIR}/scripts/fetch-deps ${deps_sources}
        COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS "Building wolfSSL, ngtcp2 and liburing (once per compiler and flavour, "
        "about 40 seconds of CPU time) in ${deps_root}")
    execute_process(
        COMMAND ${CMAKE_COMMAND} -S ${CMAKE_SOURCE_DIR}/third_party -B ${deps_root}.build
            -G ${CMAKE_GENERATOR} ${deps_args} -DPEERUP_SOURCES=${deps_sources}
            -DCMAKE_INSTALL_PREFIX=${deps_root} --fresh
        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    execute_process(
        COMMAND ${CMAKE_COMMAND} --build ${deps_root}.build --parallel
        COMMAND_ERROR_IS_FATAL ANY)
    execute_process(
        COMMAND ${CMAKE_COMMAND} --install ${deps_root}.build
        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE_RECURSE ${deps_root}.build)
    file(TOUCH ${deps_root}/complete)
endif()
file(LOCK ${deps_root}.lock RELEASE)
message(STATUS "wolfSSL, ngtcp2, liburing: ${deps_root}")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(YAML IMPORTED_TARGET yaml-0.1)
if(NOT YAML_FOUND)
    message(FATAL_ERROR "libyaml is missing: run scripts/setup (scripts/setup cross for another "
        "architecture), or install libyaml-dev")
endif()
pkg_check_modules(CARES IMPORTED_TARGET libcares)
if(NOT CARES_FOUND)
    message(FATAL_ERROR "c-ares is missing: run scripts/setup (scripts/setup cross for another "
        "architecture), or install libc-ares-dev")
endif()
pkg_check_modules(NL IMPORTED_TARGET libnl-3.0)
if(NOT NL_FOUND)
    message(FATAL_ERROR "libnl is missing: run scripts/setup (scripts/setup cross for another "
        "architecture), or install libnl-3-dev")
endif()
# wslay's package has neither a .pc file nor a static library; and its headers are installed for one
# architecture only, so that another has the library under its full name.
find_path(WSLAY_INCLUDE_DIR wslay/wslay.h)
find_library(WSLAY_LIBRARY NAMES wslay libwslay.so.1)
if(NOT WSLAY_INCLUDE_DIR OR NOT WSLAY_LIBRARY)
    message(FATAL_ERROR "wslay is missing: run scripts/setup (scripts/setup cross for another "
        "architecture), or install libwslay-dev")
endif()
add_library(wslay::wslay UNKNOWN IMPORTED)
set_target_properties(wslay::wslay PROPERTIES
    IMPORTED_LOCATION ${WSLAY_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${WSLAY_INCLUDE_DIR})
pkg_check_modules(MICROHTTPD IMPORTED_TARGET libmicrohttpd)
if(NOT MICROHTTPD_FOUND)
    message(FATAL_ERROR "libmicrohttpd is missing: run scripts/setup (scripts/setup cross for "
        "another architecture), or install libmicrohttpd-dev")
endif()
pkg_check_modules(SYSTEMD QUIET IMPORTED_TARGET libsystemd)

function(import_library target file)
    add_library(${target} STATIC IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES
        IMPORTED_LOCATION ${deps_root}/lib/${file}
        INTERFACE_INCLUDE_DIRECTORIES "${deps_root}/include;${ARGN}")
endfunction()

import_library(wolfssl::wolfssl libwolfssl.a ${deps_root}/include/wolfssl_settings)
target_compile_definitions(wolfssl::wolfssl INTERFACE WOLFSSL_USER_SETTINGS)
target_link_libraries(wolfssl::wolfssl INTERFACE Threads::Threads m)
import_library(ngtcp2::ngtcp2 libngtcp2.a)
target_compile_definitions(ngtcp2::ngtcp2 INTERFACE NGTCP2_STATICLIB)
import_library(liburing::liburing liburing.a)

add_library(ngtcp2_private INTERFACE)
target_include_directories(ngtcp2_private SYSTEM INTERFACE ${deps_root}/include/ngtcp2_private)
target_link_libraries(ngtcp2_private INTERFACE ngtcp2::ngtcp2)
add_library(ngtcp2::private ALIAS ngtcp2_private)
