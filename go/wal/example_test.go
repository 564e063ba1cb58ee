package wal_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/smf-go/smf/go/wal"
)

// A log with a topic: two records are appended, and read again.
func Example() {
	folder, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()

	l, err := wal.Open(filepath.Join(folder, "log"), wal.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.CreateTopic("orders", wal.TopicConfig{Partitions: 4}); err != nil {
		log.Fatal(err)
	}
	p, err := l.Partition("orders", 0)
	if err != nil {
		log.Fatal(err)
	}
	first, err := p.Append(ctx, wal.Batch{
		{Key: []byte("4711"), Value: []byte("two apples")},
		{Key: []byte("4712"), Value: []byte("a pear")},
	}, wal.Durable)
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range p.Records(ctx, first) {
		if err != nil {
			log.Fatal(err)
		}
		for _, r := range batch {
			fmt.Printf("%d %s: %s\n", r.Offset, r.Key, r.Value)
		}
	}
	// Output:
	// 0 4711: two apples
	// 1 4712: a pear
}

// Appends without waiting: the function is called when the record is durable.
func ExamplePartition_AppendAsync() {
	folder, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	l, err := wal.Open(folder, wal.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.CreateTopic("orders", wal.TopicConfig{}); err != nil {
		log.Fatal(err)
	}
	p, err := l.Partition("orders", 0)
	if err != nil {
		log.Fatal(err)
	}
	acknowledged := make(chan error, 3)
	for i := range 3 {
		err := p.AppendAsync(context.Background(), wal.Batch{{Value: fmt.Append(nil, i)}}, wal.Durable,
			func(first uint64, err error) { acknowledged <- err })
		if err != nil {
			log.Fatal(err)
		}
	}
	for range 3 {
		if err := <-acknowledged; err != nil {
			log.Fatal(err)
		}
	}
	info, err := p.Info()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Durable)
	// Output: 3
}
