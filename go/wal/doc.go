// Package wal is a write-ahead log: topics, their partitions, and records with dense 64-bit offsets, in
// files of a folder that are written past the page cache.
//
//	log, err := wal.Open("orders.log", wal.Options{Create: true})
//	err = log.CreateTopic("orders", wal.TopicConfig{Partitions: 4})
//	p, err := log.Partition("orders", 0)
//	first, err := p.Append(ctx, wal.Batch{{Key: id, Value: order}}, wal.Durable)
//	for batch, err := range p.Records(ctx, first) {
//		…
//	}
//
// # What an append waits for
//
//   - [Durable], which is the zero value: a flush of the device covers the records. They survive a power
//     cut. Appends of many goroutines share a write and its flush.
//   - [Written]: the device took them. They survive the end of the process, even by kill -9, but not a
//     power cut when the device has a volatile cache.
//   - [Buffered]: nothing. The records are in memory, their offsets are known. They are written within
//     [Options.Linger], or as soon as there is a large piece of them: a process that ends without
//     [Log.Close] loses at most what was appended in that time and what the disk had not taken yet; a
//     power cut what was not flushed. A disk that fails or is full loses them, too; then the next call of
//     [Partition.Append], [Partition.Sync] or [Log.Close] says so, once (ErrLost).
//
// The records of one append are atomic: after a crash all of them are there, or none. Appends to one
// partition by one goroutine come in the order of its calls, whatever they wait for. Appends that are
// staged at the same time share a batch on the disk, which waits for what the strongest of them asks
// for: a Written append beside a Durable one waits for the flush.
//
// # Memory
//
// Appends are copied into memory that is bounded for each core ([Options.MemoryBytes]); when the disk does not keep up
// they wait, as long as their context lets them.
//
// A context that ends takes its records back when they were not handed to the disk yet. Else Append
// returns an error that is both ctx.Err() and ErrMayHaveHappened: the records may be in the log, or come
// to be.
//
// # Goroutines
//
// Everything may be called by any goroutine at the same time. There is no goroutine for each partition or
// append: those who wait drive the loop of their partition's core, see
// docs/decisions/0005-the-caller-drives.md. What blocks on metadata (CreateTopic, Sync, truncation,
// OffsetForTime, Close) holds up other appends and reads of its core for that time, which is milliseconds;
// CreateTopic with thousands of partitions takes seconds. A log has one core, or several ([Options.Cores]) that
// do not wait for each other's appends; what changes META comes one after the other.
package wal
