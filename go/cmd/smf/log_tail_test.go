package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walbody"
	"github.com/smf-go/smf/go/internal/walfile"
	"github.com/smf-go/smf/go/wal"
)

// appendUnsaid writes a record behind the end of a segment, as a process does that is killed right after it: nothing
// says that it is durable.
func appendUnsaid(t *testing.T, path, value string) {
	t.Helper()
	r, status, err := walfile.Open(path)
	require.NoError(t, err)
	defer r.Close()
	for status == walfile.Good {
		_, status, err = r.Next()
		require.NoError(t, err)
	}
	var body walbody.Builder
	require.NoError(t, body.Add(&walbody.Record{Value: []byte(value), Time: 1}))
	batch := walfile.Batch{Kind: walfile.KindRecords, Count: 1, FirstOffset: r.NextOffset, PrevCRC: r.PrevCRC, BaseTime: 1, MaxTime: 1,
		DurableBefore: walfile.At(r.File.Number, r.End)}
	block := int64(r.File.BlockBytes)
	position := (r.End + block - 1) / block * block
	data, ok := batch.Encode(body.Body(), &r.File, position)
	require.True(t, ok)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt(data, position)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// What a process that was killed wrote last, and nothing says to be durable: who opens the log sees it, and keeps
// it; who followed it before sees it when another process has appended, and not sooner.
func TestLogTailOfACrash(t *testing.T) {
	dir := newLog(t, 2)
	other := []string{"log", "append", "orders", "--dir", dir, "--partition", "1"}
	require.Zero(t, smfWith(t, numbers(0, 1000), other...).status, "META says that more is durable there")
	a := startAppending(t, "orders", "--dir", dir, "--partition", "0", "--print-offsets")
	require.Equal(t, "0 0\n", a.say(t, "said"))
	require.NoError(t, a.command.Process.Kill())
	_ = a.command.Wait()

	log, err := wal.Open(dir, wal.Options{ReadOnly: true})
	require.NoError(t, err)
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	var goesOn atomic.Bool
	type seen struct {
		value string
		late  bool
		err   error
	}
	came := make(chan seen, 4)
	followed := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		defer close(followed)
		defer close(came)
		count := 0
		for batch, err := range p.Follow(ctx, 0) {
			if err != nil {
				came <- seen{err: err}
				return
			}
			for i := range batch {
				came <- seen{value: string(batch[i].Value), late: goesOn.Load()}
				count++
			}
			if count == 3 {
				return
			}
		}
	}()
	require.Equal(t, seen{value: "said"}, <-came)
	appendUnsaid(t, segments(t, dir, 0)[0], "unsaid")
	for range 20 { // many looks
		require.Equal(t, outcome{0, "said\nunsaid\n", ""}, smf(t, "log", "read", "orders", "--dir", dir, "--partition", "0"))
	}
	goesOn.Store(true)
	b := startAppending(t, "orders", "--dir", dir, "--partition", "0", "--print-offsets")
	require.Equal(t, "0 2\n", b.say(t, "next"))
	require.Equal(t, seen{value: "unsaid", late: true}, <-came)
	require.Equal(t, seen{value: "next", late: true}, <-came)
	<-followed
	require.NoError(t, log.Close())
	require.NoError(t, b.input.Close())
	require.NoError(t, b.command.Wait())
	require.Equal(t, outcome{0, "said\nunsaid\nnext\n", ""}, smf(t, "log", "read", "orders", "--dir", dir, "--partition", "0"))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}

// Who follows a log sees what a process appended that has ended right after it: META says that it is durable.
func TestLogFollowOfProcessesThatEnd(t *testing.T) {
	dir := newLog(t, 1)
	log, err := wal.Open(dir, wal.Options{ReadOnly: true})
	require.NoError(t, err)
	defer log.Close()
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	next := 0
	appendNext := func() {
		require.Zero(t, smfWith(t, fmt.Sprintln(next), "log", "append", "orders", "--dir", dir).status)
	}
	appendNext()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for batch, err := range p.Follow(ctx, 0) {
		require.NoError(t, err)
		for i := range batch {
			require.Equal(t, fmt.Sprint(next), string(batch[i].Value))
			next++
		}
		if next == 10 {
			break
		}
		appendNext()
	}
}
