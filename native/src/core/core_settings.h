/* Public structs that begin with their own size, as the caller was compiled: programs that know fewer
 * fields than the library, or more, go on working as long as they do not set what it does not know. */
#ifndef SMF_CORE_SETTINGS_H
#define SMF_CORE_SETTINGS_H

#include <stdint.h>

#include <smf/status.h>

#define SMF__SETTINGS_SIZE_MAX_BYTES 1024u /* more is no struct of ours */

/* Takes the caller's settings over into ours, of size bytes; what the caller does not know is 0. size_min:
 * of the struct when its ABI version began. Returns 0, or SMF_EINVAL with a line that has the struct's
 * name. */
int smf__settings_read(void *ours_out, uint32_t size, const void *given, uint32_t size_min,
                       const char *name, struct smf_error *error_out);

/* Gives ours to a caller whose size field says how much it wants. Returns 0, or SMF_EINVAL and writes
 * nothing. */
int smf__settings_write(void *theirs, uint32_t size_min, const void *ours, uint32_t size);

/* Refuses a setting that only a later library can know: returns SMF_EINVAL. */
int smf__settings_unknown(const char *name, struct smf_error *error_out);

#endif
