/* The pool: a buddy allocator whose book-keeping is kept away from the memory that it lends, so that a
 * block that was never used costs no page. */
#include "mem/mem_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <smf/status.h>

#include "mem/mem_count.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size_bytes) ((void)(address), (void)(size_bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, size_bytes) ((void)(address), (void)(size_bytes))
#endif

#define BLOCK_MIN_SHIFT 12u   /* log2(SMF__POOL_BLOCK_MIN_BYTES) */
#define ORDER_LIMIT 20u       /* orders 0..19: 4 KiB..2 GiB, the largest that fits in capacity */
#define TOP_BLOCKS_MIN 8u     /* how often the largest block fits in the budget, at least */
#define HOT_COUNT_MAX 64u     /* unmerged blocks kept of one order */
#define HOT_BUDGET_DIVISOR 64 /* and at most this part of the budget, or one block */
#define NO_BLOCK UINT32_MAX   /* ends a list */
#define FILL_BYTE 0xdb
#define FILL_BYTES 4096u

_Static_assert(SMF__POOL_BLOCK_MIN_BYTES == 1u << BLOCK_MIN_SHIFT, "shift and size must agree");
_Static_assert(SMF__POOL_BUDGET_MAX_BYTES >> BLOCK_MIN_SHIFT < NO_BLOCK, "an index must fit");

/* One per smallest block; the descriptor of a block's first 4 KiB speaks for it, what the others say
 * means nothing. */
struct block {
    struct smf_buffer buffer; /* first: a buffer's address is its block's */
    uint32_t next;            /* in the list of its order, free or hot */
    uint32_t previous;        /* in the free list */
    uint8_t order;            /* its size is 4 KiB << order */
    uint8_t is_free;          /* on the free list: may merge. Hot and lent blocks are not */
    uint8_t reserved[6];
};

_Static_assert(sizeof(struct block) == 32, "two descriptors a cache line");

struct smf__pool {
    struct block *blocks;
    uint8_t *region; /* aligned to the largest block */
    uint64_t blocks_size_bytes;
    uint64_t mapping_size_bytes; /* of this struct and the descriptors behind it */
    struct smf__pool_stats stats;
    uint32_t order_max;   /* of the largest block */
    uint32_t top_count;   /* largest blocks in the region */
    uint32_t top_fresh;   /* the first of them that was never split nor lent */
    uint32_t free_orders; /* bit n: free_heads[n] is not empty */
    uint32_t hot_total;   /* sum of hot_counts */
    uint32_t free_heads[ORDER_LIMIT];
    uint32_t hot_heads[ORDER_LIMIT];
    uint8_t hot_counts[ORDER_LIMIT];
    uint8_t hot_limits[ORDER_LIMIT]; /* 1..HOT_COUNT_MAX */
};

#define POOL_HEADER_BYTES 4096u
_Static_assert(sizeof(struct smf__pool) <= POOL_HEADER_BYTES, "the pool is one page");

/* Memory is being given back wrongly: to go on would hand the same bytes to two owners. */
static void die(const char *what, const struct block *block)
{
    fprintf(stderr, "smf: memory pool: %s (buffer %p)\n", what, (const void *)block);
    abort();
}

static uint32_t block_index(const struct smf__pool *pool, const struct block *block)
{
    return (uint32_t)(block - pool->blocks);
}

static uint64_t order_size_bytes(uint32_t order)
{
    return (uint64_t)SMF__POOL_BLOCK_MIN_BYTES << order;
}

/* The smallest order whose blocks hold size_bytes; may be over every limit. */
static uint32_t order_for(uint64_t size_bytes)
{
    if (size_bytes <= SMF__POOL_BLOCK_MIN_BYTES)
        return 0;
    return 64u - (uint32_t)__builtin_clzll(size_bytes - 1) - BLOCK_MIN_SHIFT;
}

static uint8_t *block_memory(const struct smf__pool *pool, uint32_t index)
{
    return pool->region + ((uint64_t)index << BLOCK_MIN_SHIFT);
}

static void free_push(struct smf__pool *pool, uint32_t index, uint32_t order)
{
    struct block *block = &pool->blocks[index];
    uint32_t head = pool->free_heads[order];
    block->is_free = 1;
    block->order = (uint8_t)order;
    block->next = head;
    block->previous = NO_BLOCK;
    if (head != NO_BLOCK)
        pool->blocks[head].previous = index;
    pool->free_heads[order] = index;
    pool->free_orders |= 1u << order;
}

static void free_unlink(struct smf__pool *pool, struct block *block)
{
    uint32_t order = block->order;
    if (block->previous == NO_BLOCK) {
        pool->free_heads[order] = block->next;
        if (block->next == NO_BLOCK)
            pool->free_orders &= ~(1u << order);
    } else {
        pool->blocks[block->previous].next = block->next;
    }
    if (block->next != NO_BLOCK)
        pool->blocks[block->next].previous = block->previous;
}

