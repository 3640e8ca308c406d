# SPDX-License-Identifier: MIT
"""What the build refuses, as tables.  tidy.py reads them; change the rules here.

A glob's `*` stops at no slash: "uring/*" is everything below uring/.
"""

# ---- folders -----------------------------------------------------------------------------------

# The shipped program.  What is not listed (tests, bench, examples, docs …) is not product code.
PRODUCT = ["core", "uring", "transport", "relay", "dht", "ctl", "cli", "include"]

# Whose headers a folder may include, itself among them:
#   cli -> ctl -> {relay, dht} -> transport -> uring -> core
# and cli only ctl and core.  "include" stands for the public header, include/peerup/.
MAY_INCLUDE = {
    "core": ["core"],
    "uring": ["uring", "core"],
    "transport": ["transport", "uring", "core"],
    "relay": ["relay", "transport", "uring", "core"],
    "dht": ["dht", "transport", "uring", "core"],
    "ctl": ["ctl", "relay", "dht", "transport", "uring", "core", "include"],
    "cli": ["cli", "ctl", "core"],
    "include": ["include"],
    "examples": ["examples", "include"],
    "bench": ["bench", "include", "ctl", "relay", "dht", "transport", "uring", "core"],
}  # fmt: skip
MAY_INCLUDE_ANYTHING = ["tests"]

# What other projects' builds read from us follows their form, not ours.
FOREIGN_FORM = ["third_party/*"]

# Headers that the build writes, so that no file of the tree answers to the name.
GENERATED_HEADERS = []

# ---- mutable globals ---------------------------------------------------------------------------

# (file, variable): why it may exist.  A row without its variable is refused too.
MUTABLE_GLOBALS = {
    ("core/base/mem.c", "system"): "handed out as struct mem *, which is not const; never written",
    ("core/crypto/wolf_env.c", "current"): "wolfSSL asks for time and randomness with no argument",
}

# ---- functions with owners ---------------------------------------------------------------------

# Product code calls these only in the owners' files.  "instead" is what the message offers.
OWNED_CALLS = [
    {
        "what": "memory",
        "names": """malloc calloc realloc reallocarray free aligned_alloc posix_memalign memalign
                    valloc strdup strndup asprintf vasprintf getline getdelim open_memstream
                    brk sbrk""",
        "owners": ["core/base/mem.c"],
        "instead": "a struct mem * of the caller's (core/base/mem.h)",
    },
    {
        "what": "pages",
        "names": "mmap mmap64 munmap mremap madvise mlock mlockall",
        "owners": ["core/base/buf.c", "uring/*.c"],
        "instead": "the buffer pool (core/base/buf.h)",
    },
    {
        "what": "time",
        "names": """time clock clock_gettime gettimeofday timespec_get ftime
                    alarm setitimer getitimer timer_create
                    timerfd_create timerfd_settime""",
        "owners": ["uring/*.c", "ctl/sysenv.c"],
        "instead": "the nsec_t passed in, or reactor_now() in a driver",
    },
    {
        "what": "pauses",
        "names": "nanosleep clock_nanosleep sleep usleep",
        # config_file.c: between two tries for a lock that flock(2) waits for without bound
        "owners": ["uring/*.c", "ctl/sysenv.c", "core/conf/config_file.c"],
        "instead": "a timer of the reactor (uring/)",
    },
    {
        "what": "randomness",
        "names": """rand rand_r srand random srandom random_r drand48 erand48 lrand48 mrand48
                    getrandom getentropy arc4random arc4random_uniform arc4random_buf""",
        "owners": ["uring/*.c", "ctl/sysenv.c"],
        "instead": "the random source passed in, or reactor_random() in a driver",
    },
    {
        "what": "sockets",
        "names": """socket socketpair bind listen accept accept4 connect shutdown
                    send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg
                    setsockopt getsockopt getsockname getpeername getaddrinfo gethostbyname
                    poll ppoll select pselect epoll_create epoll_create1 epoll_ctl epoll_wait
                    epoll_pwait epoll_pwait2 eventfd signalfd splice tee vmsplice sendfile""",
        "owners": ["uring/*.c"],
        "instead": "an operation of the reactor (uring/)",
    },
    {
        "what": "threads and signals",
        "names": "pthread_create thrd_create sigaction signal sigprocmask pthread_sigmask",
        "owners": ["uring/*.c"],
        "instead": "offload, a mailbox or the reactor's signal handle (uring/)",
    },
]

