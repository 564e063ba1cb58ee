/* Any bytes: what the verifier takes for a table, a walk over all fields reads without leaving it, at
 * whatever address it lies; and the verdict is a matter of the bytes alone. */
#include <stdlib.h>

#include "../test/flat_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static volatile uint64_t read_sum; /* so that nothing is left out */

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct smf_flat_error error, again;
    int status = smf_flat_verify(&node_table, data, size_bytes, &error);
    /* A copy of exactly this size, one byte further. */
    uint8_t *copy = malloc(size_bytes + 1);
    char text[128];

    require(copy != NULL);
    memcpy(copy + 1, data, size_bytes);
    require(smf_flat_verify(&node_table, copy + 1, size_bytes, &again) == status);
    if (status == SMF_OK) {
        read_sum = walk_table(&node_table, smf_flat_root(copy + 1));
    } else {
        require(error.position == again.position && error.problem == again.problem);
        require(error.position < size_bytes || size_bytes == 0 || error.position == 0);
        smf_flat_error_text(&error, text, sizeof text);
    }
    free(copy);
    return 0;
}
