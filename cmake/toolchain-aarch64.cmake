# SPDX-License-Identifier: MIT
# aarch64 with Debian's cross compiler.  `scripts/setup cross` installs it, and the libraries of that
# architecture.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig)
find_program(qemu_aarch64 qemu-aarch64)
if(qemu_aarch64)
    # The root where arm64 packages are installed has the loader; else the compiler's own copy.
    if(EXISTS /lib/ld-linux-aarch64.so.1)
        set(CMAKE_CROSSCOMPILING_EMULATOR ${qemu_aarch64} -L /)
    else()
        set(CMAKE_CROSSCOMPILING_EMULATOR ${qemu_aarch64} -L /usr/aarch64-linux-gnu)
    endif()
endif()