# These also count when they are handed on without being called.
OWNED_REFERENCES = {"malloc", "calloc", "realloc", "strdup", "clock_gettime", "getrandom"}

# Refused in every C file, tests and bench too.
BANNED_CALLS = {
    "strcpy": "memcpy with a checked length, or strbuf",
    "stpcpy": "memcpy with a checked length, or strbuf",
    "strcat": "strbuf",
    "strncat": "strbuf",
    "sprintf": "snprintf or strbuf",
    "vsprintf": "vsnprintf or strbuf",
    "strtok": "a cursor over the text",
    "atoi": "strtol with all its checks, or the parser of core/base",
    "atol": "strtol with all its checks, or the parser of core/base",
    "atoll": "strtoll with all its checks, or the parser of core/base",
    "atof": "strtod with all its checks",
    "alloca": "a bounded array",
    "__builtin_alloca": "a bounded array",
    "gets": "fgets or read",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "system": "posix_spawn with an argument vector",
    "popen": "posix_spawn with an argument vector",
}

# ---- headers of other projects -----------------------------------------------------------------

# The C library, POSIX and the kernel: free to include.
SYSTEM_HEADERS = """
    aio.h alloca.h argp.h arpa/inet.h asm/ assert.h byteswap.h cpuid.h ctype.h dirent.h dlfcn.h
    elf.h endian.h err.h errno.h error.h execinfo.h fcntl.h features.h fenv.h float.h fnmatch.h
    getopt.h glob.h grp.h ifaddrs.h immintrin.h inttypes.h langinfo.h libgen.h limits.h link.h
    linux/ locale.h malloc.h math.h memory.h mqueue.h net/ netdb.h netinet/ poll.h pthread.h pty.h
    pwd.h regex.h resolv.h sanitizer/ sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdio_ext.h stdlib.h stdnoreturn.h
    string.h strings.h sys/ syscall.h syslog.h termios.h threads.h time.h uchar.h ucontext.h
    unistd.h utime.h wchar.h wctype.h wordexp.h valgrind/
""".split()

# All others: prefix of the header's name -> the files that may include it.  Outside product code
# (tests, bench) any of these may be included; Criterion is for tests alone.
THIRD_PARTY_HEADERS = {
    "wolfssl/": ["core/crypto/*", "transport/proto/tls*", "transport/proto/quic_*",
                 "uring/wolf*", "third_party/*", "cmake/*"],
    "ngtcp2/": ["transport/proto/quic_*"],
    "shared.h": ["transport/proto/quic_crypto.c"],  # ngtcp2's, for crypto backends
    "liburing.h": ["uring/backend_uring*", "uring/probe*"],
    "liburing/": ["uring/backend_uring*", "uring/probe*"],
    "yaml.h": ["core/conf/yaml.*"],
    "jansson.h": ["ctl/*", "cli/out*", "cli/client*"],
    "microhttpd.h": ["ctl/http*"],
    "systemd/": ["ctl/systemd.c"],
    "netlink/": ["uring/netlink.c"],
    "ares.h": ["uring/resolver*"],
    "qrencode.h": ["cli/qr*"],
    "wslay/": ["transport/ws_*"],
    "criterion/": ["tests/*"],
}  # fmt: skip
TESTS_ONLY_HEADERS = ["criterion/"]

# ---- text of any tracked file ------------------------------------------------------------------

# Known answers and fuzz inputs: not our text, of any size and any bytes.
DATA = ["tests/vectors/*", "tests/fuzz/corpus/*"]
# These files spell out what they look for.
SELF = ["tests/tidy/*"]

WORKING_NOTES = r"\b(?:FIXME|TODO|XXX)\b"

FILE_BYTES_MAX = 1 << 20
BINARY_ALLOWED = ["docs/*.png", "docs/*.jpg", "docs/*.gif", "docs/*.webp"]
STRAY_FILES = [
    "*.orig", "*.rej", "*.bak", "*.tmp", "*~", "*.sw[opn]", "*/.#*", "*#", "*.pyc", "*.pyo",
    "*.o", "*.a", "*.so", "*.so.*", "*.gcda", "*.gcno", "*.profraw", "*.perf", "perf.data*",
    "*/perf.data*", "a.out", "*/a.out", "core.[0-9]*", "*/core.[0-9]*", "vgcore.*", "*.log",
    "*.DS_Store", ".idea/*", ".vscode/*", "*.code-workspace", "nohup.out", "crash-*", "*/crash-*",
    "leak-*", "*/leak-*", "oom-*", "timeout-*",
]  # fmt: skip

