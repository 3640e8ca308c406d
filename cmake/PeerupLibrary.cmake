# SPDX-License-Identifier: MIT
# libpeerup, shared and static, its header and its pkg-config file.  Only what
# include/peerup/peerup.h marks PEERUP_API can be seen from outside, in both forms: the static one
# is a single object in which all else was made local, so that a program may hold another wolfSSL
# beside it.
get_target_property(ctl_type ctl TYPE)
if(ctl_type STREQUAL "INTERFACE_LIBRARY" OR NOT EXISTS ${CMAKE_SOURCE_DIR}/include/peerup/peerup.h)
    return()
endif()

set(peerup_built_archives libwolfssl.a:libngtcp2.a:liburing.a)
file(WRITE ${CMAKE_BINARY_DIR}/generated/empty.c "")
add_library(peerup_shared SHARED ${CMAKE_BINARY_DIR}/generated/empty.c)
target_link_libraries(peerup_shared PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,ctl>")
target_link_options(peerup_shared PRIVATE -Wl,--exclude-libs=${peerup_built_archives})
if(NOT PEERUP_SANITIZE)
    # A sanitizer's own functions are in the program that loads the library.
    target_link_options(peerup_shared PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(peerup_shared PROPERTIES OUTPUT_NAME peerup VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

if(NOT PEERUP_SANITIZE AND NOT PEERUP_COVERAGE)
    # A relocatable link of all archives; with LTO it also generates the code, so that the result
    # is an ordinary object for any compiler.
    set(relocatable ${CMAKE_BINARY_DIR}/generated/libpeerup.o)
    set(archives -Wl,--whole-archive $<TARGET_FILE:ctl> -Wl,--no-whole-archive -Wl,--start-group)
    foreach(module relay transport uring core)
        get_target_property(type ${module} TYPE)
        if(NOT type STREQUAL "INTERFACE_LIBRARY")
            list(APPEND archives $<TARGET_FILE:${module}>)
        endif()
    endforeach()
    list(APPEND archives $<TARGET_FILE:version> $<TARGET_FILE:wolfssl::wolfssl>
        $<TARGET_FILE:ngtcp2::ngtcp2> $<TARGET_FILE:liburing::liburing> -Wl,--end-group)
    set(lto_flags "")
    if(PEERUP_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        set(lto_flags -O2 -flto=auto -flinker-output=nolto-rel)
    endif()
    string(REPLACE " " ";" c_flags "${CMAKE_C_FLAGS}")
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/libpeerup.a
        COMMAND ${CMAKE_C_COMPILER} ${c_flags} -r -nostdlib ${lto_flags} -o ${relocatable}
            ${archives}
        COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=peerup_* --localize-hidden
            ${relocatable}
        COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_BINARY_DIR}/libpeerup.a
        COMMAND ${CMAKE_AR} rcs ${CMAKE_BINARY_DIR}/libpeerup.a ${relocatable}
        DEPENDS ctl relay transport uring core version
        COMMENT "Linking C static library libpeerup.a" VERBATIM)
    add_custom_target(peerup_static ALL DEPENDS ${CMAKE_BINARY_DIR}/libpeerup.a)
    install(FILES ${CMAKE_BINARY_DIR}/libpeerup.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

set(pc_requires_private "yaml-0.1, libcares, libnl-3.0")
if(TARGET PkgConfig::SYSTEMD)
    string(APPEND pc_requires_private ", libsystemd")
endif()
file(RELATIVE_PATH pc_prefix /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/peerup.pc.in ${CMAKE_BINARY_DIR}/peerup.pc @ONLY)

install(TARGETS peerup_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/include/peerup/peerup.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/peerup)
install(FILES ${CMAKE_BINARY_DIR}/peerup.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
