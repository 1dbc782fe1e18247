/* LD_PRELOAD shim: counts what a chosen thread allocates and frees. `allocations_of` is set to its thread id. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);
extern void __libc_free(void*);

volatile long allocations_of = 0;
volatile long allocations = 0;

static void count(void) {
    if (allocations_of && syscall(SYS_gettid) == allocations_of) allocations++;
}
void* malloc(size_t size) { count(); return __libc_malloc(size); }
void* calloc(size_t n, size_t size) { count(); return __libc_calloc(n, size); }
void* realloc(void* p, size_t size) { count(); return __libc_realloc(p, size); }
void* memalign(size_t align, size_t size) { count(); return __libc_memalign(align, size); }
void* aligned_alloc(size_t align, size_t size) { count(); return __libc_memalign(align, size); }
int posix_memalign(void** out, size_t align, size_t size) {
    count();
    *out = __libc_memalign(align, size);
    return *out ? 0 : 12;
}
void free(void* p) { count(); __libc_free(p); }
