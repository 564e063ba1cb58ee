#include "core/core_settings.h"

#include <stdio.h>
#include <string.h>

#include "core/core.h"

static uint32_t size_of(const void *settings)
{
    uint32_t size;

    memcpy(&size, settings, sizeof size); /* their first field */
    return size;
}

static int size_fits(uint32_t size, uint32_t size_min)
{
    return size >= size_min && size <= SMF__SETTINGS_SIZE_MAX_BYTES;
}

int smf__settings_unknown(const char *name, struct smf_error *error_out)
{
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    snprintf(text, sizeof text,
             "%s has a setting that this library does not know: link a newer one, or leave it 0",
             name);
    return smf__error(error_out, SMF_EINVAL, 0, text);
}

int smf__settings_read(void *ours_out, uint32_t size, const void *given, uint32_t size_min,
                       const char *name, struct smf_error *error_out)
{
    const unsigned char *bytes = given;
    uint32_t theirs = size_of(given);
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    if (!size_fits(theirs, size_min)) {
        snprintf(text, sizeof text, "%s.size does not fit: set it to sizeof(struct %s)", name,
                 name);
        return smf__error(error_out, SMF_EINVAL, 0, text);
    }
    for (uint32_t i = size; i < theirs; i++) {
        if (bytes[i] != 0)
            return smf__settings_unknown(name, error_out);
    }
    memset(ours_out, 0, size);
    memcpy(ours_out, given, theirs < size ? theirs : size);
    memcpy(ours_out, &size, sizeof size);
    return SMF_OK;
}

int smf__settings_write(void *theirs, uint32_t size_min, const void *ours, uint32_t size)
{
    uint32_t wanted = size_of(theirs);

    if (!size_fits(wanted, size_min))
        return SMF_EINVAL;
    memset(theirs, 0, wanted);
    memcpy(theirs, ours, wanted < size ? wanted : size);
    memcpy(theirs, &wanted, sizeof wanted);
    return SMF_OK;
}
