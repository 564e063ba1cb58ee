// Says which buffers FlatBuffers' own verifier accepts, and ours in C. The test writes tables.inc (the
// headers that flatc made, and a list of tables) and native.inc (what ours reads, in the same order), and
// talks to it over pipes, in the byte order of the machine:
//
//   request   count of buffers; for each: index of its table, its size, its bytes
//   reply     one byte for each buffer: 1 if the stock verifier accepts it, plus 2 if ours does
//
// Counts, indexes and sizes have 32 bits. The program ends with its input.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "flatbuffers/flatbuffers.h"
#include <smf/flat_verify.h>

using verify_function = bool (*)(const uint8_t *bytes, size_t size);

template <class Table> bool verify(const uint8_t *bytes, size_t size)
{
    flatbuffers::Verifier verifier(bytes, size);
    return verifier.VerifyBuffer<Table>(nullptr);
}

#include "native.inc"
#include "tables.inc"

static const size_t table_count = sizeof tables / sizeof tables[0];
static_assert(table_count == sizeof native_tables / sizeof native_tables[0], "the same tables");

static void read_all(void *to, size_t size)
{
    if (size != 0 && fread(to, size, 1, stdin) != 1) {
        if (feof(stdin))
            exit(EXIT_SUCCESS);
        perror("read");
        exit(EXIT_FAILURE);
    }
}

static uint32_t read_number()
{
    uint32_t number;
    read_all(&number, sizeof number);
    return number;
}

// Each buffer gets memory of its own, as large as itself, so that tools for finding reads outside of
// memory find them. What malloc returns is aligned to 16 bytes.
static uint8_t judge()
{
    const uint32_t table = read_number();
    const uint32_t size = read_number();
    if (table >= table_count) {
        fprintf(stderr, "there is no table %u\n", table);
        exit(EXIT_FAILURE);
    }
    uint8_t *bytes = static_cast<uint8_t *>(malloc(size != 0 ? size : 1));
    if (bytes == nullptr) {
        perror("malloc");
        exit(EXIT_FAILURE);
    }
    read_all(bytes, size);
    const bool stock = tables[table](bytes, size);
    const bool ours = smf_flat_verify(native_tables[table], bytes, size, nullptr) == SMF_OK;
    free(bytes);
    return static_cast<uint8_t>((stock ? 1 : 0) + (ours ? 2 : 0));
}

int main()
{
    for (;;) {
        std::vector<uint8_t> verdicts(read_number());
        for (uint8_t &verdict : verdicts) {
            verdict = judge();
        }
        if (fwrite(verdicts.data(), 1, verdicts.size(), stdout) != verdicts.size() ||
            fflush(stdout) != 0) {
            perror("write");
            return EXIT_FAILURE;
        }
    }
}
