package walfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// mend writes META of a log anew, whose topic only segments know any more.
func (w *writer) mend() (*MetaPlan, []string) {
	w.t.Helper()
	flip(w.t, filepath.Join(w.folder, MetaName), 30) // of block 0
	m, damages, err := ReadMeta(w.folder)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, damages)
	reading := Reading{Folder: w.folder}
	plan, err := reading.PlanMeta(m)
	require.NoError(w.t, err)
	aside, err := reading.WriteMeta(plan)
	require.NoError(w.t, err)
	return plan, aside
}

// Files in front of one that is missing are kept under other names: the next process would delete them.
func TestMendingKeepsWhatIsBeforeAGap(t *testing.T) {
	w := three(t)
	w.records(w.segment(), 2, true)
	w.write()
	first := w.path(w.segs[0])
	want, err := os.ReadFile(first)
	require.NoError(t, err)
	require.NoError(t, os.Remove(w.path(w.segs[1])))
	plan, aside := w.mend()
	require.Equal(t, []string{"orders/0 begins at offset 20: the file before is not there"}, plan.Heads)
	name := "orders/0/0000000001-00000000000000000000.seg"
	require.Equal(t, []string{name}, plan.Apart)
	require.Equal(t, []string{name + asideEnd, MetaName + asideEnd}, aside)
	require.NoFileExists(t, first)
	got, err := os.ReadFile(first + asideEnd)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, p := w.check()
	require.Empty(t, lines(p.Damages))
	require.EqualValues(t, 20, p.Head)
	require.EqualValues(t, 32, p.Next)
}

// Where nothing is left in front of what is missing, it was deleted for a head.
func TestMendingAfterACutOfTheHead(t *testing.T) {
	w := three(t)
	require.NoError(t, os.Remove(w.path(w.segs[0])))
	plan, aside := w.mend()
	require.Equal(t, []string{"orders/0 begins at offset 10: the file before is not there"}, plan.Heads)
	require.Empty(t, plan.Apart)
	require.Equal(t, []string{MetaName + asideEnd}, aside)
	_, p := w.check()
	require.Empty(t, lines(p.Damages))
}

// lose takes META away and writes it anew.
func (w *writer) lose() *MetaPlan {
	w.t.Helper()
	require.NoError(w.t, os.Remove(filepath.Join(w.folder, MetaName)))
	reading := Reading{Folder: w.folder}
	isLost, err := MetaIsLost(w.folder)
	require.NoError(w.t, err)
	require.True(w.t, isLost)
	plan, err := reading.PlanMeta(NoMeta())
	require.NoError(w.t, err)
	aside, err := reading.WriteMeta(plan)
	require.NoError(w.t, err)
	require.Empty(w.t, aside, "nothing was there to be kept")
	isLost, err = MetaIsLost(w.folder)
	require.NoError(w.t, err)
	require.False(w.t, isLost)
	return plan
}

// A META that is gone: segments know of the topic all that it said.
func TestLostMeta(t *testing.T) {
	w := three(t)
	plan := w.lose()
	require.Equal(t, []FoundTopic{{Topic: &w.topic}}, plan.Found)
	require.Empty(t, plan.Heads)
	m, p := w.check()
	require.Equal(t, []*Topic{&w.topic}, m.Topics)
	require.NotZero(t, m.File.TopicID)
	require.Empty(t, lines(p.Damages))
	require.EqualValues(t, 30, p.Next)

	w = three(t)
	require.NoError(t, os.Remove(w.path(w.segs[0])))
	require.Equal(t, []string{"orders/0 begins at offset 10: the file before is not there"}, w.lose().Heads)
	_, p = w.check()
	require.Empty(t, lines(p.Damages))
	require.EqualValues(t, 10, p.Head)

	isLost, err := MetaIsLost(t.TempDir())
	require.NoError(t, err)
	require.False(t, isLost, "an empty folder is no log")
}

