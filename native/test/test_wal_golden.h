/* Reads the files of schema/golden-wal; README.md there describes them. */
#ifndef SMF_TEST_WAL_GOLDEN_H
#define SMF_TEST_WAL_GOLDEN_H

#include <glob.h>

#include "test.h"
#include "wal/wal_format.h"

#define GOLDEN_WAL SMF_SOURCE_DIR "/schema/golden-wal/"
#define GOLDEN_BYTES_MAX 65536
#define GOLDEN_FIELDS_MAX 64
#define GOLDEN_LINE_BYTES 4096

struct golden_field {
    char name[32];
    char value[512];
};

struct golden {
    const char *path;
    uint8_t bytes[GOLDEN_BYTES_MAX];
    size_t size_bytes;
    struct golden_field fields[GOLDEN_FIELDS_MAX];
    int field_count;
};

/* Reads lower-case hex into bytes_out and returns how many bytes it was. */
static inline size_t golden_hex(const char *path, const char *text, size_t text_size,
                                uint8_t *bytes_out, size_t capacity)
{
    static const char digits[] = "0123456789abcdef";
    if (text_size % 2 != 0 || text_size / 2 > capacity)
        test_fail(path, 0, "%zu hex digits", text_size);
    for (size_t i = 0; i < text_size; i++) {
        const char *found = memchr(digits, text[i], 16);
        if (found == NULL)
            test_fail(path, 0, "'%c' is not a lower-case hex digit", text[i]);
        int value = (int)(found - digits);
        bytes_out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : bytes_out[i / 2] | value);
    }
    return text_size / 2;
}

static inline void golden_add_line(struct golden *golden, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0 || line[0] == '#')
        return;
    char *colon = strstr(line, ": ");
    if (colon == NULL) {
        golden->size_bytes +=
            golden_hex(golden->path, line, strlen(line), golden->bytes + golden->size_bytes,
                       GOLDEN_BYTES_MAX - golden->size_bytes);
        return;
    }
    CHECK_LT(golden->field_count, GOLDEN_FIELDS_MAX);
    *colon = 0;
    struct golden_field *field = &golden->fields[golden->field_count++];
    CHECK_LT(snprintf(field->name, sizeof(field->name), "%s", line), sizeof(field->name));
    CHECK_LT(snprintf(field->value, sizeof(field->value), "%s", colon + 2), sizeof(field->value));
}

static inline void golden_read(struct golden *golden, const char *path)
{
    memset(golden, 0, sizeof(*golden));
    golden->path = path;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    char line[GOLDEN_LINE_BYTES];
    while (fgets(line, sizeof(line), file) != NULL)
        golden_add_line(golden, line);
    fclose(file);
}

static inline const char *golden_text(const struct golden *golden, const char *name)
{
    for (int i = 0; i < golden->field_count; i++) {
        if (strcmp(golden->fields[i].name, name) == 0)
            return golden->fields[i].value;
    }
    test_fail(golden->path, 0, "has no field \"%s\"", name);
}

/* Negative numbers come back as their two's complement. */
static inline uint64_t golden_number(const struct golden *golden, const char *name)
{
    const char *text = golden_text(golden, name);
    char *end;
    uint64_t value = text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    CHECK_EQ(*end, 0);
    return value;
}

/* Calls check for each file; there must be so many at least, or the goldens went astray. */
static inline void each_golden(const char *pattern, size_t count_min,
                               void (*check)(const struct golden *golden))
{
    static struct golden golden;
    char path[1024];
    glob_t found;
    CHECK_LT(snprintf(path, sizeof(path), GOLDEN_WAL "%s", pattern), sizeof(path));
    CHECK_EQ(glob(path, 0, NULL, &found), 0);
    CHECK_GE(found.gl_pathc, count_min);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        golden_read(&golden, found.gl_pathv[i]);
        check(&golden);
    }
    globfree(&found);
}

/* The golden's "status" is this one: with '_' for ' '. */
static inline void golden_status(const struct golden *golden, int status)
{
    char name[32];
    snprintf(name, sizeof(name), "%s", smf__wal_status_name(status));
    for (char *at = name; *at != 0; at++)
        *at = *at == ' ' ? '_' : *at;
    if (strcmp(name, golden_text(golden, "status")) != 0)
        test_fail(golden->path, 0, "status is %s, not %s", name, golden_text(golden, "status"));
}

/* Memory of exactly this size, so that sanitizers see what is read behind it. */
static inline uint8_t *exactly(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
