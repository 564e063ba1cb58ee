/* Verifies payloads for a test in another language, which compares the verdicts with its own.
 *
 * Reads, in the machine's own byte order: how many tables, for each how many fields, for each field six
 * numbers (slot, kind, align, required, size, table); then for each payload the number of its table,
 * its size, and its bytes. All numbers are of 32 bits. Tables are called T0, T1, …, their fields F0, F1,
 * … Writes a line for each payload: "ok", or the error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/flat_verify.h>

#define NAME_SIZE_BYTES 12
#define FIELD_NUMBERS 6

/* Ends the program: a test that does not get its answers fails. */
static void *allocate(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes + 1);

    if (memory == NULL)
        exit(2);
    return memory;
}

static uint32_t read_number(void)
{
    uint32_t number;

    if (fread(&number, sizeof number, 1, stdin) != 1)
        exit(feof(stdin) ? 0 : 2);
    return number;
}

static const char *name_of(char letter, uint32_t number)
{
    char *name = allocate(NAME_SIZE_BYTES);

    snprintf(name, NAME_SIZE_BYTES, "%c%u", letter, number);
    return name;
}

static void read_fields(struct smf_flat_table *tables, uint32_t which)
{
    uint32_t count = read_number();
    struct smf_flat_field *fields = allocate(count * sizeof *fields);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t numbers[FIELD_NUMBERS];

        for (int k = 0; k < FIELD_NUMBERS; k++)
            numbers[k] = read_number();
        fields[i].name = name_of('F', i);
        fields[i].slot = (uint16_t)numbers[0];
        fields[i].kind = (uint8_t)numbers[1];
        fields[i].align = (uint8_t)numbers[2];
        fields[i].required = (uint8_t)numbers[3];
        fields[i].size_bytes = numbers[4];
        fields[i].table = &tables[numbers[5]];
    }
    tables[which].name = name_of('T', which);
    tables[which].fields = fields;
    tables[which].field_count = count;
}

int main(void)
{
    uint32_t count = read_number();
    struct smf_flat_table *tables = allocate(count * sizeof *tables);

    for (uint32_t i = 0; i < count; i++)
        read_fields(tables, i);
    for (;;) {
        uint32_t table = read_number(), size = read_number();
        uint8_t *payload = allocate(size);
        struct smf_flat_error error;
        char text[256] = "ok";

        if (fread(payload, 1, size, stdin) != size)
            return 2;
        if (smf_flat_verify(&tables[table], payload, size, &error) != SMF_OK)
            smf_flat_error_text(&error, text, sizeof text);
        puts(text);
        free(payload);
    }
}
