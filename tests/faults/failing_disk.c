/* A disk that fails: preloaded, it lets the FAULT_AT-th write below FAULT_PATH, and all after it,
   fail with the error FAULT_ERRNO. Half of the bytes of a write that fails are written.
   For each write a byte is appended to the file FAULT_COUNT. The environment is read each time,
   so that a child can be given a fault of its own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int seen = 0;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) {
    const char *root = getenv("FAULT_PATH");
    return root && *root && strncmp(path, root, strlen(root)) == 0;
}

/* Whether the write to this path fails. */
static int fails(const char *path) {
    const char *at = getenv("FAULT_AT"), *count = getenv("FAULT_COUNT");
    if (!at || !below(path)) return 0;
    int now = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (count) {
        long file = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (file >= 0) {
            syscall(SYS_write, file, ".", 1);
            syscall(SYS_close, file);
        }
    }
    if (now < atoi(at)) return 0;
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
}

static int fails_fd(int file) {
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

static int fails_at(int folder, const char *path) {
    char whole[PATH_MAX], here[PATH_MAX];
    if (*path == '/') return fails(path);
    if (folder != AT_FDCWD || !getcwd(here, sizeof here)) return 0;
    if (snprintf(whole, sizeof whole, "%s/%s", here, path) >= (int)sizeof whole) return 0;
    return fails(whole);
}

ssize_t write(int file, const void *bytes, size_t count) {
    if (!fails_fd(file)) return REAL(write)(file, bytes, count);
    int error = errno;
    REAL(write)(file, bytes, count / 2);
    errno = error;
    return -1;
}

#define PWRITE(name)                                                            \
    ssize_t name(int file, const void *bytes, size_t count, off_t offset) {     \
        if (!fails_fd(file)) return REAL(name)(file, bytes, count, offset);     \
        int error = errno;                                                      \
        REAL(name)(file, bytes, count / 2, offset);                             \
        errno = error;                                                          \
        return -1;                                                              \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_fd(file) ? -1 : REAL(writev)(file, parts, count);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    return fails_fd(file) ? -1 : REAL(pwritev)(file, parts, count, offset);
}

ssize_t copy_file_range(int from, off_t *at, int to, off_t *there, size_t count, unsigned flags) {
    return fails_fd(to) ? -1 : REAL(copy_file_range)(from, at, to, there, count, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t count) {
    return fails_fd(to) ? -1 : REAL(sendfile)(to, from, at, count);
}

ssize_t sendfile64(int to, int from, off_t *at, size_t count) {
    return fails_fd(to) ? -1 : REAL(sendfile64)(to, from, at, count);
}

#define ON_FILE(name) \
    int name(int file) { return fails_fd(file) ? -1 : REAL(name)(file); }
ON_FILE(fsync)
ON_FILE(fdatasync)

#define TRUNCATE(name) \
    int name(int file, off_t size) { return fails_fd(file) ? -1 : REAL(name)(file, size); }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int fallocate(int file, int mode, off_t offset, off_t count) {
    return fails_fd(file) ? -1 : REAL(fallocate)(file, mode, offset, count);
}

int posix_fallocate(int file, off_t offset, off_t count) {
    return fails_fd(file) ? errno : REAL(posix_fallocate)(file, offset, count);
}

#define MODE(flags, last, mode)                              \
    mode_t mode = 0;                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                   \
        va_list more;                                        \
        va_start(more, last);                                \
        mode = va_arg(more, mode_t);                         \
        va_end(more);                                        \
    }

/* A new entry needs room in its folder. */
#define OPEN(name)                                                                     \
    int name(const char *path, int flags, ...) {                                       \
        MODE(flags, flags, mode)                                                       \
        if ((flags & O_CREAT) && access(path, F_OK) && fails_at(AT_FDCWD, path)) return -1; \
        return REAL(name)(path, flags, mode);                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                   \
    int name(int folder, const char *path, int flags, ...) {                           \
        MODE(flags, flags, mode)                                                       \
        if ((flags & O_CREAT) && faccessat(folder, path, F_OK, 0) &&                   \
            fails_at(folder, path))                                                    \
            return -1;                                                                 \
        return REAL(name)(folder, path, flags, mode);                                  \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
    return fails_at(AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}

int link(const char *from, const char *to) {
    return fails_at(AT_FDCWD, to) ? -1 : REAL(link)(from, to);
}
