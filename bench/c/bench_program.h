/* What every C benchmark program needs: a clock, a CPU to stay on, sockets by address, and a stack of
 * buffers. One thread. */
#ifndef SMF_BENCH_PROGRAM_H
#define SMF_BENCH_PROGRAM_H

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t bench_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Ends the program with one line on standard error. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void bench_fail(const char *format,
                                                                              ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

/* Reads a number of an option; decimal or 0x. Ends the program when it is none or out of range. */
static inline long long bench_number(const char *option, const char *text, long long least,
                                     long long most)
{
    char *end = NULL;
    const long long value = strtoll(text, &end, 0);
    if (end == text || *end != 0 || value < least || value > most) {
        bench_fail("%s: '%s' is not a number from %lld to %lld", option, text, least, most);
    }
    return value;
}

static inline void bench_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        bench_fail("cannot run on CPU %d: %m", cpu);
    }
}

static inline void bench_nodelay(int fd)
{
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Resolves "HOST:PORT" with a numeric host; "[HOST]:PORT" for IPv6. Free with freeaddrinfo. */
static inline struct addrinfo *bench_resolve(const char *address)
{
    char host[64];
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    const char *start = address;
    if (length >= 2 && start[0] == '[' && start[length - 1] == ']') {
        start++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof(host)) {
        bench_fail("'%s' is not HOST:PORT", address);
    }
    memcpy(host, start, length);
    host[length] = 0;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int status = getaddrinfo(host, colon + 1, &hints, &found);
    if (status != 0) {
        bench_fail("'%s' is not a numeric HOST:PORT: %s", address, gai_strerror(status));
    }
    return found;
}

/* Equally large buffers, last in first out: the one that was used last is still in the cache. */
struct bench_buffers {
    uint8_t **free;
    uint32_t free_count;
    uint32_t free_capacity;
    size_t size_bytes; /* of each */
};

static inline uint8_t *bench_buffer_get(struct bench_buffers *buffers)
{
    if (buffers->free_count != 0) {
        return buffers->free[--buffers->free_count];
    }
    uint8_t *buffer = aligned_alloc(4096, (buffers->size_bytes + 4095) & ~(size_t)4095);
    if (buffer == NULL) {
        bench_fail("out of memory");
    }
    return buffer;
}

static inline void bench_buffer_put(struct bench_buffers *buffers, uint8_t *buffer)
{
    if (buffers->free_count == buffers->free_capacity) {
        buffers->free_capacity = buffers->free_capacity != 0 ? buffers->free_capacity * 2 : 64;
        buffers->free = realloc(buffers->free, buffers->free_capacity * sizeof(*buffers->free));
        if (buffers->free == NULL) {
            bench_fail("out of memory");
        }
    }
    buffers->free[buffers->free_count++] = buffer;
}

#endif
