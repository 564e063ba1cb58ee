package differ

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildStock compiles the C++ program that knows all tables.
func buildStock(t testing.TB, folder string, documents []*document) (program string) {
	compiler, err := exec.LookPath("g++")
	if err != nil {
		compiler, err = exec.LookPath("clang++")
	}
	need(t, err == nil, "a C++ compiler")
	const header = "flatbuffers/flatbuffers.h"
	need(t, exec.Command(compiler, "-E", "-include", header, "-x", "c++", os.DevNull, "-o", os.DevNull).Run() == nil, header)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tables.inc"), tableList(documents), 0o600))
	source, err := filepath.Abs("testdata/stock.cc")
	require.NoError(t, err)
	program = filepath.Join(folder, "stock")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "native.inc"), nativeTables(documents), 0o600))
	native, err := filepath.Abs(filepath.Join(root, "native"))
	require.NoError(t, err)
	include := filepath.Join(native, "include")
	run(t, folder, "cc", "-std=gnu11", "-O1", "-c", "-I", include, filepath.Join(native, "src/flat/flat_verify.c"))
	run(t, folder, compiler, "-std=c++17", "-O1", "-I", folder, "-I", include, "-o", program, source, "flat_verify.o")
	return program
}

// stock is a running program. One goroutine uses it.
type stock struct {
	command *exec.Cmd
	in      io.WriteCloser
	to      *bufio.Writer
	from    *bufio.Reader
}

func startStock(t testing.TB, program string) *stock {
	s := &stock{command: exec.Command(program)}
	s.command.Stderr = os.Stderr
	var err error
	s.in, err = s.command.StdinPipe()
	require.NoError(t, err)
	out, err := s.command.StdoutPipe()
	require.NoError(t, err)
	s.to, s.from = bufio.NewWriterSize(s.in, 1<<16), bufio.NewReader(out)
	require.NoError(t, s.command.Start())
	t.Cleanup(func() {
		s.in.Close()
		require.NoError(t, s.command.Wait())
	})
	return s
}

// subject is a buffer and what it is judged as.
type subject struct {
	table  *table
	buffer []byte
	made   string // how, for who reads of a failure
	good   bool   // nobody may refuse it
}

// ask sends buffers; answer waits for the verdicts. The program reads all of them before it answers.
func (s *stock) ask(subjects []subject) error {
	number := func(n int) {
		_, _ = s.to.Write(binary.NativeEndian.AppendUint32(nil, uint32(n))) // Flush says so if this failed
	}
	number(len(subjects))
	for _, one := range subjects {
		number(int(one.table.stock))
		number(len(one.buffer))
		_, _ = s.to.Write(one.buffer)
	}
	return s.to.Flush()
}

func (s *stock) answer(count int) ([]answer, error) {
	verdicts := make([]byte, count)
	if _, err := io.ReadFull(s.from, verdicts); err != nil {
		return nil, err
	}
	out := make([]answer, count)
	for i, v := range verdicts {
		out[i] = answer{stock: v&1 != 0, native: v&2 != 0}
	}
	return out, nil
}

// answer says who accepts a buffer.
type answer struct {
	stock  bool
	native bool // the verifier in C
}