/* Puts a block on the free list, together with every neighbour that is free and of its size. The
 * neighbour's descriptor always speaks for a block, of this size or smaller: the two were cut from
 * one. */
static void merge(struct smf__pool *pool, uint32_t index, uint32_t order)
{
    while (order < pool->order_max) {
        uint32_t buddy_index = index ^ (1u << order);
        struct block *buddy = &pool->blocks[buddy_index];
        if (!buddy->is_free || buddy->order != order)
            break;
        free_unlink(pool, buddy);
        index &= ~(1u << order);
        order++;
    }
    free_push(pool, index, order);
}

static void merge_hot(struct smf__pool *pool)
{
    for (uint32_t order = 0; order <= pool->order_max; order++) {
        while (pool->hot_heads[order] != NO_BLOCK) {
            uint32_t index = pool->hot_heads[order];
            pool->hot_heads[order] = pool->blocks[index].next;
            merge(pool, index, order);
        }
        pool->hot_counts[order] = 0;
    }
    pool->hot_total = 0;
}

/* Takes a block of this order out of the free lists, splitting a larger one if need be. */
static struct block *free_take(struct smf__pool *pool, uint32_t order)
{
    uint32_t orders = pool->free_orders >> order;
    uint32_t index, found;
    if (orders != 0) {
        found = order + (uint32_t)__builtin_ctz(orders);
        index = pool->free_heads[found];
        free_unlink(pool, &pool->blocks[index]);
    } else if (pool->top_fresh < pool->top_count) {
        found = pool->order_max;
        index = pool->top_fresh++ << found;
        ASAN_POISON_MEMORY_REGION(block_memory(pool, index), order_size_bytes(found));
    } else {
        return NULL;
    }
    while (found > order) {
        found--;
        free_push(pool, index + (1u << found), found);
    }
    struct block *block = &pool->blocks[index];
    block->is_free = 0;
    block->order = (uint8_t)order;
    block->buffer.data = block_memory(pool, index);
    return block;
}

/* In test builds a block that is given back is filled, and a hot one that is lent again must still
 * be: somebody wrote to memory that was no longer his if it is not. */
static void fill(struct block *block)
{
#ifdef SMF_INVARIANTS
    memset(block->buffer.data, FILL_BYTE, FILL_BYTES);
#else
    (void)block;
#endif
}

static void check_fill(const struct block *block)
{
#ifdef SMF_INVARIANTS
    for (uint32_t i = 0; i < FILL_BYTES; i++) {
        if (block->buffer.data[i] != FILL_BYTE)
            die("written to after it was given back", block);
    }
#else
    (void)block;
#endif
}

static struct block *hot_take(struct smf__pool *pool, uint32_t order)
{
    uint32_t index = pool->hot_heads[order];
    if (index == NO_BLOCK)
        return NULL;
    struct block *block = &pool->blocks[index];
    pool->hot_heads[order] = block->next;
    pool->hot_counts[order]--;
    pool->hot_total--;
    return block;
}

struct smf_buffer *smf__pool_get(struct smf__pool *pool, uint64_t size_bytes)
{
    uint32_t order = order_for(size_bytes);
    if (order > pool->order_max) {
        smf__count(pool->stats.refused, 1);
        return NULL;
    }
    int was_hot = 1;
    struct block *block = hot_take(pool, order);
    if (block == NULL) {
        was_hot = 0;
        block = free_take(pool, order);
        if (block == NULL && pool->hot_total > 0) {
            merge_hot(pool);
            block = free_take(pool, order);
        }
        if (block == NULL) {
            smf__count(pool->stats.refused, 1);
            return NULL;
        }
    }
    uint32_t capacity = SMF__POOL_BLOCK_MIN_BYTES << order;
    ASAN_UNPOISON_MEMORY_REGION(block->buffer.data, capacity);
    if (was_hot)
        check_fill(block);
    block->buffer.capacity = capacity;
    block->buffer.refs = 1;
    smf__count(pool->stats.used_bytes, capacity);
    if (pool->stats.used_bytes > pool->stats.used_bytes_max)
        smf__count(pool->stats.used_bytes_max, pool->stats.used_bytes - pool->stats.used_bytes_max);
    return &block->buffer;
}

void smf__buffer_unref(struct smf__pool *pool, struct smf_buffer *buffer)
{
    struct block *block = (struct block *)buffer;
    if ((uintptr_t)block - (uintptr_t)pool->blocks >= pool->blocks_size_bytes) {
        die("a buffer of another pool is given back", block);
    }
    if (buffer->refs == 0)
        die("given back more often than it was taken", block);
    if (--buffer->refs > 0)
        return;

    uint32_t order = block->order;
    uint32_t index = block_index(pool, block);
    smf__uncount(pool->stats.used_bytes, buffer->capacity);
    smf__count(pool->stats.returns, 1);
    fill(block);
    ASAN_POISON_MEMORY_REGION(buffer->data, buffer->capacity);
    buffer->capacity = 0;
    if (pool->hot_counts[order] < pool->hot_limits[order]) {
        block->next = pool->hot_heads[order];
        pool->hot_heads[order] = index;
        pool->hot_counts[order]++;
        pool->hot_total++;
    } else {
        merge(pool, index, order);
    }
}

