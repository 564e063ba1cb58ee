/* The contents of a simulated file: pages that copies share until one of them is written to. A page that
 * is not there is zero. Part of the simulation: no memory ends the program. */
#ifndef SMF_DISK_DISK_IMAGE_H
#define SMF_DISK_DISK_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct smf__disk_page;

struct smf__disk_image {
    struct smf__disk_page **pages;
    uint64_t page_count;
};

void smf__disk_image_drop(struct smf__disk_image *image);
void smf__disk_image_copy(struct smf__disk_image *to, const struct smf__disk_image *from);

/* bytes: NULL for zeroes. */
void smf__disk_image_write(struct smf__disk_image *image, uint64_t offset, uint64_t size,
                           const uint8_t *bytes);
void smf__disk_image_read(const struct smf__disk_image *image, uint64_t offset, uint64_t size,
                          uint8_t *bytes_out);

/* Everything from size on is zero. */
void smf__disk_image_cut(struct smf__disk_image *image, uint64_t size);

/* Memory of a test that is not there ends the test. */
void *smf__disk_must(void *memory);

#endif