# Words that tie a file to the machine or the tools it was made with.  (rule, pattern, message)
FOREIGN_NAMES = [
    (
        r"(?<![\w.:/~$})>\]*-])/(?:home/(?!(?:user|you|me|alice|bob|carol|dave)\b)[\w.-]+|root|"
        r"Users|work|workspace|mnt)/[\w.-]",
        "a path of one machine; use a relative path, or a variable",
    ),
    (
        r"(?i)\b(?:https?|sparse\+https?|git|ssh)://(?:[\w.-]+@)?"
        r"(?!(?:registry\.npmjs\.org|(?:static\.|index\.)?crates\.io|proxy\.golang\.org|"
        r"(?:files\.)?pypi\.org)\b)"
        r"[\w-]*(?:registry|artifactory|nexus|goproxy|pypi|crates|verdaccio|devpi|mirror)"
        r"[\w-]*\.[\w.-]+",
        "a package host of one network; let the client's own settings choose it",
    ),
    (
        r"(?i)\b(?:https?|git)://[\w.-]+\.(?:internal|corp|lan|intranet|svc)\b",
        "a host of one network",
    ),
    (
        r"(?i)\bco-authored-by:|\b(?:generated|written|made|created|assisted) (?:by|with) "
        r"(?:an? )?(?:ai|llm|agent|assistant|language model)\b|"
        r"\b(?:ai|llm)[- ](?:generated|assisted|written|agent|assistant)\b|"
        r"\blanguage model\b|\b(?:sub-?agent|copilot)s?\b",
        "the tools that wrote a file are nobody's concern",
    ),
]  # fmt: skip

# ---- sizes: reported, never refused ------------------------------------------------------------

FUNCTION_LINES_MAX = 70
FUNCTION_BRANCHES_MAX = 25
FILE_LINES_MAX = 1000

# ---- docs in step ------------------------------------------------------------------------------

# Each kind of thing that users can name stands in one table of the source and in one table of the
# documentation, and the two hold the same names.
#
# In the source, a table is one of
#   an X-macro     #define ERR_TABLE(X) \
#                      X(ERR_LIMIT, 4097, 507, 1, "…") \
#                      X(…)
#   an array       static const struct command commands[] = {
#                      { "whoami", … }, { .name = "init", … },
#                  };
# `macro` and `struct` are patterns of the macro's name and of the element's type.  A row's name is
# its `name_args` (positions; strings lose their quotes, several are joined by a space) or, in an
# array with designators, the fields of `name_fields`.  Rows may also be calls of a helper macro,
# `ROW("whoami", …)`; the positions are then the call's.  `name_prefix` is put before a name that
# lacks it.
#
# In the documentation, a table is introduced by a comment of its own line, in any .md below docs/
# or in README.md
#   <!-- table: commands -->
# and goes on to the first blank line after its rows.  A row's name is the first `code` of its
# first cell:
#   | `whoami` | prints … |
# There may be several such tables of one kind; together they are the reference.
#
# While a side does not exist, the check says "not yet present" and passes.
DOCS_IN_STEP = [
    {
        "kind": "errors",
        "name_prefix": "ERR_",
        "source": ["core/base/err.h"],
        "macro": r"\w*ERR\w*",
        "struct": r"err\w*",
        "name_args": [0],
        "name_fields": ["name"],
    },
    {
        "kind": "options",
        "source": ["core/conf/*.c", "core/conf/*.h"],
        "macro": r"\w*OPTIONS?\w*",
        "struct": r"config_option",
        "name_args": [0],
        "name_fields": ["key"],
    },
    {
        "kind": "commands",
        "source": ["cli/main.c", "cli/commands.*", "cli/command*.c"],
        "macro": r"\w*COMMANDS?\w*",
        "struct": r"\w*command\w*",
        "name_args": [0],
        "name_fields": ["name"],
    },
    {
        "kind": "metrics",
        "source": ["uring/*.c", "transport/*.c", "relay/*.c", "dht/*.c", "ctl/*.c"],
        "macro": r"\w*METRICS?\w*",
        "struct": r"\w*metric\w*",
        "name_args": [0],
        "name_fields": ["name"],
    },
    {
        "kind": "routes",
        "source": ["ctl/api_table.*", "ctl/api_server.*"],
        "macro": r"\w*ROUTES?\w*",
        "struct": r"\w*route\w*",
        "name_args": [0, 1],
        "name_fields": ["method", "path"],
    },
]
