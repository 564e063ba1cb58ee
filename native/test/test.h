/* A small test harness: CHECK macros, and a main that runs a list of named tests.
 *
 *     static void adds(void) { CHECK_EQ(1 + 1, 2); }
 *
 *     static const struct test tests[] = {TEST(adds)};
 *
 *     int main(int argc, char **argv) { return test_main(argc, argv, tests, TEST_COUNT(tests)); }
 *
 * Arguments of every test program: --seed N (randomised tests), and names (only tests whose name
 * contains one of them are run). A CHECK that fails says where and with which values and ends the
 * program with status 1; it may be used in any thread. */
#ifndef SMF_TEST_H
#define SMF_TEST_H

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#define TEST_FEATURE(feature) __has_feature(feature)
#else
#define TEST_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TEST_FEATURE(address_sanitizer)
#define TEST_WITH_ASAN 1
#else
#define TEST_WITH_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || TEST_FEATURE(thread_sanitizer)
#define TEST_WITH_TSAN 1
#else
#define TEST_WITH_TSAN 0
#endif

#define TEST_ALL_SKIPPED 77 /* what a program returns then; ctest counts it as skipped */

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }
#define TEST_COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct {
    const char *name; /* of the test that runs */
    int passed, skipped;
    int skips; /* the test that runs could not */
    uint64_t seed;
} test_state;

/* Ends the program: one failed test is enough, the rest may depend on what it left behind. */
__attribute__((noreturn, format(printf, 3, 4))) static inline void
test_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    printf("FAIL %s (seed %" PRIu64 ")\n%d passed, 1 failed\n", test_state.name, test_state.seed,
           test_state.passed);
    fflush(stdout);
    _exit(1);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            test_fail(__FILE__, __LINE__, "CHECK(%s)", #condition);                                \
    } while (0)

/* Integers. Compared as signed 64-bit numbers, shown in decimal and hex. */
#define TEST_COMPARE(left, operator, right)                                                        \
    do {                                                                                           \
        int64_t left_value = (int64_t)(left), right_value = (int64_t)(right);                      \
        if (!(left_value operator right_value))                                                    \
            test_fail(__FILE__, __LINE__,                                                          \
                      "CHECK(%s %s %s): left %" PRId64 " (0x%" PRIx64 "), right %" PRId64          \
                      " (0x%" PRIx64 ")",                                                          \
                      #left, #operator, #right, left_value, (uint64_t)left_value, right_value,     \
                      (uint64_t)right_value);                                                      \
    } while (0)

#define CHECK_EQ(left, right) TEST_COMPARE(left, ==, right)
#define CHECK_NE(left, right) TEST_COMPARE(left, !=, right)
#define CHECK_LE(left, right) TEST_COMPARE(left, <=, right)
#define CHECK_LT(left, right) TEST_COMPARE(left, <, right)
#define CHECK_GE(left, right) TEST_COMPARE(left, >=, right)
#define CHECK_GT(left, right) TEST_COMPARE(left, >, right)

#define CHECK_STR(left, right)                                                                     \
    do {                                                                                           \
        const char *left_text = (left), *right_text = (right);                                     \
        if (strcmp(left_text, right_text) != 0)                                                    \
            test_fail(__FILE__, __LINE__, "CHECK_STR(%s, %s): left \"%s\", right \"%s\"", #left,   \
                      #right, left_text, right_text);                                              \
    } while (0)

#define CHECK_MEM(left, right, size_bytes)                                                         \
    do {                                                                                           \
        const uint8_t *left_bytes = (const void *)(left);                                          \
        const uint8_t *right_bytes = (const void *)(right);                                        \
        size_t bytes_count = (size_bytes);                                                         \
        for (size_t bytes_at = 0; bytes_at < bytes_count; bytes_at++) {                            \
            if (left_bytes[bytes_at] != right_bytes[bytes_at])                                     \
                test_fail(__FILE__, __LINE__,                                                      \
                          "CHECK_MEM(%s, %s): byte %zu of %zu: left 0x%02x, right 0x%02x", #left,  \
                          #right, bytes_at, bytes_count, left_bytes[bytes_at],                     \
                          right_bytes[bytes_at]);                                                  \
        }                                                                                          \
    } while (0)

/* Of randomised tests: --seed, or a new one in each run. Printed by test_main. */
static inline uint64_t test_seed(void)
{
    return test_state.seed;
}

/* Does an emulator run this program? What depends on how threads are scheduled, or on the memory of the
 * process, says something of the emulator then. ./build.sh check arm64 sets it. */
static inline int test_emulated(void)
{
    return getenv("SMF_TEST_EMULATED") != NULL;
}

/* Does an emulator or a sanitizer make this program ten times as slow? What draws from seeds does less then: the
 * same code runs at full speed elsewhere. */
static inline int test_slowed(void)
{
    return test_emulated() || TEST_WITH_ASAN || TEST_WITH_TSAN;
}

/* Says above the test's line why a part of it was not run. */
__attribute__((format(printf, 1, 2))) static inline void test_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("     %s: ", test_state.name);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* The test that runs can't: it is counted as skipped, and it returns. */
__attribute__((format(printf, 1, 2))) static inline void test_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("skip %s: ", test_state.name);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    test_state.skips = 1;
}

/* Runs something that must end the process, in a child that is allowed to. Returns the child's wait
 * status, and the beginning of what it wrote to stderr when text_out is not NULL. */
static inline int test_in_child(void (*run)(void *context), void *context, char *text_out,
                                size_t text_size)
{
    int pipe_ends[2];
    fflush(stdout);
    CHECK(pipe(pipe_ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        run(context);
        _exit(0);
    }
    close(pipe_ends[1]);
    size_t size = 0;
    char rest[4096];
    for (;;) {
        int room = text_out != NULL && size + 1 < text_size;
        ssize_t got = read(pipe_ends[0], room ? text_out + size : rest,
                           room ? text_size - 1 - size : sizeof(rest));
        if (got <= 0)
            break;
        if (room)
            size += (size_t)got;
    }
    close(pipe_ends[0]);
    if (text_out != NULL && text_size > 0)
        text_out[size] = 0;
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static inline int test_chosen(const char *name, int argc, char **argv)
{
    int names = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            i++;
            continue;
        }
        names++;
        if (strstr(name, argv[i]) != NULL)
            return 1;
    }
    return names == 0;
}

static inline int test_main(int argc, char **argv, const struct test *tests, size_t count)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    test_state.seed = ((uint64_t)now.tv_sec * 1000003u) ^ (uint64_t)now.tv_nsec;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            if (i + 1 == argc) {
                fprintf(stderr, "%s: --seed needs a number\n", argv[0]);
                return 2;
            }
            test_state.seed = strtoull(argv[i + 1], NULL, 0);
        }
    }
    printf("seed %" PRIu64 "\n", test_state.seed);
    for (size_t i = 0; i < count; i++) {
        if (!test_chosen(tests[i].name, argc, argv))
            continue;
        test_state.name = tests[i].name;
        test_state.skips = 0;
        tests[i].run();
        test_state.passed += !test_state.skips;
        test_state.skipped += test_state.skips;
        if (!test_state.skips)
            printf("ok   %s\n", tests[i].name);
        fflush(stdout);
    }
    printf("%d passed, 0 failed, %d skipped\n", test_state.passed, test_state.skipped);
    if (test_state.passed == 0 && test_state.skipped > 0)
        return TEST_ALL_SKIPPED;
    if (test_state.passed == 0) {
        fprintf(stderr, "%s: no test has such a name\n", argv[0]);
        return 2;
    }
    return 0;
}

#endif
