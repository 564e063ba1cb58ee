/* What the memory of a builder is moved by; see smf_flat_builder.grow. */
#ifndef SMF_FLAT_FLAT_H
#define SMF_FLAT_FLAT_H

#include <smf/flat_build.h>

/* Moves what is in a builder's memory, which stands at both of its ends, to larger memory. The old one
 * is not given back. */
void smf__flat_move(struct smf_flat_builder *builder, uint8_t *memory, uint32_t capacity);

#endif
