/* Reads the files of schema/golden and schema/golden-level2; the README.md there describes them. */
#ifndef SMF_TEST_FRAME_GOLDEN_H
#define SMF_TEST_FRAME_GOLDEN_H

#include <glob.h>

#include <smf/frame.h>

#include "test.h"

#define GOLDEN_BYTES_MAX 4096
#define GOLDEN_FIELDS_MAX 16
#define GOLDEN_LINE_SIZE_BYTES 4096

struct golden_field {
    char name[32];
    char value[1024];
};

struct golden {
    const char *path;
    uint8_t bytes[GOLDEN_BYTES_MAX];
    size_t size_bytes;
    struct golden_field fields[GOLDEN_FIELDS_MAX];
    int field_count;
};

static inline uint8_t hex_digit(const struct golden *golden, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == 0 ? NULL : strchr(digits, c);
    if (found == NULL)
        test_fail(golden->path, 0, "'%c' is not a lower-case hex digit", c);
    return (uint8_t)(found - digits);
}

static inline void golden_add_line(struct golden *golden, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0 || line[0] == '#')
        return;
    char *colon = strstr(line, ": ");
    if (colon != NULL) {
        CHECK_LT(golden->field_count, GOLDEN_FIELDS_MAX);
        *colon = 0;
        struct golden_field *field = &golden->fields[golden->field_count++];
        CHECK_LT(snprintf(field->name, sizeof(field->name), "%s", line), sizeof(field->name));
        CHECK_LT(snprintf(field->value, sizeof(field->value), "%s", colon + 2),
                 sizeof(field->value));
        return;
    }
    CHECK_EQ(strlen(line) % 2, 0);
    for (const char *at = line; *at != 0; at += 2) {
        CHECK_LT(golden->size_bytes, GOLDEN_BYTES_MAX);
        int high = hex_digit(golden, at[0]);
        golden->bytes[golden->size_bytes++] = (uint8_t)(high << 4 | hex_digit(golden, at[1]));
    }
}

static inline void golden_read(struct golden *golden, const char *path)
{
    memset(golden, 0, sizeof(*golden));
    golden->path = path;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    char line[GOLDEN_LINE_SIZE_BYTES];
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

static inline uint32_t golden_number(const struct golden *golden, const char *name)
{
    char *end;
    unsigned long value = strtoul(golden_text(golden, name), &end, 10);
    CHECK_EQ(*end, 0);
    CHECK_LE(value, UINT32_MAX);
    return (uint32_t)value;
}

/* Calls check for each file; there must be so many at least, or the goldens went astray. */
static inline void each_golden(const char *pattern, size_t count_min,
                               void (*check)(const struct golden *golden))
{
    static struct golden golden;
    glob_t found;
    CHECK_EQ(glob(pattern, 0, NULL, &found), 0);
    CHECK_GE(found.gl_pathc, count_min);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        golden_read(&golden, found.gl_pathv[i]);
        check(&golden);
    }
    globfree(&found);
}

/* Decodes at an odd address, compares every field, and encodes again. */
static inline void check_header(const struct golden *golden, struct smf_frame *frame_out)
{
    uint8_t copy[SMF_FRAME_HEADER_SIZE_BYTES + 1];
    CHECK_GE(golden->size_bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    memcpy(copy + 1, golden->bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    smf_frame_decode(copy + 1, frame_out);
    CHECK_EQ(frame_out->compression, golden_number(golden, "compression"));
    CHECK_EQ(frame_out->flags, golden_number(golden, "flags"));
    CHECK_EQ(frame_out->session, golden_number(golden, "session"));
    CHECK_EQ(frame_out->size, golden_number(golden, "size"));
    CHECK_EQ(frame_out->checksum, golden_number(golden, "checksum"));
    CHECK_EQ(frame_out->meta, golden_number(golden, "meta"));
    memset(copy, 0xee, sizeof(copy));
    smf_frame_encode(frame_out, copy + 1);
    CHECK_MEM(copy + 1, golden->bytes, SMF_FRAME_HEADER_SIZE_BYTES);
    CHECK_EQ(copy[0], 0xee);
}

#endif