uint64_t smf__pool_block_bytes(uint64_t size_bytes)
{
    return order_size_bytes(order_for(size_bytes));
}

uint64_t smf__pool_piece_size_max(const struct smf__pool *pool)
{
    return order_size_bytes(pool->order_max);
}

int smf__pool_could_fit(const struct smf__pool *pool, uint64_t size_bytes)
{
    return size_bytes <= smf__pool_piece_size_max(pool);
}

void smf__pool_refuse(struct smf__pool *pool)
{
    smf__count(pool->stats.refused, 1);
}

void smf__pool_stats(const struct smf__pool *pool, struct smf__pool_stats *stats_out)
{
    stats_out->budget_bytes = pool->stats.budget_bytes;
    stats_out->used_bytes = smf__counted(pool->stats.used_bytes);
    stats_out->used_bytes_max = smf__counted(pool->stats.used_bytes_max);
    stats_out->refused = smf__counted(pool->stats.refused);
    stats_out->returns = smf__counted(pool->stats.returns);
}

static void *map(uint64_t size_bytes)
{
    void *address = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

/* Maps size_bytes at a multiple of alignment (a power of two, at least a page). */
static uint8_t *map_aligned(uint64_t size_bytes, uint64_t alignment)
{
    uint8_t *address = map(size_bytes + alignment);
    if (address == NULL)
        return NULL;
    uint64_t before = -(uintptr_t)address & (alignment - 1);
    uint64_t behind = alignment - before;
    if (before > 0)
        munmap(address, before);
    munmap(address + before + size_bytes, behind);
    return address + before;
}

static void init_lists(struct smf__pool *pool)
{
    for (uint32_t order = 0; order < ORDER_LIMIT; order++) {
        uint64_t limit = pool->stats.budget_bytes / HOT_BUDGET_DIVISOR / order_size_bytes(order);
        if (limit > HOT_COUNT_MAX)
            limit = HOT_COUNT_MAX;
        if (limit < 1)
            limit = 1;
        pool->hot_limits[order] = (uint8_t)limit;
        pool->hot_heads[order] = NO_BLOCK;
        pool->free_heads[order] = NO_BLOCK;
    }
}

int smf__pool_open(struct smf__pool **pool_out, uint64_t budget_bytes)
{
    if (budget_bytes < SMF__POOL_BUDGET_MIN_BYTES || budget_bytes > SMF__POOL_BUDGET_MAX_BYTES) {
        return SMF_EINVAL;
    }
    uint32_t order_max = 0;
    while (order_max + 1 < ORDER_LIMIT &&
           order_size_bytes(order_max + 1) * TOP_BLOCKS_MIN <= budget_bytes) {
        order_max++;
    }
    uint64_t top_bytes = order_size_bytes(order_max);
    uint64_t top_count = budget_bytes / top_bytes;
    uint64_t region_bytes = top_count * top_bytes;
    uint64_t blocks_bytes = (region_bytes >> BLOCK_MIN_SHIFT) * sizeof(struct block);
    uint64_t mapping_bytes = POOL_HEADER_BYTES + blocks_bytes;

    struct smf__pool *pool = map(mapping_bytes);
    if (pool == NULL)
        return SMF_ENOMEM;
    /* Descriptors are touched here and there: a huge page for each would be a waste. Only advice, so
     * a kernel without huge pages may refuse it. */
    (void)madvise(pool, mapping_bytes, MADV_NOHUGEPAGE);
    uint8_t *region = map_aligned(region_bytes, top_bytes);
    if (region == NULL) {
        munmap(pool, mapping_bytes);
        return SMF_ENOMEM;
    }
    pool->blocks = (struct block *)((uint8_t *)pool + POOL_HEADER_BYTES);
    pool->region = region;
    pool->blocks_size_bytes = blocks_bytes;
    pool->mapping_size_bytes = mapping_bytes;
    pool->stats.budget_bytes = region_bytes;
    pool->order_max = order_max;
    pool->top_count = (uint32_t)top_count;
    init_lists(pool);
    *pool_out = pool;
    return SMF_OK;
}

void smf__pool_close(struct smf__pool *pool)
{
    if (pool == NULL)
        return;
#ifdef SMF_INVARIANTS
    if (pool->stats.used_bytes != 0) {
        fprintf(stderr, "smf: memory pool: %llu bytes are still lent at close\n",
                (unsigned long long)pool->stats.used_bytes);
        abort();
    }
#endif
    ASAN_UNPOISON_MEMORY_REGION(pool->region, pool->top_fresh * order_size_bytes(pool->order_max));
    munmap(pool->region, pool->stats.budget_bytes);
    munmap(pool, pool->mapping_size_bytes);
}
