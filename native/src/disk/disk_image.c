#include "disk/disk_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u

struct smf__disk_page {
    uint32_t refs;
    uint8_t bytes[PAGE_BYTES];
};

void *smf__disk_must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "smf: simulation: no memory\n");
        abort();
    }
    return memory;
}

static void page_unref(struct smf__disk_page *page)
{
    if (page != NULL && --page->refs == 0)
        free(page);
}

void smf__disk_image_drop(struct smf__disk_image *image)
{
    for (uint64_t i = 0; i < image->page_count; i++)
        page_unref(image->pages[i]);
    free(image->pages);
    memset(image, 0, sizeof *image);
}

void smf__disk_image_copy(struct smf__disk_image *to, const struct smf__disk_image *from)
{
    to->page_count = from->page_count;
    to->pages = NULL;
    if (from->page_count == 0)
        return;
    to->pages = smf__disk_must(malloc(from->page_count * sizeof(struct smf__disk_page *)));
    for (uint64_t i = 0; i < from->page_count; i++) {
        to->pages[i] = from->pages[i];
        if (to->pages[i] != NULL)
            to->pages[i]->refs++;
    }
}

static void grow(struct smf__disk_image *image, uint64_t page_count)
{
    if (page_count <= image->page_count)
        return;
    image->pages =
        smf__disk_must(realloc(image->pages, page_count * sizeof(struct smf__disk_page *)));
    memset(image->pages + image->page_count, 0,
           (page_count - image->page_count) * sizeof(struct smf__disk_page *));
    image->page_count = page_count;
}

/* A page that is this image's own. */
static struct smf__disk_page *own(struct smf__disk_image *image, uint64_t index)
{
    struct smf__disk_page *page = image->pages[index], *mine;

    if (page != NULL && page->refs == 1)
        return page;
    mine = smf__disk_must(calloc(1, sizeof *mine));
    if (page != NULL) {
        memcpy(mine->bytes, page->bytes, PAGE_BYTES);
        page_unref(page);
    }
    mine->refs = 1;
    image->pages[index] = mine;
    return mine;
}

static void write_page(struct smf__disk_image *image, uint64_t index, uint64_t from, uint64_t size,
                       const uint8_t *bytes)
{
    if (bytes != NULL) {
        memcpy(own(image, index)->bytes + from, bytes, size);
    } else if (size == PAGE_BYTES) {
        page_unref(image->pages[index]);
        image->pages[index] = NULL;
    } else if (image->pages[index] != NULL) {
        memset(own(image, index)->bytes + from, 0, size);
    }
}

void smf__disk_image_write(struct smf__disk_image *image, uint64_t offset, uint64_t size,
                           const uint8_t *bytes)
{
    if (size == 0)
        return;
    grow(image, (offset + size + PAGE_BYTES - 1) / PAGE_BYTES);
    while (size > 0) {
        uint64_t from = offset % PAGE_BYTES;
        uint64_t part = PAGE_BYTES - from < size ? PAGE_BYTES - from : size;

        write_page(image, offset / PAGE_BYTES, from, part, bytes);
        bytes = bytes != NULL ? bytes + part : NULL;
        offset += part;
        size -= part;
    }
}

void smf__disk_image_read(const struct smf__disk_image *image, uint64_t offset, uint64_t size,
                          uint8_t *bytes_out)
{
    while (size > 0) {
        uint64_t index = offset / PAGE_BYTES, from = offset % PAGE_BYTES;
        uint64_t part = PAGE_BYTES - from < size ? PAGE_BYTES - from : size;

        if (index < image->page_count && image->pages[index] != NULL)
            memcpy(bytes_out, image->pages[index]->bytes + from, part);
        else
            memset(bytes_out, 0, part);
        bytes_out += part;
        offset += part;
        size -= part;
    }
}

void smf__disk_image_cut(struct smf__disk_image *image, uint64_t size)
{
    uint64_t end = image->page_count * PAGE_BYTES;

    if (size < end)
        smf__disk_image_write(image, size, end - size, NULL);
}