// State batches that can't be read: block 0 tells name and id, and folders how many partitions there are at least.
func TestLostMetaAndStates(t *testing.T) {
	w := three(t)
	for _, s := range w.segs {
		flip(t, w.path(s), s.at[0]+BatchHeaderSize+20)
	}
	fifth := filepath.Join(w.folder, "orders", "4") // with a file that says nothing
	require.NoError(t, os.Mkdir(fifth, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(fifth, SegmentName(1, 0)), make([]byte, 4096), 0o600))
	for _, empty := range []string{"9", "011", "x"} { // a partition that was never written, and none
		require.NoError(t, os.Mkdir(filepath.Join(w.folder, "orders", empty), 0o700))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(w.folder, "sales", "0"), 0o700))
	require.NoError(t, os.Remove(filepath.Join(w.folder, MetaName)))
	plan, err := Reading{Folder: w.folder}.PlanMeta(NoMeta())
	require.NoError(t, err)
	want := Topic{ID: w.topic.ID, Partitions: 10, Name: "orders"}
	require.Equal(t, []FoundTopic{{&want, true}}, plan.Found)
	require.Equal(t, []string{"sales"}, plan.Unknown)
	require.EqualError(t, plan.SetPartitions("orders", 9), "orders has 10 partitions at least")
	require.EqualError(t, plan.SetPartitions("orders", PartitionsMax+1), "a topic has at most 65536 partitions")
	require.EqualError(t, plan.SetPartitions("sales", 4), `there is no topic "sales"`)
	require.NoError(t, plan.SetPartitions("orders", 12))
	_, err = Reading{Folder: w.folder}.WriteMeta(plan)
	require.NoError(t, err)
	m, damages, err := ReadMeta(w.folder)
	require.NoError(t, err)
	require.Empty(t, damages)
	want.Partitions = 12
	require.Equal(t, []*Topic{&want}, m.Topics)
}

// A segment of a partition that the topic would not have, as far as the first state says.
func TestLostMetaOfMorePartitions(t *testing.T) {
	w := newWriter(t)
	w.segment().file.Partition = 2
	s := w.segs[0]
	s.at = nil
	s.begin(w)
	w.write()
	folder := filepath.Join(w.folder, "orders", "2")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Rename(w.path(s), filepath.Join(folder, filepath.Base(w.path(s)))))
	w.segs = nil
	w.segment()
	w.write()
	plan := w.lose()
	require.Len(t, plan.Found, 1)
	require.EqualValues(t, 3, plan.Found[0].Partitions)
	m, _ := w.check()
	require.EqualValues(t, 3, m.Topics[0].Partitions)
	require.False(t, plan.Found[0].Guessed)
	require.NoError(t, plan.SetPartitions("orders", 4), "its files say more than its first state")
}

// What states say of a topic is not changed.
func TestLostMetaOfKnownPartitions(t *testing.T) {
	w := three(t)
	plan := w.lose()
	require.NoError(t, plan.SetPartitions("orders", w.topic.Partitions))
	require.EqualError(t, plan.SetPartitions("orders", w.topic.Partitions+5), fmt.Sprintf(
		"orders has %d partitions, as is known: with more of them keys would go to others", w.topic.Partitions))
}

// What is of a later format is left to a later program.
func TestLostMetaOfALaterFormat(t *testing.T) {
	w := three(t)
	s := w.segs[2]
	s.file.Version = Version + 1
	head := append(bytes{}, s.bytes[:FileHeaderSize]...)
	head.put32(fileVersion, Version+1)
	head.put32(fileCRC, fileSum(head))
	overwrite(t, w.path(s), 0, head)
	require.NoError(t, os.Remove(filepath.Join(w.folder, MetaName)))
	_, err := Reading{Folder: w.folder}.PlanMeta(NoMeta())
	require.ErrorContains(t, err, "is of a later format (version 2; too new): mend the log with a newer program")
}

// Files of another topic that had the name once: one topic has a name, that of the first partition.
func TestLostMetaOfTwoTopics(t *testing.T) {
	w := newWriter(t)
	w.topic.ID, w.topic.Partitions = 78, 2
	other := w.segment()
	other.file.Partition, other.at = 1, nil
	other.begin(w)
	w.write()
	folder := filepath.Join(w.folder, "orders", "1")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Rename(w.path(other), filepath.Join(folder, filepath.Base(w.path(other)))))
	w.segs, w.topic.ID, w.topic.Partitions = nil, 77, 1
	w.segment()
	w.write()
	plan := w.lose()
	require.Equal(t, []FoundTopic{{Topic: &w.topic}}, plan.Found)
	m, p := w.check()
	require.Equal(t, []*Topic{&w.topic}, m.Topics)
	require.Empty(t, lines(p.Damages))
}
