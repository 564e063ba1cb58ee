package walfile

import (
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
